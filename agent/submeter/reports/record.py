"""What a report is: rows that sum to its total, and what is known of how good they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from submeter.model import Method, Phase
from submeter.reports.calendar import Bucket
from submeter.reports.priced import NOTHING, UNPRICED, Amounts, Priced
from submeter.reports.question import Question
from submeter.reports.work import Done, WorkDone


class Row(NamedTuple):
    """One line: the values of the keys asked by, and the energy."""

    values: tuple[str, ...]
    energy_uj: int
    work: tuple[Done, ...] = ()  # where all keys are of owners and times


class GpuUse(NamedTuple):
    """A GPU and what it used in the period."""

    uuid: str
    number: int  # its index, a label only; -1 where it isn't known
    name: str
    energy_uj: int


class Stretch(NamedTuple):
    """A bar of the plot over time."""

    bucket: Bucket
    energy_uj: Mapping[Phase, int]


class WorkloadUse(NamedTuple):
    """What a workload used, by phase."""

    workload: str
    energy_uj: Mapping[Phase, int]

    @property
    def sum_uj(self) -> int:
        """All of it."""
        return sum(self.energy_uj.values())


@dataclass(frozen=True, slots=True)
class Quality:
    """How the figures were found and what is missing. None: not known from this source."""

    exact: bool = True  # False: rates and extrapolation are behind it
    method_uj: Mapping[Method, int] | None = None
    suspect_uj: Mapping[str, int] = field(default_factory=dict)  # by reason; in no total
    unmetered_ns: Mapping[str, int] = field(default_factory=dict)  # by reason
    source_uj: Mapping[str, int] | None = None  # of joules not from the hardware counter
    metered_ns: int | None = None
    period_ns: int | None = None  # what metered_ns would be if nothing were missing
    unobserved_ns: int | None = None  # in metered_ns: only the counter watched
    clock_unsynced: int = 0  # rows whose time is not known
    blurred_uj: int = 0  # of rows that an edge cuts, booked whole to where they begin
    events: Mapping[str, int] = field(default_factory=dict)  # jitters, resets, stalls
    problems: tuple[str, ...] = ()  # what could not be asked: the report is partial

    @property
    def coverage(self) -> float | None:
        """Time with an energy figure, of all GPUs' time in the period; None if not known."""
        if self.metered_ns is None or not self.period_ns:
            return None
        return min(1.0, self.metered_ns / self.period_ns)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the figures come from, without naming a host."""

    kind: str  # ledger | prometheus
    backend: str = ""  # nvml | mock | replay | several
    notes: tuple[str, ...] = ()  # what every reader must know

    @property
    def notices(self) -> tuple[str, ...]:
        """What every presentation says loudly."""
        loud = _LOUD.get(self.backend)
        return self.notes if loud is None else (loud, *self.notes)


_LOUD = {
    "mock": "Simulated boards: no real electricity was metered.",
    "replay": "Played back from a recording: nothing was metered at these times.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """The answer. Σ ``rows`` = Σ ``gpus`` = Σ ``timeline`` = ``total_uj``."""

    question: Question
    origin: Origin
    version: str
    made_s: int
    since_s: int | None  # of the stretch; None where nothing was ever metered
    until_s: int
    total_uj: int = 0
    rows: tuple[Row, ...] = ()
    gpus: tuple[GpuUse, ...] = ()
    quality: Quality = Quality()
    phase_uj: Mapping[Phase, int] = field(default_factory=dict)
    layers_uj: Mapping[str, int] = field(default_factory=dict)  # see `tally.LAYERS`
    workloads: tuple[WorkloadUse, ...] = ()  # who used most, first
    work: tuple[WorkDone, ...] = ()  # what workloads told of, by phase, workload and unit
    timeline: tuple[Stretch, ...] = ()  # empty unless asked for
    priced: Priced = UNPRICED

    def amounts(self) -> tuple[Amounts, ...]:
        """What each of the rows comes to."""
        return self.priced.rows or (NOTHING,) * len(self.rows)

    def share(self, energy_uj: int) -> float | None:
        """A part of the total; None for a total of 0."""
        return energy_uj / self.total_uj if self.total_uj else None
