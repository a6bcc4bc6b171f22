"""Fast readings in, how often the sensor gives a new value out.

The sensor's period is the slope of (time of a change) over (number of the change). Changes are
only seen at the next reading, and a value may repeat, so gaps are first counted in whole periods;
then one late reading moves the slope by its lateness divided by the whole time, not by a gap's.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from submeter.model import Reading
from submeter.units import NS_PER_MS

_ASSUMED_NS: Final = {"pascal": 20 * NS_PER_MS, "volta": 20 * NS_PER_MS}
_ASSUMED_OTHERWISE_NS: Final = 100 * NS_PER_MS
"""Update periods by generation: Yang, Adámek, Armour, arXiv 2312.02741, table of architectures."""

_MIN_GAPS: Final = 2  # two gaps that agree: what a 500 ms sensor shows in 1.5 s
_MAX_CHANGING_SHARE: Final = 0.75
"""Where nearly every reading is new, the readings are slower than the sensor."""
_MAX_MISFIT: Final = 0.15  # of a period, beyond what the readings' own spacing explains
_MAX_MISFITS: Final = 0.1  # share of gaps
_LATE_READING: Final = 3  # times the usual spacing: when the change came is then unknown

_SIGNALS: Final[tuple[Callable[[Reading], int | None], ...]] = (
    lambda reading: reading.energy_uj,
    lambda reading: reading.instant_mw,
    lambda reading: reading.average_mw,
)


class _Change(NamedTuple):
    at_ns: int  # halfway between the reading that first showed it and the one before
    slack_ns: int  # how long between those two


class _Gap(NamedTuple):
    long_ns: int
    slack_ns: int  # how much longer or shorter it may have been
    changes: int  # at least so many periods


def assumed_refresh_ns(arch: str) -> int:
    """What to assume where it can't be measured: 20 ms for Pascal and Volta, 100 ms for others."""
    return _ASSUMED_NS.get(arch, _ASSUMED_OTHERWISE_NS)


def estimate_refresh_ns(readings: Sequence[Reading]) -> int | None:
    """How often the board's fastest signal changed; None where these readings can't tell.

    Wants readings at 2…5 ms for about 1.5 s: at least twice as fast as the sensor, and three
    changes long. A value that never changes (an idle board's power) tells nothing; the energy
    counter then still does.
    """
    periods = []
    for signal in _SIGNALS:
        points = [(r.at_ns, value) for r in readings if (value := signal(r)) is not None]
        period_ns = estimate_period_ns(points)
        if period_ns is not None:
            periods.append(period_ns)
    return min(periods, default=None)


def estimate_period_ns(points: Sequence[tuple[int, int]]) -> int | None:
    """The period at which one signal changed, from its (time in ns, value) readings in order."""
    changes = _changes(points)
    if not changes or len(changes) > _MAX_CHANGING_SHARE * (len(points) - 1):
        return None
    gaps = _gaps(changes)
    if len(gaps) < _MIN_GAPS:
        return None
    for candidate in _candidates(gaps):
        period = candidate
        for _ in range(2):  # the candidate says which gap is how many periods; the slope answers
            period = sum(gap.long_ns for gap in gaps) / sum(_whole(gap, period) for gap in gaps)
        if _fits(gaps, period):
            return round(period)
    return None


def _changes(points: Sequence[tuple[int, int]]) -> list[_Change]:
    return [
        _Change((earlier_ns + later_ns) // 2, later_ns - earlier_ns)
        for (earlier_ns, earlier), (later_ns, later) in itertools.pairwise(points)
        if earlier != later
    ]


def _gaps(changes: list[_Change]) -> list[_Gap]:
    """Between those changes whose time is known well; a late reading's change is only counted."""
    late_ns = _LATE_READING * _middle(sorted(change.slack_ns for change in changes))
    sharp = [i for i, change in enumerate(changes) if change.slack_ns <= late_ns]
    return [
        _Gap(
            changes[j].at_ns - changes[i].at_ns,
            (changes[i].slack_ns + changes[j].slack_ns) // 2,
            j - i,
        )
        for i, j in itertools.pairwise(sharp)
    ]


def _candidates(gaps: list[_Gap]) -> tuple[float, float]:
    """Longest first: where values repeat, most gaps may be two periods, but many are one."""
    each = sorted(gap.long_ns / gap.changes for gap in gaps)
    return _middle(each), each[len(each) // 4]


def _middle(ascending: Sequence[float]) -> float:
    """The median, without a module that an agent would load for it alone (2 MB)."""
    half = len(ascending) // 2
    return ascending[half] if len(ascending) % 2 else (ascending[half - 1] + ascending[half]) / 2


def _whole(gap: _Gap, period: float) -> int:
    return max(gap.changes, round(gap.long_ns / period))


def _fits(gaps: list[_Gap], period: float) -> bool:
    """Whether the gaps are whole periods, but for how finely the readings lay."""
    misfits = 0
    for gap in gaps:
        off_ns = abs(gap.long_ns - _whole(gap, period) * period)
        misfits += off_ns > _MAX_MISFIT * period + gap.slack_ns
    return misfits <= _MAX_MISFITS * len(gaps)
