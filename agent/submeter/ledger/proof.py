"""What can be read of a damaged ledger in, every row of it that can be proved out.

A row is proved by its hash and the one before it, which may stand in the row before it, or in the
longer row that covers that. So a byte that was changed costs the row it is in, and perhaps the one
after; the longer rows still say what was in them.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from submeter.ledger import chains
from submeter.ledger.book import Tip
from submeter.ledger.counts import PREFIX
from submeter.ledger.load import checked_open
from submeter.ledger.records import Gpu, Session
from submeter.ledger.remains import GpuRemains, Remains
from submeter.ledger.rows import LEVELS, TOP, Row, Sealed, decode, genesis, link
from submeter.ledger.schema import CHAINED, GPU_COLUMNS, chain_start, chained, gpu_hash, note_hash
from submeter.ledger.wreck import OF_LOG, ledger_ids, read_wreck

_TABLES: Final = (
    # which tens a proved row is of; ``claim``: whose ledger it is taken for
    "CREATE TABLE proved (claim, gpu, level, seq, first, last)",
    # what longer rows say of the hash of a row
    "CREATE TABLE vouched (claim, gpu, level, seq, hash, PRIMARY KEY (claim, gpu, level, seq))",
)
_INDEX: Final = "CREATE INDEX in_order ON proved (claim, gpu, first, level DESC)"
_TELL_EVERY: Final = 1_000

Tell = Callable[[], None]


@contextmanager
def remains_of(path: Path, room: Path, tell: Tell = lambda: None) -> Iterator[Remains]:
    """Whatever can be proved of a file, while this is open; nothing at all is an answer, too. In
    the folder ``room`` there must be three times as much of it as the file has. ``tell`` is called
    now and then, as long as it takes."""
    with TemporaryDirectory(dir=room) as scratch:
        opened: list[sqlite3.Connection] = []
        best = Remains(sqlite3.connect(":memory:"))
        opened.append(best.readable)
        try:
            for mended in (False, True):
                readable = read_wreck(path, Path(scratch), tell, mended=mended)
                if readable is None:
                    continue
                opened.append(readable)
                best = _better(best, _remains(readable, tell))
                if best.gpus and not best.bad:
                    break
            yield best
        finally:
            for each in opened:
                each.close()


def _better(one: Remains, other: Remains) -> Remains:
    """Whichever has more rows."""
    return one if one.rows >= other.rows and one.gpus else other


def _remains(readable: sqlite3.Connection, tell: Tell) -> Remains:
    for table in _TABLES:
        readable.execute(table)
    best = Remains(readable)
    for claim, ledger in enumerate(ledger_ids(readable)):
        readable.execute("BEGIN")
        best = _better(best, _as(readable, claim, ledger, tell))
        readable.execute("COMMIT")
    readable.execute(_INDEX)
    return best


def _as(readable: sqlite3.Connection, claim: int, ledger: str, tell: Tell) -> Remains:
    """What is proved if it is that ledger."""
    found = Remains(readable, claim)
    gpus = _gpus(readable, ledger)
    uuids = {gpu.id: gpu.uuid for gpu in gpus}
    for values in _proved(readable, ledger, "series", found):
        try:
            series = chains.as_series(values, uuids)
        except chains.UNREADABLE:
            found.bad += 1
            continue
        found.series[series.id] = series
    for values in _proved(readable, ledger, "sessions", found):
        session = Session._make(values)
        found.sessions[session.id] = session
    for name, body, digest in readable.execute("SELECT name, body, hash FROM notes"):
        texts = isinstance(name, str) and isinstance(body, str) and name.startswith(PREFIX)
        if texts and note_hash(ledger, name, body) == digest:
            found.counts[name] = body
    for gpu in gpus:
        found.gpus.append(_Prover(found, ledger, gpu).prove(tell))
    return found


# ---- who ---------------------------------------------------------------------------------------


def _gpus(readable: sqlite3.Connection, ledger: str) -> list[Gpu]:
    found: list[Gpu] = []
    columns = ", ".join(GPU_COLUMNS)
    for *values, digest in readable.execute(f"SELECT {columns}, hash FROM gpus ORDER BY id"):  # noqa: S608
        number, uuid, backend, *_ = values
        if digest == OF_LOG or gpu_hash(ledger, values) == digest:
            found.append(Gpu(*values))
        elif _is_first(readable, ledger, number, uuid, backend):
            found.append(Gpu(number, uuid, backend))
    return found


def _is_first(
    readable: sqlite3.Connection, ledger: str, number: int, uuid: object, backend: object
) -> bool:
    """Whether the first row of any chain says that this GPU is its own: then only a label of it
    was changed."""
    for level in range(len(LEVELS)):
        for sealed in chains.sealed_rows(readable, level, number, 0, 1):
            before = genesis(ledger, str(backend), str(uuid), level)
            if link(before, sealed) == sealed.hash:
                return True
    return False


def _proved(
    readable: sqlite3.Connection, ledger: str, table: str, found: Remains
) -> Iterator[tuple[Any, ...]]:
    """The rows of a chained table that are as they were written."""
    before, number = chain_start(ledger, table), 0
    columns = ", ".join(CHAINED[table])
    for *values, digest in readable.execute(f"SELECT {columns}, hash FROM {table} ORDER BY id"):  # noqa: S608
        follows = values[0] == number + 1 and isinstance(before, bytes)
        if follows and _chained(before, values) == digest:
            yield tuple(values)
        else:
            found.bad += 1
        before, number = digest, values[0]


def _chained(before: bytes, values: Sequence[object]) -> bytes | None:
    try:
        return chained(before, values)
    except (TypeError, ValueError):  # a blob where a text was
        return None


# ---- how much ----------------------------------------------------------------------------------


class _Prover:
    """One GPU's rows, level by level, from days down: longer rows vouch for shorter ones."""

    def __init__(self, found: Remains, ledger: str, gpu: Gpu) -> None:
        self._found = found
        self._readable = found.readable
        self._ledger = ledger
        self._gpu = gpu

    def prove(self, tell: Tell) -> GpuRemains:
        """Notes which rows are proved; gives what must be known beside them."""
        remains = GpuRemains(self._gpu)
        newest = Tip(0, b"")
        for level in range(TOP, -1, -1):
            newest, last = self._level(level, tell)
            if last is not None:
                remains.ends.append(last)
        self._open(remains, newest)
        return remains

    def _level(self, level: int, tell: Tell) -> tuple[Tip, Row | None]:
        """The newest row that is there, and the newest that is proved."""
        gpu = self._gpu
        before = Tip(0, genesis(self._ledger, gpu.backend, gpu.uuid, level))
        last = None
        for count, sealed in enumerate(chains.sealed_rows(self._readable, level, gpu.id, 0)):
            if count % _TELL_EVERY == 0:
                tell()
            row = self._content(before, sealed)
            before = Tip(sealed.seq, sealed.hash)
            if row is None:
                self._found.bad += 1
            else:
                self._note(sealed, row)
                last = row
        return before, last

    def _content(self, before: Tip, sealed: Sealed) -> Row | None:
        stored = before.hash if before.seq == sealed.seq - 1 else None
        if stored is None or link(stored, sealed) != sealed.hash:
            vouched = self._vouched(sealed)
            if vouched is None or link(vouched, sealed) != sealed.hash:
                return None
        try:
            return decode(sealed.level, sealed.start_s, sealed.body)
        except chains.UNREADABLE:
            return None

    def _vouched(self, sealed: Sealed) -> bytes | None:
        """What a longer row says of the hash of the row before."""
        query = "SELECT hash FROM vouched WHERE claim = ? AND gpu = ? AND level = ? AND seq = ?"
        place = (self._found.claim, self._gpu.id, sealed.level, sealed.seq - 1)
        found = self._readable.execute(query, place).fetchone()
        return None if found is None else found[0]

    def _note(self, sealed: Sealed, row: Row) -> None:
        claim, gpu = self._found.claim, self._gpu.id
        first, last = (sealed.seq, sealed.seq) if row.cover is None else row.cover[:2]
        place = (claim, gpu, sealed.level, sealed.seq, first, last)
        self._readable.execute("INSERT INTO proved VALUES (?, ?, ?, ?, ?, ?)", place)
        self._found.rows += 1
        if row.cover is not None:
            below = (claim, gpu, sealed.level - 1, row.cover.below, row.cover.below_hash)
            self._readable.execute("INSERT OR REPLACE INTO vouched VALUES (?, ?, ?, ?, ?)", below)

    def _open(self, remains: GpuRemains, before: Tip) -> None:
        gpu = self._gpu.id
        query = "SELECT start_s, body, state, hash FROM open WHERE gpu = ?"
        for found in self._readable.execute(query, (gpu,)):
            try:
                remains.open = checked_open(before, gpu, found)
                remains.state = found[2]
                self._found.rows += 1
            except chains.UNREADABLE:
                self._found.bad += 1
