"""Samples to samples on a line of time that never goes back, per GPU.

A log's clock is somebody's wall clock: it jumps back an hour in autumn, and logs are joined.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from submeter.trace.importers.columns import POWER_FIELDS
from submeter.trace.importers.sample import Notes, Sample
from submeter.units import NS_PER_S

_HOUR_NS: Final = 3_600 * NS_PER_S
_DST_SLACK_NS: Final = 300 * NS_PER_S  # the longest pause across the change still taken as one
_MAX_POWER_MW: Final = 1_000_000_000  # 1 MW: more than any node draws
_SIGNED: Final = ("temperature_core", "temperature_memory")


@dataclass(slots=True)
class _Place:
    """Where one GPU's time is: the last moment, what was added to it, the last step."""

    last_ns: int
    shift_ns: int = 0
    step_ns: int = NS_PER_S


def straightened(samples: Iterable[Sample], notes: Notes) -> Iterator[Sample]:
    """The same samples, each GPU's times never decreasing, without impossible values."""
    places: dict[str, _Place] = {}
    for sample in samples:
        place = places.setdefault(sample.key, _Place(sample.time_ns))
        at_ns = sample.time_ns + place.shift_ns
        if at_ns < place.last_ns:
            at_ns = _after_step_back(sample, place, notes)
        if at_ns > place.last_ns:
            place.step_ns = at_ns - place.last_ns
        place.last_ns = at_ns
        moved = sample if at_ns == sample.time_ns else sample._replace(time_ns=at_ns)
        yield _plausible(moved, notes)


def _after_step_back(sample: Sample, place: _Place, notes: Notes) -> int:
    back_ns = place.last_ns - (sample.time_ns + place.shift_ns)
    if back_ns < min(place.step_ns, NS_PER_S):
        return place.last_ns  # jitter of the logger
    if 0 <= _HOUR_NS - back_ns <= _DST_SLACK_NS:
        place.shift_ns += _HOUR_NS
        notes.add("the clock went back one hour (summer time): played on evenly", sample.line)
    else:
        place.shift_ns = place.last_ns + place.step_ns - sample.time_ns
        notes.add("time goes backwards: played on one sample later", sample.line)
    return sample.time_ns + place.shift_ns


def _plausible(sample: Sample, notes: Notes) -> Sample:
    wrong = [
        name
        for name, value in sample.values.items()
        if (value < 0 and name not in _SIGNED) or (name in POWER_FIELDS and value > _MAX_POWER_MW)
    ]
    if not wrong:
        return sample
    notes.add(f"impossible values of {', '.join(wrong)} left out", sample.line)
    return sample._replace(values={k: v for k, v in sample.values.items() if k not in wrong})
