"""A ledger in, everything in it that is not as it was written out.

Checked are: the structure of the database; the records of the log that goes on from it; the
chains of hashes, from the beginning or from the row
that vouches for the oldest one left; that each longer row is the sum of the rows it covers, and
covers each of them once; that no longer row is missing at the end; that the totals which rows
carry are the sum of all energy so far; that every series and session a row names is there; and
corrections. What a hash covers is in rows.py.
"""

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from submeter.errors import StateUnusable
from submeter.ledger import chains
from submeter.ledger.book import Tip, above_s
from submeter.ledger.counts import PREFIX, parse_counts
from submeter.ledger.files import DamagedFile, reading
from submeter.ledger.load import checked_open
from submeter.ledger.records import Gpu
from submeter.ledger.rows import LEVELS, TOP, BadRow, Cover, Row, add_all, canonical, genesis
from submeter.ledger.schema import CHAINED, TABLES, VERSION, version_of

_GPU: Final = re.compile(r"GPU (\d+)\b")

Tell = Callable[[int, int], None]
"""Is told how many rows are done, and of how many."""


@dataclass(slots=True)
class Audit:
    """What was checked, and the first thing that is wrong; ``problem`` "" if nothing is."""

    ledger_id: str = ""
    rows: dict[str, int] = field(default_factory=dict)  # by table
    energy_uj: dict[str, int] = field(default_factory=dict)  # by UUID of the GPU
    problem: str = ""
    names: dict[str, str] = field(default_factory=dict)  # of GPUs, by number in the ledger


class _Vouched(NamedTuple):
    """What a row says about those it covers."""

    cover: Cover
    total_uj: int
    digest: bytes  # of their sum
    quarters: bool  # whether that has quarters


class _Chain(NamedTuple):
    """A GPU's chains as they were at one moment."""

    gpu: Gpu
    tips: tuple[int, ...]
    open: tuple[int, bytes, str, bytes] | None


def audit(directory: Path, progress: Tell = lambda _done, _all: None) -> Audit:
    """Checks the ledger of a state directory, whether an agent is writing or not.

    Raises StateUnusable where there is no ledger, or one of a newer version.
    """
    try:
        with reading(directory) as connection:
            if version_of(connection) != VERSION:
                raise StateUnusable(
                    f"the ledger in {directory} is of version {version_of(connection)}; this "
                    f"submeter can only verify version {VERSION}"
                )
            return _audit(connection, progress)
    except DamagedFile as error:
        return Audit(problem=str(error))


def _audit(connection: sqlite3.Connection, progress: Tell) -> Audit:
    found = Audit()
    try:
        _check(connection, found, progress)
    except BadRow as error:
        found.problem = _GPU.sub(lambda match: found.names.get(match[1], match[0]), str(error))
    except chains.UNREADABLE as error:
        found.problem = f"the file is damaged: {error}"
    return found


def _check(connection: sqlite3.Connection, found: Audit, progress: Tell) -> None:
    _structure(connection)
    found.ledger_id = ledger = chains.ledger_id(connection)
    gpus = chains.gpus(connection, ledger)
    found.names = {
        str(gpu.id): f"{gpu.uuid} ({gpu.name})" if gpu.name else gpu.uuid for gpu in gpus
    }
    known = _named(connection, ledger, gpus, found)
    ends = [_chain(connection, gpu) for gpu in gpus]
    strangers = _strangers(connection, {gpu.id for gpu in gpus})
    for name, body in chains.notes(connection, ledger).items():
        if name.startswith(PREFIX):
            parse_counts(body)
    if strangers:
        raise BadRow(strangers)
    count = _Count(found.rows, sum(sum(chain.tips) for chain in ends), progress)
    for chain in ends:
        found.energy_uj[chain.gpu.uuid] = _gpu(connection, chain, known, count)


def _structure(connection: sqlite3.Connection) -> None:
    chains.check_structure(connection)
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
    found = dict(connection.execute(query).fetchall())
    for name, columns in TABLES.items():
        if found.get(name) != f"CREATE TABLE {name} {columns}":
            raise BadRow(f"table {name} is not the one that was made")


class _Known(NamedTuple):
    ledger: str
    series: set[int]
    sessions: set[int]


def _named(connection: sqlite3.Connection, ledger: str, gpus: list[Gpu], found: Audit) -> _Known:
    """Everything that rows may name."""
    uuids = {gpu.id: gpu.uuid for gpu in gpus}
    numbers: dict[str, set[int]] = {}
    for table in CHAINED:
        rows = [values for values, _ in chains.chained_rows(connection, ledger, table)]
        if table == "series":
            for values in rows:
                chains.as_series(values, uuids)
        numbers[table] = set(range(1, len(rows) + 1))
        found.rows[table] = len(rows)
    return _Known(ledger, numbers["series"], numbers["sessions"])


def _chain(connection: sqlite3.Connection, gpu: Gpu) -> _Chain:
    queries = [f"SELECT max(seq) FROM {level.name} WHERE gpu = ?" for level in LEVELS]  # noqa: S608
    tips = [connection.execute(query, (gpu.id,)).fetchone()[0] for query in queries]
    query = "SELECT start_s, body, state, hash FROM open WHERE gpu = ?"
    opened = connection.execute(query, (gpu.id,)).fetchone()
    return _Chain(gpu, tuple(tip or 0 for tip in tips), opened)


def _strangers(connection: sqlite3.Connection, gpus: set[int]) -> str:
    for table in (*(level.name for level in LEVELS), "open"):
        for (gpu,) in connection.execute(f"SELECT DISTINCT gpu FROM {table}"):  # noqa: S608
            if gpu not in gpus:
                return f"{table}: rows of GPU {gpu}, which the ledger does not know"
    return ""


class _Count:
    """Rows done: for the result, and for whoever waits."""

    def __init__(self, rows: dict[str, int], total: int, progress: Tell) -> None:
        self._rows = rows
        self._total = total
        self._done = 0
        self._progress = progress
        rows.update(dict.fromkeys((level.name for level in LEVELS), 0))

    def one(self, level: int) -> None:
        self._rows[LEVELS[level].name] += 1
        self._done += 1
        if self._done % 1_000 == 0:
            self._progress(self._done, max(self._total, self._done))


def _gpu(connection: sqlite3.Connection, chain: _Chain, known: _Known, count: _Count) -> int:
    """Checks all chains of a GPU; its energy in µJ."""
    gpu, above = chain.gpu, list[_Vouched]()
    newest = Tip(0, b"")
    total_uj = 0
    for level in range(TOP, -1, -1):
        start = Tip(0, genesis(known.ledger, gpu.backend, gpu.uuid, level))
        checked = _Level(level, chain, above, start)
        above = []
        for row in checked.rows(connection):
            _names(row, level, gpu, known)
            count.one(level)
            if row.cover is not None:
                above.append(_Vouched(row.cover, row.total_uj, _digest(row), bool(row.quarters)))
        newest, total_uj = checked.tip, checked.total_uj
    if chain.open is None:
        if newest.seq:
            raise BadRow(f"open row of GPU {gpu.id}: missing")
        return total_uj
    row = checked_open(newest, gpu.id, chain.open)
    _names(row, 0, gpu, known)
    if row.total_uj != total_uj + row.sum_uj:
        raise BadRow(f"open row of GPU {gpu.id}: its total is not the sum of all rows")
    return row.total_uj


class _Level:
    """One chain, checked against itself and against the rows that cover its rows."""

    def __init__(self, level: int, chain: _Chain, above: list[_Vouched], start: Tip) -> None:
        self.tip = start
        self.total_uj = 0
        self._level = level
        self._chain = chain
        self._above = above
        self._at = 0  # the next of those above
        self._sum = Row(0)
        self._last_ten = 0
        self._begun_s: int | None = None  # the label of the row above that isn't over yet

    def rows(self, connection: sqlite3.Connection) -> Iterator[Row]:
        """Every row that is left, in order. Raises BadRow at the first bad one."""
        gpu, until = self._chain.gpu.id, self._chain.tips[self._level]
        self._begin(connection, gpu)
        for sealed, row in chains.checked_rows(connection, self._level, gpu, self.tip, until):
            self.tip = Tip(sealed.seq, sealed.hash)
            name = f"{LEVELS[self._level].name} {sealed.seq} of GPU {gpu}"
            self.total_uj += row.sum_uj
            if row.total_uj != self.total_uj:
                raise BadRow(f"{name}: its total is not the sum of all rows until then")
            if row.cover is not None and row.cover.first != self._last_ten + 1:
                raise BadRow(f"{name}: does not begin where the one before it ends")
            self._last_ten = sealed.seq if row.cover is None else row.cover.last
            self._compare(row, name)
            if row.quarters and _digest(row) != _digest(row, of_quarters=True):
                raise BadRow(f"{name}: its quarters do not sum to it")
            yield row
        if self.tip.seq != until:
            raise BadRow(f"{LEVELS[self._level].name} {self.tip.seq + 1} of GPU {gpu}: missing")
        if self._at < len(self._above):
            raise BadRow(
                f"{LEVELS[self._level].name} of GPU {gpu}: end before those that cover them"
            )

    def _begin(self, connection: sqlite3.Connection, gpu: int) -> None:
        """Goes to the oldest row that is left: all before it must be covered."""
        table = LEVELS[self._level].name
        query = f"SELECT min(seq) FROM {table} WHERE gpu = ?"  # noqa: S608
        oldest = connection.execute(query, (gpu,)).fetchone()[0]
        if oldest is None or oldest <= 1:
            return
        for at, vouched in enumerate(self._above):
            if vouched.cover.below == oldest - 1:
                self.tip = Tip(oldest - 1, vouched.cover.below_hash)
                self.total_uj = vouched.total_uj
                self._last_ten = vouched.cover.last
                self._at = at + 1
                return
        raise BadRow(f"{table} {oldest - 1} of GPU {gpu}: missing")

    def _compare(self, row: Row, name: str) -> None:
        """Where a covering row ends here, it must be the sum since the one before."""
        if self._at >= len(self._above):
            self._not_covered(row)
            return
        self._sum.metered_ns += row.metered_ns
        add_all(self._sum.facts, row.facts)
        add_all(self._sum.energy_uj, row.energy_uj)
        vouched = self._above[self._at]
        if vouched.quarters:
            self._sum.add_to_quarter(row)
        if self.tip.seq < vouched.cover.below:
            return
        covering = f"the row of {LEVELS[self._level + 1].name} that ends with {name}"
        if vouched.cover.below_hash != self.tip.hash or vouched.cover.below != self.tip.seq:
            raise BadRow(f"{covering} covers another row")
        if vouched.digest != _digest(self._sum) or vouched.cover.last != self._last_ten:
            raise BadRow(f"{covering} is not the sum of what it covers")
        self._sum = Row(0)
        self._at += 1

    def _not_covered(self, row: Row) -> None:
        """The first row of another minute, hour or day ends the one before."""
        if self._level == TOP:
            return
        begun_s = above_s(self._level, row.start_s)
        if self._begun_s not in {None, begun_s}:
            number, gpu = self._chain.tips[self._level + 1] + 1, self._chain.gpu.id
            raise BadRow(f"{LEVELS[self._level + 1].name} {number} of GPU {gpu}: missing")
        self._begun_s = begun_s


def _names(row: Row, level: int, gpu: Gpu, known: _Known) -> None:
    where = f"a row of {LEVELS[level].name} of GPU {gpu.id}"
    if not row.energy_uj.keys() <= known.series:
        raise BadRow(f"{where} names a series that is missing")
    if row.session not in known.sessions:
        raise BadRow(f"{where} names session {row.session}, which is missing")


def _digest(row: Row, *, of_quarters: bool = False) -> bytes:
    """Of the amounts of a row, or of the sum of its quarters; where there are quarters, of each."""
    whole = row
    if of_quarters:
        whole = Row(0)
        for quarter in row.quarters.values():
            whole.merge(quarter)
    parts = [(-1, whole), *sorted(row.quarters.items(), key=lambda item: item[0])]
    return hashlib.sha256(canonical([[at, _plain(part)] for at, part in parts])).digest()


def _plain(row: Row) -> list[object]:
    energy = sorted(item for item in row.energy_uj.items() if item[1])
    facts = sorted(item for item in row.facts.items() if item[1])
    return [row.metered_ns, energy, facts]
