"""SM times and power span by span in, by how much the SM times come late out.

Drivers publish utilisation some time after the power it caused, how long differs by board and
driver. The right delay is where the two move together most: for each, R = Σ of the squared
correlation with power that long ago, times the seconds seen (about χ² where nothing correlates),
over the processes and over all they used together, in which no ring's dice are. A process may well
move against the power: where there is no time left, one that draws little takes it from others.
All together don't, but for what comes round in periods, as training steps do: half a period away
power goes down when they go up, as surely as it goes up with them now.
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
        self._all = _Course([0.0] * (self._longest + 1))
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
        self._each.pop(key, None)

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
                self._each[key] = _Course([0.0] * len(moves))
        self._all.go_on(sum(sm_time.values()), moves, pace)
        for key, course in self._each.items():
            course.go_on(sm_time.get(key, 0.0), moves, pace)

    def _score(self, late: int) -> float:
        total = sum([one.told(late) for one in self._each.values()])
        if self._all.products[late] > 0:
            total += self._all.told(late)
        counted = min(float(self._seen), 1 / _FORGET)
        return counted * total / self._square_watts if self._square_watts else 0.0


@dataclass(slots=True)
class _Course:
    """SM time: its mean, its variance, and its products with the power so many spans ago."""

    products: list[float]
    mean: float = 0.0
    square: float = 0.0

    def go_on(self, share: float, moves: Sequence[float], pace: float) -> None:
        """The next span; ``moves``: of the power, from its mean."""
        move = share - self.mean
        self.mean += pace * move
        self.square += pace * (move * move - self.square)
        scale, kept = pace * move, 1 - pace
        self.products = [
            kept * known + scale * other for known, other in zip(self.products, moves, strict=True)
        ]

    def told(self, late: int) -> float:
        """Squared correlation × variance of the power."""
        return self.products[late] ** 2 / self.square if self.square else 0.0


def _longest(span: float) -> int:
    """How many spans late reports are at most."""
    return max(1, round(LONGEST / span))
