"""Intervals with their postings in, commits out, and the totals that are safely in the file.

What is shown is what is durable: a total that metrics have shown survives whatever happens next,
so counters never fall. While the disk can't be written they stand still, everything is kept in
memory, and is shown when it is safe. Joules of a moment that fell between two commits come back
from the hardware counter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from submeter.ledger.book import Book, Tip
from submeter.ledger.counts import PREFIX, counts_text
from submeter.ledger.done import MARKS, done_of, fact, marks_text
from submeter.ledger.entries import entry_of
from submeter.ledger.live import Live, View
from submeter.ledger.memory import OTHER, Ledger, Totals, check
from submeter.ledger.names import IDLE, Names
from submeter.ledger.records import (
    Chained,
    Commit,
    Gpu,
    GpuHistory,
    Loaded,
    Note,
    Open,
    Series,
    Session,
    series_values,
)
from submeter.ledger.rows import LEVELS, Row, Sealed, add_all, encode, genesis, open_hash
from submeter.ledger.schema import chained, note_hash
from submeter.ledger.states import state_text
from submeter.model import (
    Account,
    Checkpoint,
    Component,
    GpuInfo,
    Interval,
    Method,
    Owner,
    Posting,
)
from submeter.units import NS_PER_S

MOST_SERIES: Final = 20_000
"""So many series have a history of their own: a bound on the file, far above what one node's jobs
make in a year."""

_TIDY: Final = 60  # commits between two looks for series that nobody uses any more

_LONGER: Final = ((8_640, 3_600), (720, 600), (120, 60))
"""While the disk is away, rows get longer, so that a day of it fits into a few MiB: with so many
rows per GPU waiting, new ones are of so many seconds."""


class Writer(Protocol):
    """Makes commits durable, at once or soon."""

    @property
    def written(self) -> int:
        """The number of the last commit that is in the file."""
        ...

    def submit(self, commit: Commit) -> None:
        """Takes a commit; it replaces one that was not begun yet. Returns soon, written or not."""
        ...

    def catch_up(self) -> None:
        """Waits a moment for the last commit to be written, if it was submitted just now."""
        ...

    def row(self, gpu: int, seq: int) -> Row | None:
        """A row of tens that is in the file."""
        ...


@dataclass(slots=True)
class _Work:
    """Work that was done, as facts of a row, and what its sources had then counted."""

    facts: dict[str, int] = field(default_factory=dict)
    marks: dict[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _GpuBook:
    """One GPU: its chain, and what is to be added to it."""

    gpu: Gpu
    book: Book
    checkpoint: Checkpoint | None
    held: list[Row] = field(default_factory=list)  # until an interval with a state comes
    ready: list[Row] = field(default_factory=list)
    sealed: list[tuple[int, Sealed]] = field(default_factory=list)  # (number of commit, row)
    done: _Work = field(default_factory=_Work)  # for the next entry
    held_marks: dict[str, Mapping[str, int]] = field(default_factory=dict)
    ready_marks: dict[str, Mapping[str, int]] = field(default_factory=dict)
    state: str = ""
    open: Open | None = None  # changed since the last commit that was written
    open_since: int = 0


class DurableLedger:
    """Totals by account and by GPU that survive. Owned and used by one thread."""

    def __init__(
        self, loaded: Loaded, session: Session, writer: Writer, max_series: int = 2_000
    ) -> None:
        """Goes on from what a file says. ``session``'s number is given here."""
        self._loaded = loaded
        self._writer = writer
        self._max_series = max_series
        self._number = 0
        self._gpus: list[tuple[int, Gpu]] = []  # to be written, with the number of the commit
        self._chained: list[tuple[int, Chained]] = []
        self._books: dict[str, _GpuBook] = {}
        self._live = Live(loaded.counts)
        self._names = Names(self._live)
        self._marks = {source: dict(values) for source, values in loaded.marks.items()}
        self._marked = 0  # the number of the commit that changed them; 0: all are written
        self._views: dict[int, View] = {}
        for series in loaded.series.values():
            self._names.know(series, 0)
        for history in loaded.gpus.values():
            self._continue(history)
        self._names.forget(1, self._busy())
        loaded.series.clear()
        loaded.gpus.clear()
        self._durable = self._live.view()
        self._session = session._replace(id=loaded.sessions + 1, ledger=loaded.ledger_id)
        self._counted = 0  # number of the commit that first has what was counted last
        self._chain("sessions", tuple(self._session))
        self.since_wall_ns: int | None = loaded.since_wall_ns or session.wall_ns
        """When the ledger began, by the wall clock of then: energies are counted from there."""

    @property
    def folded_series(self) -> int:
        """How many different accounts metrics have under `OTHER`."""
        return self._durable.folded

    def remembered(self) -> Mapping[str, int]:
        """Every GPU of this backend that the ledger knows, with the index it had last."""
        known = (each.gpu for each in self._books.values())
        return {gpu.uuid: gpu.position for gpu in known if gpu.position >= 0}

    def accounts(self) -> Mapping[Account, int]:
        """All totals that are durable: µJ by account."""
        return self._durable.accounts

    def totals(self, gpu_uuid: str) -> Totals:
        """The totals of one GPU that are durable; zeroes for one never seen."""
        return self._durable.totals(gpu_uuid)

    def count(self, group: str, counted: Mapping[str, int]) -> None:
        """Notes what a GPU's watch (``group`` is the UUID), or the agent itself (""), has counted
        since it was made; with the next commit it is in `counts`."""
        self._live.counts.take(group, counted)
        self._counted = self._number + 1

    def counts(self, group: str) -> Mapping[str, int]:
        """What was counted in a group since the ledger began, as far as it is durable."""
        return self._durable.counts.get(group, {})

    def all_counts(self) -> Mapping[str, Mapping[str, int]]:
        """The same of all groups, GPUs that are gone included."""
        return self._durable.counts

    def book_work(
        self,
        gpu_uuid: str,
        owner: Owner,
        done: Mapping[str, int],
        marks: Mapping[str, Mapping[str, int]],
    ) -> None:
        """Books how much work somebody did, by unit, with the GPU's next interval. ``marks``: by
        source, what it has counted with this; they become durable together with it, so whoever
        goes on from them neither loses nor doubles any. An empty mark forgets a source."""
        each = self._book(gpu_uuid)
        if done:
            number = self._names.of_owner(gpu_uuid, owner, self._number)
            if number is None:
                account = Account(gpu_uuid, "", Component.DYNAMIC, owner)
                number = self._admit(account, Method.EXCLUSIVE).id
            add_all(each.done.facts, {fact(number, unit): n for unit, n in done.items() if n})
        each.done.marks.update(marks)

    def done(self) -> Mapping[tuple[Owner, str], int]:
        """How much work was done since the ledger began, by owner and unit, as far as durable."""
        return self._durable.done

    def marks(self) -> Mapping[str, Mapping[str, int]]:
        """What each source had counted when the last agent stopped."""
        return self._loaded.marks

    def checkpoint(self, gpu_uuid: str) -> Checkpoint | None:
        """Where the last agent's meter stopped; None if that says nothing to this one."""
        book = self._books.get(gpu_uuid)
        return None if book is None else book.checkpoint

    def describe(self, info: GpuInfo) -> None:
        """Keeps the name and index of a GPU, for reports."""
        each = self._book(info.uuid)
        if (each.gpu.name, each.gpu.position) != (info.name, info.index):
            each.gpu = each.gpu._replace(name=info.name, position=info.index)
            self._gpus.append((self._number + 1, each.gpu))

    def post(self, interval: Interval, postings: Sequence[Posting]) -> tuple[Posting, ...]:
        """Books an interval and how it was split; gives the postings as metrics show them.

        Raises ValueError, and books nothing, if a posting is negative, belongs to another GPU, or
        the postings do not add up to the interval.
        """
        check(interval, postings)
        each = self._book(interval.gpu_uuid)
        row = entry_of(interval)
        row.session = self._session.id
        shown = []
        energy, names, number = row.energy_uj, self._names, self._number
        for posting in postings:
            account, method, energy_uj = posting
            series = names.find(account, method, number) or self._admit(account, method)
            energy[series.id] = energy.get(series.id, 0) + energy_uj
            if series.shown:
                shown.append(posting)
            else:
                shown.append(Posting(names.shown_as(series), method, energy_uj))
        done = each.done
        if done.facts or done.marks:
            add_all(row.facts, done.facts)
            each.held_marks.update(done.marks)
            each.done = _Work()
        each.held.append(row)
        if interval.state is not None:
            each.state = state_text(interval.state)
            each.ready.extend(each.held)
            each.held.clear()
            if each.held_marks:
                each.ready_marks.update(each.held_marks)
                each.held_marks.clear()
        return tuple(shown)

    def commit(self, now_ns: int, wall_ns: int) -> None:
        """Hands everything that was posted, and is complete, to the writer, and shows what it has
        written. ``wall_ns`` only labels."""
        self._acknowledge()
        self._number += 1
        offset_ns = wall_ns - now_ns
        for each in self._books.values():
            if each.ready:
                self._advance(each, offset_ns)
        commit = self._commit(wall_ns // NS_PER_S)
        if commit.empty:
            self._number -= 1
            return
        self._keep_view()
        self._writer.submit(commit)
        self._acknowledge()
        if self._number % _TIDY == 0:
            self._names.forget(self._number - IDLE, self._busy())

    def catch_up(self) -> None:
        """Shows what has been written meanwhile, if need be after waiting a moment for that."""
        if self._views:
            self._writer.catch_up()
            self._acknowledge()

    def reverse(self, gpu_uuid: str, seq: int, series: int, reason: str, wall_ns: int) -> int:
        """Takes from a series what a row of tens gave it; gives the µJ. The row stays: a new entry
        with the reason gives the energy to workload "(corrected)" in all reports. Metrics, whose
        counters never fall, stay as they are.

        Raises ValueError where there is no such posting now, or it was reversed already.
        """
        each = self._books.get(gpu_uuid)
        if each is None:
            raise ValueError(f"no such GPU: {gpu_uuid}")
        row = self._writer.row(each.gpu.id, seq)
        energy_uj = 0 if row is None else row.energy_uj.get(series, 0)
        if row is None or not energy_uj:
            raise ValueError(f"no such posting: row {seq} of {gpu_uuid}, series {series}")
        if (each.gpu.id, seq, series) in self._loaded.reversed:
            raise ValueError(f"row {seq} of {gpu_uuid}, series {series}: reversed already")
        self._loaded.reversed.append((each.gpu.id, seq, series))
        values = (each.gpu.id, row.start_s, 0, seq, series, energy_uj, reason, wall_ns)
        self._chain("corrections", (len(self._loaded.reversed), *values))
        return energy_uj

    # ---- what is known ---------------------------------------------------------------------

    def _continue(self, history: GpuHistory) -> None:
        book = Book(history.gpu.id, history.tips, history.sums.total_uj)
        for level, tip, row in history.tails:
            book.roll_up(level, tip, row, [])
        book.open = history.open
        self._books[history.gpu.uuid] = _GpuBook(history.gpu, book, history.checkpoint)
        self._live.add(history.gpu.uuid, history.sums)

    def _book(self, uuid: str) -> _GpuBook:
        each = self._books.get(uuid)
        if each is None:
            number = self._loaded.gpu_count = self._loaded.gpu_count + 1
            gpu = Gpu(number, uuid, self._session.backend)
            tips = tuple(
                Tip(0, genesis(self._loaded.ledger_id, gpu.backend, uuid, level))
                for level in range(len(LEVELS))
            )
            each = self._books[uuid] = _GpuBook(gpu, Book(number, tips), None)
            self._gpus.append((self._number + 1, gpu))
        return each

    def _admit(self, account: Account, method: Method) -> Series:
        """Sticky admission: an account that is shown stays, so joules never move."""
        gpu = self._books[account.gpu_uuid].gpu.id
        back = self._names.back(account, method, gpu, self._number)
        if back is not None:
            return back
        if self._names.count >= MOST_SERIES and account.owner.workload != OTHER:
            owner = Owner(account.owner.phase, workload=OTHER)
            account = account._replace(owner=owner)
            known = self._names.find(account, method, self._number)
            if known is not None:
                return known
        accounts = self._live.numbers
        free = len(accounts) < self._max_series or account.owner.phase in Ledger.ALWAYS_ADMITTED
        shown = int(account in accounts or free)
        self._loaded.series_count += 1
        series = Series(self._loaded.series_count, gpu, account, method, shown)
        self._names.know(series, self._number)
        self._chain("series", series_values(series))
        return series

    def _busy(self) -> set[int]:
        """The series of which something is in a row that isn't finished."""
        found: set[int] = set()
        for each in self._books.values():
            rows = [*each.held, *each.ready]
            rows += [] if each.book.open is None else [each.book.open]
            facts = [*each.done.facts, *(name for row in rows for name in row.facts)]
            found.update(number for row in rows for number in row.energy_uj)
            found.update(done.series for done in map(done_of, facts) if done is not None)
        return found

    def _chain(self, table: str, values: tuple[object, ...]) -> None:
        digest = self._loaded.tips[table] = chained(self._loaded.tips[table], values)
        self._chained.append((self._number + 1, Chained(table, values, digest)))

    # ---- what is new -----------------------------------------------------------------------

    def _advance(self, each: _GpuBook, offset_ns: int) -> None:
        book, gpu, number = each.book, each.gpu, self._number
        book.width_s = _width_s(len(each.sealed))
        for entry in each.ready:
            self._live.add(gpu.uuid, entry)
            entry.end_wall_ns = entry.end_ns + offset_ns
            for sealed in book.add(entry):
                each.sealed.append((number, sealed))
        each.ready.clear()
        if each.ready_marks:
            self._take_marks(each)
        row = book.open
        assert row is not None
        body = encode(row, compact=False)
        digest = open_hash(book.tips[0].hash, gpu.id, row.start_s, body, each.state)
        each.open = Open(gpu.id, row.start_s, body, each.state, digest)
        each.open_since = number

    def _take_marks(self, each: _GpuBook) -> None:
        for source, values in each.ready_marks.items():
            self._marked = self._number
            if values:
                self._marks[source] = dict(values)
            else:
                self._marks.pop(source, None)
        each.ready_marks.clear()

    def _commit(self, now_s: int) -> Commit:
        books = self._books.values()
        return Commit(
            number=self._number,
            now_s=now_s,
            gpus=tuple([gpu for _, gpu in self._gpus]),
            chained=tuple([row for _, row in self._chained]),
            sealed=tuple([row for each in books for _, row in each.sealed]),
            opens=tuple([each.open for each in books if each.open is not None]),
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterator[Note]:
        if self._counted > self._writer.written:
            yield self._note(PREFIX, counts_text(self._live.counts.totals))
        if self._marked:
            yield self._note(MARKS, marks_text(self._marks))

    def _note(self, prefix: str, body: str) -> Note:
        name = prefix + self._session.backend
        return Note(name, body, note_hash(self._loaded.ledger_id, name, body))

    def _keep_view(self) -> None:
        """Of views not shown yet, the oldest may be being written, and the newest has all."""
        for number in list(self._views)[1:]:
            del self._views[number]
        self._views[self._number] = self._live.view()

    def _acknowledge(self) -> None:
        written = self._writer.written
        shown = [number for number in self._views if number <= written]
        if not shown:
            return
        self._durable = self._views[max(shown)]
        for number in shown:
            del self._views[number]
        self._gpus = [each for each in self._gpus if each[0] > written]
        self._chained = [each for each in self._chained if each[0] > written]
        if self._marked <= written:
            self._marked = 0
        for book in self._books.values():
            if book.sealed:
                book.sealed = [row for row in book.sealed if row[0] > written]
            if book.open_since <= written:
                book.open = None


def _width_s(waiting: int) -> int:
    """Of new rows, where so many wait to be written."""
    if not waiting:
        return LEVELS[0].width_s
    return next((width_s for rows, width_s in _LONGER if waiting >= rows), LEVELS[0].width_s)
