"""What can be proved of a damaged ledger in, a new one that goes on from it out.

Rows of tens that can be proved are taken as they are. Where some are missing, the row of minutes
that covers them still knows their sum: what exceeds those that are left is a row of its own, and
so on up to days, and to the totals that every row carries. What nobody can say any more whose it
was goes to workload "(ledger damaged)". So the total of each GPU is what it was.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from submeter.ledger.book import Book, Tip
from submeter.ledger.records import (
    Chained,
    Commit,
    Loaded,
    Note,
    Open,
    Series,
    Session,
    series_values,
)
from submeter.ledger.remains import GpuRemains, Remains
from submeter.ledger.rows import (
    LEVELS,
    NO_COUNTER,
    TOP,
    Row,
    Sealed,
    add_all,
    encode,
    genesis,
    open_hash,
)
from submeter.ledger.schema import chained, note_hash
from submeter.ledger.states import state_text
from submeter.ledger.store import Store
from submeter.model import (
    Account,
    Component,
    CounterState,
    MeterState,
    Method,
    Owner,
    Phase,
)

DAMAGED: Final = Owner(Phase.UNATTRIBUTED, workload="(ledger damaged)")

_BATCH: Final = 2_000


class _Part(NamedTuple):
    """A row for the new ledger and which rows of tens of the old one it stands for."""

    first: int
    last: int
    row: Row


def write_remains(remains: Remains, store: Store, loaded: Loaded) -> str:
    """Writes a new, empty ledger from what remains of an old one; says in words what that was.

    Raises NotWritten and Damaged as the store does.
    """
    number = 0
    chain = _Chains(loaded)
    chain.sessions(remains)
    lost = chain.series(remains)
    store.write(
        Commit(number, 0, gpus=tuple(one.gpu for one in remains.gpus), chained=tuple(chain.rows))
    )
    notes = [
        Note(name, body, note_hash(loaded.ledger_id, name, body))
        for name, body in remains.counts.items()
    ]
    store.write(Commit(number, 0, notes=tuple(notes)))
    kept = 0
    for one in remains.gpus:
        genuine = tuple(
            Tip(0, genesis(loaded.ledger_id, one.gpu.backend, one.gpu.uuid, level))
            for level in range(len(LEVELS))
        )
        book = Book(one.gpu.id, genuine)
        parts = _parts(one, lost[one.gpu.id])
        kept += len(parts)
        sealed: list[Sealed] = []
        for part in parts:
            sealed.extend(book.append(_renamed(part.row, chain.names, lost[one.gpu.id])))
        for start in range(0, len(sealed), _BATCH):
            number += 1
            store.write(Commit(number, 0, sealed=tuple(sealed[start : start + _BATCH])))
        opened = _open(one, book, chain.names, lost[one.gpu.id])
        if opened is not None:
            store.write(Commit(number + 1, 0, opens=(opened,)))
    return f"saved {kept} rows of {len(remains.gpus)} GPU(s); {remains.bad} could not be proved"


class _Chains:
    """The new ledger's chained tables: series and sessions in a row, without holes."""

    def __init__(self, loaded: Loaded) -> None:
        self.rows: list[Chained] = []
        self.names: dict[int, int] = {}  # old number of a series → new one
        self._tips = loaded.tips
        self._ledger_id = loaded.ledger_id

    def sessions(self, remains: Remains) -> None:
        """Adds all sessions; one that is gone is of no boot, so that no meter goes on from it."""
        named = [row.session for one in remains.gpus for row in one.all_rows()]
        for number in range(1, max([*remains.sessions, *named], default=0) + 1):
            session = remains.sessions.get(number) or Session(number, "", "", "", "", 0, 0)
            self._add("sessions", tuple(session._replace(ledger=self._ledger_id)))

    def series(self, remains: Remains) -> dict[int, int]:
        """Adds all series, and one of each GPU for what is nobody's now; these by GPU."""
        for old in sorted(remains.series):
            self.names[old] = len(self.names) + 1
            series = remains.series[old]._replace(id=self.names[old])
            self._add("series", series_values(series))
        lost = {}
        for number, one in enumerate(remains.gpus, len(self.names) + 1):
            account = Account(one.gpu.uuid, "", Component.DYNAMIC, DAMAGED)
            series = Series(number, one.gpu.id, account, Method.UNATTRIBUTED)
            self._add("series", series_values(series))
            lost[one.gpu.id] = number
        return lost

    def _add(self, table: str, values: tuple[object, ...]) -> None:
        self._tips[table] = digest = chained(self._tips[table], values)
        self.rows.append(Chained(table, values, digest))


def _parts(one: GpuRemains, lost: int) -> list[_Part]:
    """Rows in order that add up to everything that was booked before the open row."""
    parts = [_Part(seq, seq, row) for seq, row in sorted(one.rows[0].items())]
    for level in range(1, TOP + 1):
        rest = [part for row in one.rows[level].values() for part in _rest(row, parts)]
        parts = sorted([*parts, *rest], key=lambda part: (part.first, part.last))
    known_uj = sum(part.row.sum_uj for part in parts)
    ends = one.all_rows()
    booked_uj = max((row.total_uj for row in ends), default=0)
    if one.open is not None:
        booked_uj = one.open.total_uj - one.open.sum_uj
    if booked_uj > known_uj:
        newest = max(ends, key=lambda row: row.total_uj)
        row = _like(newest, newest.start_s)
        # no series has that number, so it will be the one for what is nobody's
        row.energy_uj = {-lost: booked_uj - known_uj}
        parts.append(_Part(parts[-1].last if parts else 0, 1 << 62, row))
    return parts


def _rest(row: Row, parts: list[_Part]) -> Iterator[_Part]:
    """What a covering row knows that is in none of the parts it covers."""
    assert row.cover is not None
    first, last = row.cover.first, row.cover.last
    rest = _like(row, row.start_s)
    rest.metered_ns = row.metered_ns
    add_all(rest.energy_uj, row.energy_uj)
    add_all(rest.facts, row.facts)
    for part in parts[bisect_left(parts, first, key=lambda part: part.first) :]:
        if part.first > last:
            break
        rest.metered_ns -= part.row.metered_ns
        for series, energy_uj in part.row.energy_uj.items():
            rest.energy_uj[series] = rest.energy_uj.get(series, 0) - energy_uj
        for name, amount in part.row.facts.items():
            rest.facts[name] = rest.facts.get(name, 0) - amount
    if any(rest.energy_uj.values()) or any(rest.facts.values()):
        yield _Part(first, last, rest)


def _like(row: Row, start_s: int) -> Row:
    return Row(
        start_s, row.session, row.epoch, row.end_wall_ns, row.end_ns, counter_uj=row.counter_uj
    )


def _renamed(row: Row, names: dict[int, int], lost: int) -> Row:
    """The row with the new numbers of its series."""
    energy: dict[int, int] = {}
    for old, energy_uj in row.energy_uj.items():
        new = names.get(old, lost)
        energy[new] = energy.get(new, 0) + energy_uj
    row.energy_uj = energy
    return row


def _open(one: GpuRemains, book: Book, names: dict[int, int], lost: int) -> Open | None:
    """The open row as it was; else an empty one with what the last row says of the counter."""
    row, state = one.open, one.state
    if row is None:
        rows = one.all_rows()
        if not rows:
            return None
        last = max(rows, key=lambda each: (each.total_uj, each.end_wall_ns))
        row, state = _like(last, last.start_s), _state(last)
    row = _renamed(row, names, lost)
    row.total_uj = book.total_uj + row.sum_uj
    body = encode(row)
    digest = open_hash(book.tips[0].hash, one.gpu.id, row.start_s, body, state)
    return Open(one.gpu.id, row.start_s, body, state, digest)


def _state(last: Row) -> str:
    counter = None
    if last.counter_uj != NO_COUNTER:
        value = last.counter_uj
        counter = CounterState(value, value, last.end_ns, 0, value, 0, 0, last.epoch)
    return state_text(MeterState(last.end_ns, last.end_ns, last.end_ns, counter))
