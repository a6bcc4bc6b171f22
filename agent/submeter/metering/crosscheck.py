"""Closed intervals in, ∫power ÷ Δcounter over the last ten minutes out.

Two sensors of one board tell the same story twice. Where they don't agree, at least one of them
is wrong, and somebody should know (Zeus issue 181: 187 J against 327 J).
"""

from array import array
from typing import Final, NamedTuple

from submeter.model import EnergySource, Interval
from submeter.units import NS_PER_MS, NS_PER_S, PJ_PER_UJ, UJ_PER_J, mean_power_mw

_WINDOW_NS: Final = 600 * NS_PER_S
_LEAST_NS: Final = 30 * NS_PER_S
_LEAST_UJ: Final = 50 * UJ_PER_J
_SLIVER_NS: Final = NS_PER_MS  # the power of less is no power
_MOST_UJ: Final = 1 << 60  # ten years of a megawatt in one interval: nonsense, and no sum of it
AVERAGE_LAG_NS: Final = 500 * NS_PER_MS
"""A mean over the last second (NVML's power on Ampere, without GA100, and newer) is half a second
behind the energy counter."""


class _Entry(NamedTuple):
    duration_ns: int
    integral_uj: int
    counter_uj: int


class CrossCheck:
    """Owns the last ten minutes' sums of one GPU."""

    def __init__(self, window_ns: int = _WINDOW_NS, lag_ns: int = 0) -> None:
        """``lag_ns``: by how much the power gauge is behind (`AVERAGE_LAG_NS` for a 1-s mean)."""
        self._window_ns = window_ns
        self._lag_ns = lag_ns
        self._entries = array("q")  # three numbers each: objects would be ten times as large
        self._first = 0  # of those in the window
        self._duration_ns = 0
        self._integral_uj = 0
        self._counter_uj = 0

    def add(self, interval: Interval) -> None:
        """Takes an interval if both figures are known and nothing odd happened in it."""
        entry = _comparable(interval)
        if entry is None:
            return
        self._entries.extend(entry)
        self._sum(entry, 1)
        while (
            self._duration_ns - (oldest := self._entry(self._first)).duration_ns >= self._window_ns
        ):
            self._sum(oldest, -1)
            self._first += len(oldest)
        if 2 * self._first > len(self._entries):
            del self._entries[: self._first]
            self._first = 0

    def ppm(self) -> int | None:
        """∫power ÷ Δcounter in parts per million; None before 30 s and 50 J.

        A gauge that lags by τ integrates P(t − τ); the window's integral is then short by
        τ·(P at its end − P at its start), which is added back.
        """
        if self._duration_ns < _LEAST_NS or self._counter_uj < _LEAST_UJ:
            return None
        rise_mw = _power_mw(self._entry(-3)) - _power_mw(self._entry(self._first))
        corrected_uj = self._integral_uj + self._lag_ns * rise_mw // PJ_PER_UJ
        return max(corrected_uj, 0) * 1_000_000 // self._counter_uj

    def _entry(self, at: int) -> _Entry:
        numbers = self._entries
        return _Entry(numbers[at], numbers[at + 1], numbers[at + 2])

    def _sum(self, entry: _Entry, sign: int) -> None:
        self._duration_ns += sign * entry.duration_ns
        self._integral_uj += sign * entry.integral_uj
        self._counter_uj += sign * entry.counter_uj


def _comparable(interval: Interval) -> _Entry | None:
    if interval.source is not EnergySource.COUNTER or not interval.observed:
        return None
    if interval.suspect_uj or interval.resets:
        return None
    if interval.integral_uj is None or interval.counter_uj is None:
        return None
    duration_ns = interval.end_ns - interval.start_ns
    if duration_ns < _SLIVER_NS or max(interval.integral_uj, interval.counter_uj) > _MOST_UJ:
        return None
    return _Entry(duration_ns, interval.integral_uj, interval.counter_uj)


def _power_mw(entry: _Entry) -> int:
    return mean_power_mw(entry.counter_uj, entry.duration_ns)
