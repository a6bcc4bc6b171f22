"""SM times and power span by span in, by how much the SM times come late out.

Drivers publish utilisation some time after the power it caused, how long differs by board and
driver. The right delay is where the SM times explain most of the power: for each, the best fit by
weights that nobody has below 0, as its part of the power's variance, times the seconds seen (about
χ² where nothing is explained). Processes are fitted together, since where there is no time left one
takes it from others, and moves against their power; and not below 0, since of training steps that
are half a period off, power goes down when they go up, as surely as it goes up with them now.
"""

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LONGEST: Final = 3  # seconds
_UNLIKE: Final = 1.4  # times as long, or as short: another pace
_FORGET: Final = 1 / 600
_EVERY: Final = 60
_FIRST: Final = 120
_BETTER: Final = 1.2
_MARGIN: Final = 10.0
_PROCESSES: Final = 8  # so many tell the delay
_SWEEPS: Final = 12
_ENOUGH: Final = 3_600  # the delay is the driver's: once known it stays


class Delay(Generic[K]):
    """Finds the delay, and pairs SM times with the power they belong to."""

    def __init__(self, span: float = 1.0, late: int = 0) -> None:
        """``span``: between two reports, in seconds; ``late``: so many spans they are, as known
        before."""
        self._span = span
        self._late = late
        self._longest = _longest(span)
        self._stride = max(1, round(1 / span))  # comparing once a second is enough
        self._given = 0
        self._watts: deque[float] = deque(maxlen=self._longest + 1)
        self._seen = 0
        self._mean_watts = 0.0
        self._square_watts = 0.0
        self._each: dict[K, _Course] = {}

    @property
    def seconds(self) -> float:
        """How late reports are."""
        return self._late * self._span

    def suits(self, span: float) -> bool:
        """Whether reports still come at that pace."""
        return self._span / _UNLIKE < span < self._span * _UNLIKE

    def at_pace(self, span: float) -> "Delay[K]":
        """The same delay of reports at another pace, to be found anew."""
        return Delay(span, min(round(self.seconds / span), _longest(span)))

    def watts(self, sm_time: Mapping[K, float], watts: float) -> float | None:
        """The power that these SM times were reported for; None right after a start."""
        self._watts.appendleft(watts)
        if len(self._watts) <= self._longest:
            return watts if self._late == 0 else None
        self._given += 1
        if self._given % self._stride == 0:
            self._compare(sm_time)
        return self._watts[self._late]

    def changed(self) -> bool:
        """Whether another delay has turned out to be right: what was paired before was wrong."""
        if self._seen < _FIRST or self._seen % _EVERY or self._seen > _ENOUGH:
            return False
        scores = [self._score(late) for late in range(self._longest + 1)]
        best = max(range(self._longest + 1), key=scores.__getitem__)
        margin = 2 * len(self._each) + _MARGIN
        if best == self._late or scores[best] < _BETTER * scores[self._late] + margin:
            return False
        self._late = best
        return True

    def interrupt(self) -> None:
        """Time passed that wasn't seen."""
        self._watts.clear()

    def forget(self, key: K) -> None:
        """A process that has gone."""
        if key in self._each:
            place = list(self._each).index(key)
            del self._each[key]
            for course in self._each.values():
                del course.with_others[place]

    def _compare(self, sm_time: Mapping[K, float]) -> None:
        if self._seen > _ENOUGH:
            return
        self._seen += 1
        pace = max(_FORGET, 1 / self._seen)
        self._mean_watts += pace * (self._watts[0] - self._mean_watts)
        moves = [watts - self._mean_watts for watts in self._watts]
        self._square_watts += pace * (moves[0] * moves[0] - self._square_watts)
        for key in sm_time:
            if len(self._each) >= _PROCESSES:
                break
            if key not in self._each:
                for course in self._each.values():
                    course.with_others.append(0.0)
                self._each[key] = _Course([0.0] * len(moves), [0.0] * (len(self._each) + 1))
        kept = 1 - pace
        own = [course.move(sm_time.get(key, 0.0), pace) for key, course in self._each.items()]
        for course, move in zip(self._each.values(), own, strict=True):
            scale = pace * move
            course.products = [
                kept * known + scale * other
                for known, other in zip(course.products, moves, strict=True)
            ]
            course.with_others = [
                kept * known + scale * other
                for known, other in zip(course.with_others, own, strict=True)
            ]

    def _score(self, late: int) -> float:
        courses = list(self._each.values())
        explained = _explained(
            [course.with_others for course in courses],
            [course.products[late] for course in courses],
        )
        counted = min(float(self._seen), 1 / _FORGET)
        return counted * explained / self._square_watts if self._square_watts else 0.0


@dataclass(slots=True)
class _Course:
    """SM time of one process: its mean, and its products with the power so many spans ago, and with
    the SM times of all, itself included."""

    products: list[float]
    with_others: list[float]
    mean: float = 0.0

    def move(self, share: float, pace: float) -> float:
        """How far it is from its mean."""
        move = share - self.mean
        self.mean += pace * move
        return move


def _explained(squares: Sequence[Sequence[float]], products: Sequence[float]) -> float:
    """How much of the variance weights of at least 0 explain: least squares, coordinate by
    coordinate from 0. Few sweeps, so that what hardly shows stays small: the ring's dice are in
    every column."""
    weights = [0.0] * len(products)
    for _ in range(_SWEEPS):
        for i, row in enumerate(squares):
            if row[i] > 0:
                rest = products[i] - _dot(row, weights) + row[i] * weights[i]
                weights[i] = max(0.0, rest / row[i])
    fitted = [_dot(row, weights) for row in squares]
    return 2 * _dot(weights, products) - _dot(weights, fitted)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum([a * b for a, b in zip(one, other, strict=True)])


def _longest(span: float) -> int:
    """How many spans late reports are at most."""
    return max(1, round(LONGEST / span))
