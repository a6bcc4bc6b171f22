"""A trace to what is in it: per GPU how many readings, how much power, how much energy.

Energy is computed here the plain way, apart from the meter's, so that the two can be compared.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from submeter.model import GpuInfo, Reading
from submeter.trace.reader import Trace
from submeter.trace.records import GpuRecord, ReadingRecord
from submeter.units import NS_PER_S, PJ_PER_UJ

_JOIN_NS = 2 * NS_PER_S  # as the meter: points further apart than this and 3 refreshes
_JOIN_REFRESHES = 3


@dataclass(slots=True)
class GpuSummary:
    """One GPU of a trace. Energies are None where there was nothing to compute them from."""

    info: GpuInfo
    readings: int = 0
    peak_mw: int | None = None
    integral_pj2: int | None = None  # twice the energy in pJ: whole numbers
    metered_ns: int = 0  # time that the integral covers
    gap_ns: int = 0  # time between readings that it doesn't
    counter_uj: int | None = None
    resets: int = 0
    _point: tuple[int, int] | None = None
    _counter: int | None = None

    @property
    def integral_uj(self) -> int | None:
        """∫power by the trapezoid rule."""
        return None if self.integral_pj2 is None else self.integral_pj2 // (2 * PJ_PER_UJ)

    @property
    def mean_mw(self) -> int | None:
        """∫power over the time it covers."""
        if not self.metered_ns or self.integral_pj2 is None:
            return None
        return self.integral_pj2 // (2 * self.metered_ns)

    def add(self, reading: Reading) -> None:
        """One more reading, in order of time."""
        self.readings += 1
        average = self.info.energy_source == "average" and reading.average_mw is not None
        power_mw = reading.average_mw if average else reading.instant_mw
        power_mw = reading.average_mw if power_mw is None else power_mw
        if power_mw is not None:
            self.peak_mw = max(power_mw, self.peak_mw or 0)
            self._integrate(reading.at_ns, power_mw)
        if reading.energy_uj is not None:
            self._count(reading.energy_uj)

    def _integrate(self, at_ns: int, power_mw: int) -> None:
        before, self._point = self._point, (at_ns, power_mw)
        if before is None:
            return
        step_ns = at_ns - before[0]
        if 0 <= step_ns <= max(_JOIN_NS, _JOIN_REFRESHES * self.info.refresh_ns):
            self.integral_pj2 = (self.integral_pj2 or 0) + (power_mw + before[1]) * step_ns
            self.metered_ns += step_ns
        else:
            self.gap_ns += max(0, step_ns)

    def _count(self, energy_uj: int) -> None:
        before, self._counter = self._counter, energy_uj
        gained_uj = 0 if before is None else energy_uj - before
        self.resets += gained_uj < 0
        self.counter_uj = (self.counter_uj or 0) + max(0, gained_uj)


class Summary(NamedTuple):
    """All of a trace."""

    gpus: tuple[GpuSummary, ...]
    counts: Mapping[str, int]  # kind of record → how many


def summarise(trace: Trace) -> Summary:
    """Reads the trace once more. Raises InputError where it has changed and is wrong now."""
    gpus = [GpuSummary(info) for info in trace.header.gpus]
    counts: Counter[str] = Counter()
    for record in trace.records():
        counts[type(record).__name__.removesuffix("Record").lower()] += 1
        if isinstance(record, ReadingRecord):
            gpus[record.gpu].add(record.reading)
        elif isinstance(record, GpuRecord) and record.gpu == len(gpus):
            gpus.append(GpuSummary(record.info))
    return Summary(tuple(gpus), counts)
