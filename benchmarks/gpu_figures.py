"""Readings of one GPU in, figures about its sensors out. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gpu_sensors import Reading


@dataclass(frozen=True)
class Spread:
    """Percentiles of something that was seen so many times."""

    count: int
    p10: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Signal:
    """How a signal moves, and what its timestamp is the time of."""

    name: str
    gap_ms: Spread | None  # between changes of the value, as seen by the polling
    step: Spread | None  # size of a change: mJ or mW
    stamp: str  # "call", "sensor" or "not told"
    stamp_age_ms: Spread | None  # how old the timestamp was in the middle of the call
    latency_us: Spread | None  # what the driver says that updating took


@dataclass(frozen=True)
class Energies:
    """One stretch of time by three ways of metering it; joules, and ratios to the counter."""

    seconds: float
    counter_j: float | None
    average_1hz_j: float | None
    instant_10hz_j: float | None
    instant_all_j: float | None

    def ratio(self, joules: float | None) -> float | None:
        return None if joules is None or not self.counter_j else joules / self.counter_j


def spread(values: Sequence[float]) -> Spread | None:
    """None where there are no values."""
    if not values:
        return None
    ordered = sorted(values)

    def at(q: float) -> float:
        return float(ordered[min(len(ordered) - 1, int(q * len(ordered)))])

    return Spread(len(ordered), at(0.1), at(0.5), at(0.9), at(0.99))


def signal(name: str, readings: Sequence[Reading]) -> Signal:
    """What fast polling shows of one signal."""
    found = [(reading, reading.seen[name]) for reading in readings]
    good = [(reading, seen) for reading, seen in found if seen.value is not None]
    points = [(reading.at_ns, seen.value or 0) for reading, seen in good]
    changed = changes(points)
    return Signal(
        name,
        spread([(after[0] - before[0]) / 1e6 for before, after in pairwise(changed)]),
        spread([abs(after[1] - before[1]) for before, after in pairwise(changed)]),
        _stamp([seen.stamp_us for _, seen in good]),
        spread([(reading.wall_us - seen.stamp_us) / 1e3 for reading, seen in good]),
        spread([seen.latency_us for _, seen in good]),
    )


def changes(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The points whose value differs from the one before."""
    return [after for before, after in pairwise(points) if after[1] != before[1]]


def energies(readings: Sequence[Reading]) -> Energies:
    """The three ways over the same whole seconds, from one moment when the counter moved."""
    counter = changes(_points("counter", readings))
    first_ns = (counter or _points("instant", readings) or [(readings[0].at_ns, 0)])[0][0]
    last_ns = counter[-1][0] if counter else readings[-1].at_ns
    seconds = (last_ns - first_ns) // 10**9
    end_ns = first_ns + seconds * 10**9
    instant = _points("instant", readings)
    every = [first_ns + i * 10**8 for i in range(seconds * 10 + 1)]
    return Energies(
        float(seconds),
        None if not counter else (_between(counter, end_ns) - counter[0][1]) / 1e3,
        _boxcars(_points("average", readings), first_ns, seconds),
        _integral([(at_ns, _latest(instant, at_ns)) for at_ns in every] if instant else []),
        _integral([point for point in instant if first_ns <= point[0] <= end_ns]),
    )


def cadence(samples: Sequence[tuple[int, int]]) -> tuple[Spread | None, float]:
    """Gaps in ms between the driver's own samples, and the seconds they cover."""
    gaps = [(after[0] - before[0]) / 1e3 for before, after in pairwise(samples)]
    return spread(gaps), (samples[-1][0] - samples[0][0]) / 1e6 if samples else 0.0


def _stamp(stamps: Sequence[int]) -> str:
    """A call's time is new at every call; a sensor's, only with a new value of the sensor."""
    if len(stamps) < 3 or not stamps[-1]:
        return "not told"
    moved = sum(1 for before, after in pairwise(stamps) if after != before)
    return "call" if moved > 0.9 * (len(stamps) - 1) else "sensor"


def _points(name: str, readings: Sequence[Reading]) -> list[tuple[int, int]]:
    return [
        (reading.at_ns, value)
        for reading in readings
        if (value := reading.seen[name].value) is not None
    ]


def _between(points: Sequence[tuple[int, int]], at_ns: int) -> float:
    """A counter between two of its steps."""
    after = bisect_right(points, at_ns, key=lambda point: point[0])
    if after == len(points):
        return points[-1][1]
    (x0, y0), (x1, y1) = points[after - 1], points[after]
    return y0 + (y1 - y0) * (at_ns - x0) / (x1 - x0)


def _latest(points: Sequence[tuple[int, int]], at_ns: int) -> int:
    return points[max(0, bisect_right(points, at_ns, key=lambda point: point[0]) - 1)][1]


def _boxcars(points: Sequence[tuple[int, int]], first_ns: int, seconds: int) -> float | None:
    """A 1-s average read once a second covers each second once."""
    if not points:
        return None
    ends = (first_ns + second * 10**9 for second in range(1, seconds + 1))
    return sum(_latest(points, end_ns) for end_ns in ends) / 1e3


def _integral(points: Sequence[tuple[int, int]]) -> float | None:
    """Joules under mW over ns, by trapezia."""
    if len(points) < 2:
        return None
    area = sum((y0 + y1) / 2 * (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points))
    return area / 1e12
