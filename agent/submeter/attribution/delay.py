"""SM times and power second by second in, by how much the SM times come late out.

Drivers publish utilisation some time after the power it caused, how long differs by board and
driver. The right delay is where the two move together most: for each, R = Σ over processes of the
squared correlation with power that long ago, times the seconds seen (χ² where nothing correlates).
"""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LONGEST: Final = 3  # seconds
_FORGET: Final = 1 / 600
_EVERY: Final = 60
_FIRST: Final = 120
_BETTER: Final = 1.2
_MARGIN: Final = 10.0
_PROCESSES: Final = 8  # so many tell the delay
_ENOUGH: Final = 3_600  # the delay is the driver's: once known it stays


class Delay(Generic[K]):
    """Finds the delay, and pairs SM times with the power they belong to."""

    def __init__(self) -> None:
        self.seconds = 0
        self._watts: deque[float] = deque(maxlen=LONGEST + 1)
        self._seen = 0
        self._mean_watts = 0.0
        self._square_watts = 0.0
        self._mean: dict[K, float] = {}
        self._square: dict[K, float] = {}
        self._products: dict[K, list[float]] = {}  # with the power so many seconds ago

    def watts(self, sm_time: Mapping[K, float], watts: float) -> float | None:
        """The power that these SM times were reported for; None right after a start."""
        self._watts.appendleft(watts)
        if len(self._watts) <= LONGEST:
            return watts if self.seconds == 0 else None
        self._compare(sm_time)
        return self._watts[self.seconds]

    def changed(self) -> bool:
        """Whether another delay has turned out to be right: what was paired before was wrong."""
        if self._seen < _FIRST or self._seen % _EVERY or self._seen > _ENOUGH:
            return False
        scores = [self._score(seconds) for seconds in range(LONGEST + 1)]
        best = max(range(LONGEST + 1), key=scores.__getitem__)
        margin = 2 * len(self._mean) + _MARGIN
        if best == self.seconds or scores[best] < _BETTER * scores[self.seconds] + margin:
            return False
        self.seconds = best
        return True

    def interrupt(self) -> None:
        """Time passed that wasn't seen."""
        self._watts.clear()

    def forget(self, key: K) -> None:
        """A process that has gone."""
        self._mean.pop(key, None)
        self._square.pop(key, None)
        self._products.pop(key, None)

    def _compare(self, sm_time: Mapping[K, float]) -> None:
        if self._seen > _ENOUGH:
            return
        self._seen += 1
        pace = max(_FORGET, 1 / self._seen)
        self._mean_watts += pace * (self._watts[0] - self._mean_watts)
        moves = [watts - self._mean_watts for watts in self._watts]
        self._square_watts += pace * (moves[0] * moves[0] - self._square_watts)
        for key in sm_time:
            if len(self._mean) >= _PROCESSES:
                break
            if key not in self._mean:
                self._mean[key] = self._square[key] = 0.0
                self._products[key] = [0.0] * len(moves)
        for key, mean in self._mean.items():
            move = sm_time.get(key, 0.0) - mean
            self._mean[key] = mean + pace * move
            self._square[key] += pace * (move * move - self._square[key])
            scale, kept = pace * move, 1 - pace
            self._products[key] = [
                kept * known + scale * other
                for known, other in zip(self._products[key], moves, strict=True)
            ]

    def _score(self, seconds: int) -> float:
        total = sum(
            self._products[key][seconds] ** 2 / square
            for key, square in self._square.items()
            if square
        )
        counted = min(float(self._seen), 1 / _FORGET)
        return counted * total / self._square_watts if self._square_watts else 0.0
