"""What can be proved of a damaged ledger in, a new one that goes on from it out.

What nobody can say any more whose it was goes to workload "(ledger damaged)". So the total of each
GPU is what it was.
"""

from typing import Final

from submeter.ledger.book import Book, Tip
from submeter.ledger.done import renamed as renamed_facts
from submeter.ledger.parts import like, parts
from submeter.ledger.proof import Tell
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
    Row,
    Sealed,
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
_NOBODYS: Final = -1  # instead of the number of a series
_BATCH: Final = 2_000


def write_remains(remains: Remains, store: Store, loaded: Loaded, tell: Tell = lambda: None) -> str:
    """Writes a new, empty ledger from what remains of an old one; says in words what that was.
    ``tell`` is called now and then.

    Raises NotWritten and Damaged as the store does.
    """
    chain = _Chains(loaded)
    chain.sessions(remains)
    lost = chain.series(remains)
    store.write(
        Commit(0, 0, gpus=tuple(one.gpu for one in remains.gpus), chained=tuple(chain.rows))
    )
    notes = [
        Note(name, body, note_hash(loaded.ledger_id, name, body))
        for name, body in remains.counts.items()
    ]
    store.write(Commit(0, 0, notes=tuple(notes)))
    kept = 0
    for one in remains.gpus:
        book = _book(one, loaded.ledger_id)
        renamed = chain.names | {_NOBODYS: lost[one.gpu.id]}
        sealed: list[Sealed] = []
        for part in parts(remains, one, _NOBODYS):
            kept += 1
            sealed.extend(book.append(_renamed(part.row, renamed)))
            if len(sealed) >= _BATCH:
                tell()
                store.write(Commit(0, 0, sealed=tuple(sealed)))
                sealed.clear()
        opened = _open(one, book, renamed)
        opens = () if opened is None else (opened,)
        store.write(Commit(0, 0, sealed=tuple(sealed), opens=opens))
    return f"saved {kept} rows of {len(remains.gpus)} GPU(s); {remains.bad} could not be proved"


def _book(one: GpuRemains, ledger_id: str) -> Book:
    """An empty one, of the same GPU."""
    gpu = one.gpu
    genuine = tuple(
        Tip(0, genesis(ledger_id, gpu.backend, gpu.uuid, level)) for level in range(len(LEVELS))
    )
    return Book(gpu.id, genuine)


class _Chains:
    """The new ledger's chained tables: series and sessions in a row, without holes."""

    def __init__(self, loaded: Loaded) -> None:
        self.rows: list[Chained] = []
        self.names: dict[int, int] = {}  # old number of a series → new one
        self._tips = loaded.tips
        self._ledger_id = loaded.ledger_id

    def sessions(self, remains: Remains) -> None:
        """Adds all sessions; one that is gone is of no boot, so that no meter goes on from it."""
        named = [row.session for one in remains.gpus for row in one.all_ends()]
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


def _renamed(row: Row, names: dict[int, int]) -> Row:
    """The row with the new numbers of its series."""
    energy: dict[int, int] = {}
    for old, energy_uj in row.energy_uj.items():
        new = names.get(old, names[_NOBODYS])
        energy[new] = energy.get(new, 0) + energy_uj
    row.energy_uj = energy
    row.facts = renamed_facts(row.facts, names, names[_NOBODYS])
    return row


def _open(one: GpuRemains, book: Book, names: dict[int, int]) -> Open | None:
    """The open row as it was; else an empty one with what the last row says of the counter."""
    row, state = one.open, one.state
    if row is None:
        if not one.ends:
            return None
        last = max(one.ends, key=lambda each: (each.total_uj, each.end_wall_ns))
        row, state = like(last, last.start_s), _state(last)
    row = _renamed(row, names)
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
