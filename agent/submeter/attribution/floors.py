"""Intervals in which a board did nothing in, what it draws for nothing out.

A board draws a bare floor while nobody holds it and a step more as soon as somebody does (26–66 W
on today's boards: arXiv 2605.23918). Both are learnt from intervals during which the driver said
0 % utilisation from before their start to after their end, each in bands of temperature, since
leakage grows with it. A floor is a low percentile of the last such intervals of its band, never
the lowest ever seen: one glitch would stay for good.
"""

from collections import deque
from typing import Final, NamedTuple

from submeter.model import Activity, Floors, Interval
from submeter.units import NS_PER_S, mean_power_mw

BAND_C: Final = 5
NEEDED: Final = 5
"""So many quiet intervals of a second make a floor."""
_KEPT: Final = 120
"""Per band: two minutes of quiet; older ones make room, which is the slow decay."""
_PERCENTILE: Final = 20
_WAITING: Final = 32
_SHORTEST_NS: Final = NS_PER_S // 2
"""The counter steps every 20–100 ms: the mean power of less than this is mostly that."""


class _Waiting(NamedTuple):
    """An interval whose end the driver's utilisation doesn't cover yet."""

    interval: Interval
    held: bool
    temperature_c: int | None


class FloorLearner:
    """The floors of one board. One thread."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque(maxlen=_WAITING)
        self._bands: dict[tuple[bool, int], deque[int]] = {}
        self._learnt: dict[tuple[bool, int], int] = {}
        self._quiet_since_ns: int | None = None
        self._found: dict[int, tuple[Floors, Floors | None]] = {}  # until more is learnt

    def observe(self, interval: Interval, held: bool | None, temperature_c: int | None) -> None:
        """An interval and whether anybody held the GPU; None where the driver doesn't say."""
        odd = interval.suspect_uj or interval.unmetered_ns or interval.resets or interval.stalls
        short = interval.end_ns - interval.start_ns < _SHORTEST_NS
        if held is not None and interval.observed and not odd and not short:
            self._waiting.append(_Waiting(interval, held, temperature_c))

    def look(self, activity: Activity | None) -> None:
        """What the driver says of the GPU's utilisation now: judges the intervals before it."""
        if activity is None or activity.utilization_percent is None:
            self._quiet_since_ns = None
            self._waiting.clear()
            return
        if activity.utilization_percent:
            self._quiet_since_ns = None
        elif self._quiet_since_ns is None:
            self._quiet_since_ns = activity.at_ns
        while self._waiting and self._waiting[0].interval.end_ns <= activity.at_ns:
            self._judge(self._waiting.popleft())

    def floors(self, temperature_c: int | None) -> Floors:
        """What to take off first at that temperature; 0 where nothing was learnt yet.

        Where the board was never seen without a holder, floor and step can't be told apart: both
        are then the floor. What a regression of power on use leaves unexplained is no floor: a
        process that works evenly all the time looks the same.
        """
        return self._at(_band(temperature_c))[0]

    def held(self, temperature_c: int | None) -> Floors | None:
        """The same, but None unless the board was seen quiet while it was held."""
        return self._at(_band(temperature_c))[1]

    def _judge(self, waiting: _Waiting) -> None:
        since_ns = self._quiet_since_ns
        interval = waiting.interval
        if since_ns is None or interval.start_ns < since_ns:
            return
        key = (waiting.held, _band(waiting.temperature_c))
        powers = self._bands.setdefault(key, deque(maxlen=_KEPT))
        powers.append(mean_power_mw(interval.energy_uj, interval.end_ns - interval.start_ns))
        if len(powers) >= NEEDED:
            self._learnt[key] = sorted(powers)[len(powers) * _PERCENTILE // 100]
            self._found.clear()

    def _at(self, band: int) -> tuple[Floors, Floors | None]:
        """The floors in a band, and the same if the board was seen quiet while it was held."""
        found = self._found.get(band)
        if found is None:
            idle_mw, held_mw = self._near(False, band), self._near(True, band)
            if idle_mw is None:
                floors = Floors(idle_mw=held_mw or 0)
            else:
                floors = Floors(idle_mw, max(0, (held_mw or idle_mw) - idle_mw))
            found = self._found[band] = floors, None if held_mw is None else floors
        return found

    def _near(self, held: bool, wanted: int) -> int | None:
        """Of the bands learnt the nearest one, the cooler of two."""
        found = self._learnt.get((held, wanted))
        if found is not None:
            return found
        bands = [band for known, band in self._learnt if known is held]
        if not bands:
            return None
        return self._learnt[held, min(bands, key=lambda band: (abs(band - wanted), band))]


def _band(temperature_c: int | None) -> int:
    return -1 if temperature_c is None else temperature_c // BAND_C
