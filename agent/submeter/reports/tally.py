"""Pieces of energy in, a report out: sums of integers and nothing else, so parts are the whole."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from submeter import __version__
from submeter.footprint.rates import Schedule
from submeter.ledger.done import done_of
from submeter.ledger.pieces import Piece
from submeter.ledger.records import Gpu, Series
from submeter.model import Component, Method, Phase
from submeter.reports.calendar import UNITS, Bucket
from submeter.reports.priced import Cell, Priced, priced
from submeter.reports.question import Question
from submeter.reports.record import GpuUse, Origin, Quality, Report, Row, Stretch, WorkloadUse
from submeter.reports.work import Cell as WorkCell
from submeter.reports.work import Done, Used, work_by, workloads

NO_TIME: Final = "(time not known)"
"""Instead of an hour, day or month for what was booked while the clock was not set, or was wrong by
so much that its time is outside everything else's."""

_NEAR_S: Final = 3_600  # a clock set back by less than that makes no time unknown

LAYERS: Final = ("work", "context", "idle_held", "idle", "unattributed")
"""Work; the extra draw because somebody holds the GPU; the bare floor below holders; the floor with
nobody there; what can't be split."""

_KEY_OF: Final[Mapping[str, Callable[[Series], str]]] = {
    "phase": lambda series: str(series.account.owner.phase),
    "workload": lambda series: series.account.owner.workload,
    "user": lambda series: series.account.owner.user,
    "namespace": lambda series: series.account.owner.namespace,
    "pod": lambda series: series.account.owner.pod,
    "container": lambda series: series.account.owner.container,
    "job": lambda series: series.account.owner.job,
    "gpu": lambda series: series.account.gpu_uuid,
    "method": lambda series: str(series.method),
    "component": lambda series: str(series.account.component),
}

_OF_OWNERS: Final = frozenset(_KEY_OF) - {"gpu", "method", "component"}

K = TypeVar("K")
Group = tuple[tuple[str, ...], Phase]


@dataclass(slots=True)
class Tally:
    """Owns the sums while pieces come in. Used by one thread."""

    question: Question
    buckets: Sequence[Bucket]
    """The hours, days or months to tell apart; empty for none."""
    schedule: Schedule | None = None
    """Which factors are valid when; None: none are applied."""
    _parts: dict[tuple[int, int, int], int] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=list)
    _series: dict[int, Series] = field(default_factory=dict)
    _groups: dict[int, Group] = field(default_factory=dict)
    _totals: dict[int, int] = field(default_factory=dict)
    _cells: dict[int, dict[int, int]] = field(default_factory=dict)
    """µJ by part of time and series."""
    _done: dict[tuple[int, int, str], int] = field(default_factory=dict)
    _named: Mapping[int, Series] = field(default_factory=dict)
    _gpus: dict[str, Gpu] = field(default_factory=dict)
    _gpu_uj: dict[str, int] = field(default_factory=dict)
    _facts: dict[str, int] = field(default_factory=dict)
    _metered_ns: int = 0
    _blurred_uj: int = 0

    def know(self, gpus: Iterable[Gpu]) -> None:
        """Names GPUs that are to be in the report whether they used anything or not."""
        for gpu in gpus:
            self._gpus[gpu.uuid] = gpu
            self._gpu_uj.setdefault(gpu.uuid, 0)

    def name(self, series: Mapping[int, Series]) -> None:
        """Who is behind the numbers in facts about work."""
        self._named = series

    def add(self, piece: Piece) -> None:
        """Counts a piece in."""
        if piece.gpu.uuid not in self._gpus:
            self.know((piece.gpu,))
        at = self._bucket(piece.start_s)
        cell = self._cells.setdefault(at, {})
        totals = self._totals
        sum_uj = 0
        for series, energy_uj in piece.energy:
            number = series.id
            if number not in totals:
                self._meet(series)
            totals[number] += energy_uj
            cell[number] = cell.get(number, 0) + energy_uj
            sum_uj += energy_uj
        if self.schedule is not None:
            part = self.schedule.part(piece.start_s)
            for series, energy_uj in piece.energy:
                key = part, at, series.id
                self._parts[key] = self._parts.get(key, 0) + energy_uj
        self._gpu_uj[piece.gpu.uuid] += sum_uj
        self._metered_ns += piece.metered_ns
        self._note(at, piece.facts)
        if not piece.exact:
            self._blurred_uj += sum_uj

    def _note(self, at: int, facts: Mapping[str, int]) -> None:
        for name, amount in facts.items():
            done = done_of(name)
            if done is None:
                self._facts[name] = self._facts.get(name, 0) + amount
            elif done.series in self._named:
                if done.series not in self._totals:
                    self._meet(self._named[done.series])
                self._cells.setdefault(at, {}).setdefault(done.series, 0)
                work = at, done.series, done.unit
                self._done[work] = self._done.get(work, 0) + amount

    def report(
        self,
        origin: Origin,
        quality: Quality,
        made_s: int,
        since_s: int | None,
        until_s: int,
    ) -> Report:
        """The report of what was counted in."""
        return Report(
            *(self.question, origin, __version__, made_s, since_s, until_s),
            total_uj=self.total_uj(),
            rows=self.rows(),
            gpus=self.gpus(),
            quality=quality,
            phase_uj=self.phases(),
            layers_uj=self.layers(),
            workloads=self.workloads(),
            work=workloads(*self._work()),
            timeline=self.timeline(),
            priced=self.priced(),
        )

    # ---- what comes out ----------------------------------------------------------------------

    def total_uj(self) -> int:
        """All energy."""
        return sum(self._gpu_uj.values())

    def rows(self) -> tuple[Row, ...]:
        """The lines asked for: earliest first, then who used most."""
        work = self._work_by_row()
        if not self.question.by:
            return (Row((), self.total_uj(), work.get((0, ()), ())),)
        return tuple(
            Row(key[1], energy_uj, work.get(key, ())) for key, energy_uj in self._ordered()
        )

    def priced(self) -> Priced:
        """What all of it comes to."""
        if self.schedule is None:
            return Priced()
        numbers = {key: number for number, (key, _) in enumerate(self._ordered())}
        cells = []
        for (part, at, series), energy_uj in self._parts.items():
            owner = self._series[series].account.owner
            row = numbers[self._row_key(at, self._groups[series][0])]
            cells.append(Cell(part, row, (owner.workload, owner.phase), energy_uj))
        return priced(self.schedule, cells, len(self.rows()))

    def gpus(self) -> tuple[GpuUse, ...]:
        """Every GPU, in the order of its index."""
        found = sorted(self._gpus.values(), key=lambda gpu: (gpu.position, gpu.uuid))
        return tuple(
            GpuUse(gpu.uuid, gpu.position, gpu.name, self._gpu_uj[gpu.uuid]) for gpu in found
        )

    def phases(self) -> dict[Phase, int]:
        """Energy by phase, in the phases' own order."""
        return self._by(lambda series: series.account.owner.phase, Phase)

    def methods(self) -> dict[Method, int]:
        """Energy by how it was split."""
        return self._by(lambda series: series.method, Method)

    def layers(self) -> dict[str, int]:
        """Energy by `LAYERS`."""
        return self._by(_layer, LAYERS)

    def workloads(self) -> tuple[WorkloadUse, ...]:
        """Who used energy for work or held a GPU, most first."""
        found: dict[str, dict[Phase, int]] = defaultdict(lambda: defaultdict(int))
        for number, energy_uj in self._totals.items():
            owner = self._series[number].account.owner
            if owner.phase is not Phase.IDLE:
                found[owner.workload][owner.phase] += energy_uj
        uses = (WorkloadUse(name, dict(parts)) for name, parts in found.items())
        return tuple(sorted(uses, key=lambda use: (-use.sum_uj, use.workload)))

    def timeline(self) -> tuple[Stretch, ...]:
        """Energy by phase for every bucket, also those in which nothing was used. What has no
        time is in the first one."""
        if not self.question.timeline or not self.buckets:
            return ()
        sums: list[dict[Phase, int]] = [defaultdict(int) for _ in self.buckets]
        for at, cell in self._cells.items():
            for number, energy_uj in cell.items():
                sums[max(at, 0)][self._groups[number][1]] += energy_uj
        return tuple(
            Stretch(bucket, {phase: part[phase] for phase in Phase if part.get(phase)})
            for bucket, part in zip(self.buckets, sums, strict=True)
        )

    def quality(self, period_ns: int | None = None) -> Quality:
        """What the pieces say of themselves; ``period_ns``: GPU time that they should cover."""
        return Quality(
            method_uj={method: part for method, part in self.methods().items() if part},
            suspect_uj=self._facts_of("suspect."),
            unmetered_ns=self._facts_of("unmetered."),
            source_uj=self._facts_of("source."),
            metered_ns=self._metered_ns,
            period_ns=period_ns,
            unobserved_ns=self._facts.get("unobserved", 0),
            clock_unsynced=self._facts.get("clock_unsynced", 0),
            blurred_uj=self._blurred_uj,
            events={name: self._facts.get(name, 0) for name in ("jitters", "resets", "stalls")},
        )

    # ---- helpers -----------------------------------------------------------------------------

    def _bucket(self, start_s: int) -> int:
        if not self._starts:
            self._starts = [bucket.start_s for bucket in self.buckets]
        at = bisect_right(self._starts, start_s) - 1
        if not self._starts:
            return -1
        if at < 0:
            return 0 if self._starts[0] - start_s <= _NEAR_S else -1
        return at if start_s - self.buckets[at].end_s < _NEAR_S else -1

    def _ordered(self) -> list[tuple[tuple[int, tuple[str, ...]], int]]:
        """Where each row stands in time, its values, and its energy."""
        rows: dict[tuple[int, tuple[str, ...]], int] = defaultdict(int)
        for at, cell in self._cells.items():
            groups: dict[tuple[str, ...], int] = defaultdict(int)
            for number, energy_uj in cell.items():
                groups[self._groups[number][0]] += energy_uj
            for others, energy_uj in groups.items():
                rows[self._row_key(at, others)] += energy_uj
        return sorted(rows.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))

    def _work(self) -> tuple[list[WorkCell], list[Used]]:
        """What was done, and what everybody used who may have done it."""
        cells = [
            WorkCell(at, self._named[number], unit, count)
            for (at, number, unit), count in self._done.items()
        ]
        if not cells:
            return [], []
        return cells, [
            Used(at, self._series[number], energy_uj)
            for at, cell in self._cells.items()
            for number, energy_uj in cell.items()
        ]

    def _work_by_row(self) -> dict[tuple[int, tuple[str, ...]], tuple[Done, ...]]:
        """By line, where lines tell owners apart and nothing below them."""
        if not set(self.question.by) <= _OF_OWNERS | set(UNITS):
            return {}
        return work_by(*self._work(), lambda at, series: self._row_key(at, self._values(series)))

    def _values(self, series: Series) -> tuple[str, ...]:
        return tuple(_KEY_OF[key](series) for key in self.question.by if key not in UNITS)

    def _meet(self, series: Series) -> None:
        values = self._values(series)
        self._groups[series.id] = (values, series.account.owner.phase)
        self._series[series.id] = series
        self._totals[series.id] = 0

    def _row_key(self, at: int, others: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        """Where a row stands in time (the first bucket of its day or month), and its values."""
        if self.question.unit is None:
            return 0, others
        rest = iter(others)
        values = tuple(
            (NO_TIME if at < 0 else str(getattr(self.buckets[at], key)))
            if key in UNITS
            else next(rest)
            for key in self.question.by
        )
        return self._first(at), values

    def _first(self, at: int) -> int:
        """The first bucket with the same hour, day or month as this one has."""
        unit = self.question.unit
        assert unit is not None
        label = getattr(self.buckets[at], unit) if at >= 0 else ""
        while at > 0 and getattr(self.buckets[at - 1], unit) == label:
            at -= 1
        return at

    def _by(self, key_of: Callable[[Series], K], order: Iterable[K]) -> dict[K, int]:
        sums: dict[K, int] = dict.fromkeys(order, 0)
        for number, energy_uj in self._totals.items():
            sums[key_of(self._series[number])] += energy_uj
        return sums

    def _facts_of(self, prefix: str) -> dict[str, int]:
        return {
            name.removeprefix(prefix): amount
            for name, amount in sorted(self._facts.items())
            if name.startswith(prefix)
        }


def _layer(series: Series) -> str:
    phase, component = series.account.owner.phase, series.account.component
    if phase is Phase.UNATTRIBUTED:
        return "unattributed"
    if phase is Phase.IDLE:
        return "idle"
    if component is Component.DYNAMIC:
        return "work"
    return "context" if component is Component.CONTEXT else "idle_held"
