"""A ledger and a stretch of time in, who used how much in it out: for reports, never writing.

    with open_reader(state_dir) as reader:
        for piece in reader.pieces(since_s, until_s, edges):
            for series, energy_uj in piece.energy: …

What a piece is: a row of the ledger, at the longest resolution that serves. ``edges`` are the
moments (seconds since 1970, UTC) that no piece may cross, as the hours, local midnights or months
that a report has columns for: between two of them everything may be one piece. So a month without
edges is read from about thirty rows a GPU, by the hour from 744, in any time zone: an hour knows
its quarters. A piece belongs to the stretch
that its ``start_s`` is in.

What is exact: Σ of all pieces = the totals of the ledger, always; in between, pieces are exact to
the 10 s in which they were booked. Where the tens or minutes of old times were removed (see
`retention.py`), an edge inside what is left falls to the stretch in which that begins, and
``exact`` is False.

What else a piece says: ``metered_ns`` (time whose energy is known), and its ``facts``:

| fact                | is                                                                        |
|---------------------|---------------------------------------------------------------------------|
| ``unmetered.REASON``| ns without any energy figure, by `UnmeteredReason`                        |
| ``suspect.REASON``  | µJ outside every total, by `SuspectReason`                                |
| ``source.SOURCE``   | µJ that came from an `EnergySource` other than the hardware counter       |
| ``unobserved``      | ns that only the hardware counter covers (the agent was down, suspended)  |
| ``clock_unsynced``  | rows that were labelled by a clock not set yet; their pieces have labels  |
|                     | from later in the same boot, where there are any                          |
| ``done.SERIES.UNIT``| how much work the owner of that series did (see `done`)                    |
| ``jitters`` …       | how often the counter fell a little, restarted, stood still               |

Energies of one GPU of one backend: ``series.account.gpu_uuid`` is in `Piece.gpu`, too. By default
only the backend that wrote last is read, so that a simulation is never billed with real boards.

Corrections (reversing entries) are pieces of their own, at the time of what they correct: minus
the energy for its series, plus the same for workload "(corrected)"; they sum to 0.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from submeter.errors import StateUnusable
from submeter.ledger import chains
from submeter.ledger.book import SYNCED_FROM_S
from submeter.ledger.ends import End
from submeter.ledger.files import reading
from submeter.ledger.pieces import Piece, Wanted
from submeter.ledger.records import Gpu, Series, Session
from submeter.ledger.rows import LEVELS, QUARTER_S, TOP, BadRow, Cover, Row, decode
from submeter.ledger.schema import VERSION, version_of
from submeter.model import Account, Component, Method, Owner, Phase
from submeter.units import NS_PER_S

CORRECTED: Final = Owner(Phase.UNATTRIBUTED, workload="(corrected)")
"""Who has the energy that a correction took from a series."""


class Total(NamedTuple):
    """A GPU since the ledger began."""

    gpu: Gpu
    energy_uj: int
    first_s: int  # label of its first row
    last_s: int  # when its last row ended, by the wall clock


@contextmanager
def open_reader(directory: Path, backend: str | None = None) -> Iterator["Reader"]:
    """Reads the ledger of a state directory, whether an agent is writing or not.

    ``backend``: whose GPUs; by default those of the backend that wrote last. Raises StateUnusable
    where there is no ledger to read, or what it says was changed since it was written.
    """
    with reading(directory) as connection:
        try:
            reader = Reader(connection, backend)
            yield reader
        except chains.UNREADABLE as error:
            raise StateUnusable(f"the ledger in {directory} is damaged: {error}") from error


class Reader:
    """What the ledger said when this was made; later rows are not seen."""

    def __init__(self, connection: sqlite3.Connection, backend: str | None = None) -> None:
        self._connection = connection
        version = version_of(connection)
        self.newer = version if version > VERSION else 0
        connection.execute("BEGIN")
        try:
            ledger = chains.ledger_id(connection)
            known = chains.gpus(connection, ledger)
            uuids = {gpu.id: gpu.uuid for gpu in known}
            self.sessions = [
                Session._make(values)
                for values, _ in chains.chained_rows(connection, ledger, "sessions")
            ]
            self.series = {
                series.id: series
                for values, _ in chains.chained_rows(connection, ledger, "series")
                for series in [chains.as_series(values, uuids)]
            }
            self._corrections = [
                values for values, _ in chains.chained_rows(connection, ledger, "corrections")
            ]
            self.backends = sorted({gpu.backend for gpu in known})
            newest = self.sessions[-1].backend if self.sessions else ""
            self.backend = newest if backend is None else backend
            self.gpus = sorted(
                (gpu for gpu in known if gpu.backend == self.backend),
                key=lambda gpu: (gpu.position, gpu.id),
            )
            self._ends = {gpu.id: End(connection, gpu.id) for gpu in self.gpus}
        finally:
            connection.execute("COMMIT")
        self._boot_ids = {session.id: session.boot_id for session in self.sessions}
        self._offsets: dict[str, int] = {}

    def totals(self) -> list[Total]:
        """Every GPU since the ledger began."""
        found = []
        for gpu in self.gpus:
            end = self._ends[gpu.id]
            if end.last is not None:
                first_s = next((piece.start_s for piece in self._of_gpu(gpu, None)), 0)
                last_s = -(-self._wall_ns(gpu, end.last) // NS_PER_S)
                found.append(Total(gpu, end.last.total_uj, first_s, last_s))
        return found

    def pieces(self, since_s: int, until_s: int, edges: Sequence[int] = ()) -> Iterator[Piece]:
        """What was used in [since_s, until_s), GPU by GPU, in the order in which it was booked.

        ``edges``: moments that no piece crosses where that is still known. Raises BadRow for a
        row that was changed since it was written so far that it can't be read; `submeter verify`
        finds every change.
        """
        wanted = Wanted(since_s, until_s, tuple(sorted({since_s, until_s, *edges})))
        for gpu in self.gpus:
            yield from self._of_gpu(gpu, wanted)
            yield from self._corrections_of(gpu, wanted)

    # ---- rows ------------------------------------------------------------------------------

    def _of_gpu(self, gpu: Gpu, wanted: Wanted | None) -> Iterator[Piece]:
        end = self._ends[gpu.id]
        for level in range(TOP, -1, -1):
            yield from self._rows(gpu, wanted, level, end.covered[level], end.tips[level])
        if end.open is not None:
            piece = self._piece(gpu, 0, end.open)
            if wanted is None or wanted.has(piece.start_s):
                yield piece

    def _rows(
        self, gpu: Gpu, wanted: Wanted | None, level: int, after: int, until: int
    ) -> Iterator[Piece]:
        """The rows numbered (after, until] of a level, those that an edge cuts by their parts."""
        below: int | None = None
        if until <= after:
            return
        for sealed in chains.sealed_rows(self._connection, level, gpu.id, after, until):
            row = decode(level, sealed.start_s, sealed.body)
            begins, below = below, row.cover.below if row.cover is not None else None
            piece = self._piece(gpu, level, row)
            if wanted is None or wanted.contains(piece):
                yield piece
            elif not wanted.touches(piece):
                continue
            elif row.cover is None:
                if wanted.has(piece.start_s):
                    yield piece
            elif row.quarters and wanted.cuts(piece, QUARTER_S):
                yield from self._quarters(piece, row, wanted)
            else:
                if begins is None:
                    begins = self._below(gpu, level, sealed.seq, row.cover)
                numbers = None if begins is None else range(begins, row.cover.below)
                yield from self._parts(gpu, wanted, level, piece, numbers)

    def _quarters(self, hour: Piece, row: Row, wanted: Wanted) -> Iterator[Piece]:
        """The quarters of an hour, as far as they are wanted."""
        for which, quarter in sorted(row.quarters.items(), key=lambda item: item[0]):
            start_s = hour.start_s + which * QUARTER_S
            if wanted.has(start_s):
                energy = self._named(quarter)
                span = (start_s, start_s + QUARTER_S)
                yield Piece(hour.gpu, *span, energy, quarter.metered_ns, quarter.facts)

    def _parts(
        self, gpu: Gpu, wanted: Wanted, level: int, piece: Piece, numbers: range | None
    ) -> Iterator[Piece]:
        """The rows that a row covers, numbered above ``numbers.start`` up to ``stop``; where one
        of them was removed, the row itself."""
        if numbers is not None and self._count(gpu, level - 1, numbers) == len(numbers):
            yield from self._rows(gpu, wanted, level - 1, numbers.start, numbers.stop)
        elif wanted.has(piece.start_s):
            yield replace(piece, exact=False)

    def _count(self, gpu: Gpu, level: int, numbers: range) -> int:
        table = LEVELS[level].name
        query = f"SELECT count(*) FROM {table} WHERE gpu = ? AND seq > ? AND seq <= ?"  # noqa: S608
        found = self._connection.execute(query, (gpu.id, numbers.start, numbers.stop))
        return int(found.fetchone()[0])

    def _below(self, gpu: Gpu, level: int, seq: int, cover: Cover) -> int | None:
        """The number before the first row of the level below that a row covers; None if that was
        removed."""
        if seq == 1:
            return 0
        for sealed in chains.sealed_rows(self._connection, level, gpu.id, seq - 2, seq - 1):
            before = decode(level, sealed.start_s, sealed.body).cover
            return 0 if before is None else before.below
        # the row before was removed: look for the first one by the tens that it begins with
        for sealed in chains.sealed_rows(self._connection, level - 1, gpu.id, 0, cover.below):
            own = decode(level - 1, sealed.start_s, sealed.body).cover
            first = sealed.seq if own is None else own.first
            if first >= cover.first:
                return sealed.seq - 1 if first == cover.first else None
        return None

    def _piece(self, gpu: Gpu, level: int, row: Row) -> Piece:
        width_s = LEVELS[level].width_s
        start_s = row.start_s
        if start_s < SYNCED_FROM_S:
            end_s = self._wall_ns(gpu, row) // NS_PER_S
            start_s += (end_s - row.end_wall_ns // NS_PER_S) // 10 * 10
        energy = self._named(row)
        return Piece(gpu, start_s, start_s + width_s, energy, row.metered_ns, row.facts)

    def _named(self, row: Row) -> tuple[tuple[Series, int], ...]:
        return tuple([(self._series(number), uj) for number, uj in row.energy_uj.items()])

    def _series(self, number: int) -> Series:
        try:
            return self.series[number]
        except KeyError:
            raise BadRow(f"series {number}: missing, though energy was booked to it") from None

    def _corrections_of(self, gpu: Gpu, wanted: Wanted) -> Iterator[Piece]:
        for _, number, start_s, level, _, series, energy_uj, *_ in self._corrections:
            if number != gpu.id or not wanted.has(int(str(start_s))):
                continue
            whose = self._series(int(str(series)))
            account = Account(gpu.uuid, "", Component.DYNAMIC, CORRECTED)
            corrected = Series(0, gpu.id, account, Method.UNATTRIBUTED)
            amount = int(str(energy_uj))
            start, width_s = int(str(start_s)), LEVELS[int(str(level))].width_s
            yield Piece(gpu, start, start + width_s, ((whose, -amount), (corrected, amount)))

    # ---- time ------------------------------------------------------------------------------

    def _wall_ns(self, gpu: Gpu, row: Row) -> int:
        """When a row ended: its label, or where the clock was not set yet, what a later row of
        the same boot says."""
        if row.start_s >= SYNCED_FROM_S:
            return row.end_wall_ns
        boot_id = self._boot_ids.get(row.session, "")
        if boot_id not in self._offsets:
            self._offsets[boot_id] = self._offset_ns(gpu, boot_id)
        offset_ns = self._offsets[boot_id]
        return row.end_ns + offset_ns if offset_ns else row.end_wall_ns

    def _offset_ns(self, gpu: Gpu, boot_id: str) -> int:
        """Wall clock minus boot time, as the first row of a boot with a set clock has it; or 0."""
        end = self._ends[gpu.id]
        rows = [] if end.open is None else [end.open]
        for level in range(TOP, -1, -1):
            stored = chains.sealed_rows(self._connection, level, gpu.id, end.covered[level])
            rows.extend(decode(level, sealed.start_s, sealed.body) for sealed in stored)
        same = [
            row.end_wall_ns - row.end_ns
            for row in rows
            if row.start_s >= SYNCED_FROM_S and self._boot_ids.get(row.session) == boot_id
        ]
        return min(same, default=0) if boot_id else 0
