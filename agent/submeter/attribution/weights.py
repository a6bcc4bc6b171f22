"""Who worked how long and what power was drawn in, watts per unit of SM time by process out.

Who has a column in the equations (`moments`), when they are solved (`solving`), and how much of
that is done at once: a settlement must not wait for it.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from submeter.attribution.delay import Delay
from submeter.attribution.learnt import UNKNOWN_FLOOR, Prior, Weights, without
from submeter.attribution.linear import Vector, dot
from submeter.attribution.moments import Moments
from submeter.attribution.solving import Evidence, Start, solution
from submeter.attribution.steps import Steps

K = TypeVar("K", bound=Hashable)

_NEEDED: Final = 24
"""Seconds before the first try."""
_ALUMNI: Final = 4
_PAUSE: Final = 30  # seconds between solutions at first
_LONG_PAUSE: Final = 120  # … and when an hour more changes little
_FEW: Final = 8
"""With more processes, seconds are pooled and solved for more rarely: 32 cost 16 times as much."""
_POOL: Final = 4  # the processes by the seconds of a pool
_MOST: Final = 32
"""Columns: whoever comes later shares one, since a solution costs their number cubed."""
_WORK: Final = 400
"""Columns squared that are worked on in a second: one step where there are many."""


@dataclass(slots=True)
class _Process:
    """A column of the regression."""

    live: bool = True
    evidence: Evidence = field(default_factory=Evidence)


class WeightLearner(Generic[K]):
    """Learns the weights of those who share one GPU. One thread."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._exact = False
        self._delay: Delay[K] = Delay()
        self._keys: list[K] = []
        self._processes: dict[K, _Process] = {}
        self._weights: Weights[K] | None = None
        self._pooled: list[tuple[Vector, float, float]] = []
        self._floor = UNKNOWN_FLOOR
        self._seconds = 0.0
        self._due: float = _NEEDED
        self._solution: Steps[Weights[K] | None] | None = None
        self._start: Start[K] = Start()
        self.failures = 0
        """Solutions that ended in a number too large or too small."""
        self._crowd: tuple[K, ...] = ()  # whose column stands for all who have none

    @property
    def delay_seconds(self) -> float:
        """How late SM times are reported, as far as found out."""
        return self._delay.seconds

    @property
    def weights(self) -> Weights[K] | None:
        """As learnt last."""
        return self._weights

    def knows(self, key: K) -> bool:
        """Whether that process has a column."""
        return key in self._processes

    def meet(self, key: K, prior: Prior | None) -> None:
        """A process comes to this GPU, or comes back. When there are too many, the next one's
        column is everybody's who has none: to be met again when somebody has left."""
        process = self._processes.get(key)
        if process is not None:
            process.live = True
        elif len(self._keys) < _MOST:
            self._add(key, prior)
        elif not self._crowd:
            self._crowd = (key,)
            self._add(key, None)

    def _add(self, key: K, prior: Prior | None) -> None:
        self._pour()
        self._processes[key] = _Process(evidence=Evidence(prior))
        self._keys.append(key)
        self._moments.add_column()
        self._due = max(_NEEDED, min(self._due, self._seconds + _PAUSE))

    def retain(self, live: set[K]) -> None:
        """All others have gone. A few are kept, since what they drew tells of who stayed."""
        for key, process in self._processes.items():
            process.live = key in live
        gone = [key for key in self._keys if not self._processes[key].live]
        for key in gone[: max(0, len(gone) - _ALUMNI)]:
            self._pour()
            column = self._keys.index(key)
            self._moments.drop_column(column + 1, self._beta(key))
            del self._keys[column], self._processes[key]
            if self._crowd == (key,):
                self._crowd = ()
            self._delay.forget(key)
            self._weights = None if self._weights is None else without(self._weights, key)

    def together(
        self,
        sm_time: dict[K, float],
        watts: float,
        floor: Prior,
        *,
        seconds: float = 1.0,
        exact: bool = False,
    ) -> bool:
        """A span of shared use: shares of the time by process, power, what is known of the part
        of it that is there whoever works, and its length, which is about the same each time.
        ``exact``: the shares are known not to be sampled. True if that made for new weights."""
        if exact != self._exact:
            self._exact = exact
            self._begin_anew()
        self._floor = floor
        if not self._delay.suits(seconds):
            self._delay = self._delay.at_pace(seconds)
        then = self._delay.watts(sm_time, watts)
        if self._delay.changed():
            self._begin_anew()
        if then is not None:
            self._pooled.append((self._columns(sm_time), then, seconds))
        if len(self._keys) <= _FEW or self._is_full():
            self._pour()
        self._seconds += seconds
        if self._solution is None and self._seconds >= self._due:
            self._due = self._seconds + self._pause()
            evidence = [self._processes[key].evidence for key in self._keys]
            self._solution = solution(self._moments, self._keys, evidence, self._floor, self._start)
        return self._work(seconds)

    def _is_full(self) -> bool:
        """Whether the spans pooled are as long as is good for so many processes."""
        return sum(span for _, _, span in self._pooled) > len(self._keys) // _POOL - 0.5

    def _columns(self, sm_time: dict[K, float]) -> Vector:
        x = [1.0, *(sm_time.get(key, 0.0) for key in self._keys)]
        if self._crowd:
            rest = sum(share for key, share in sm_time.items() if key not in self._processes)
            x[1 + self._keys.index(self._crowd[0])] += rest
        return x

    def _pause(self) -> float:
        """Until the next solution: what is known well changes slowly."""
        if len(self._keys) > _FEW:
            return min(10 * _PAUSE, self._seconds)
        return max(min(_PAUSE, self._seconds // 4), min(_LONG_PAUSE, self._seconds // 10))

    def _work(self, seconds: float) -> bool:
        """Goes on solving; whether that is done."""
        left = _WORK * seconds
        while self._solution is not None and left > 0:
            left -= (1 + len(self._keys)) ** 2
            try:
                next(self._solution)
            except StopIteration as end:
                self._solution = None
                return self._keep(end.value)
            except ArithmeticError:
                # An estimate isn't worth the agent: SM time alone says it until more is seen.
                self.failures += 1
                self._begin_anew()
                self._weights = None
                return True
        return False

    def _keep(self, weights: Weights[K] | None) -> bool:
        if weights is None:
            return False
        for key in (*weights.keys, *self._crowd):
            if key not in self._processes or key in self._crowd:
                weights = without(weights, key)
        self._weights = weights
        return True

    def _begin_anew(self) -> None:
        """SM times were paired with the wrong seconds' power, or come from elsewhere now."""
        self._pooled.clear()
        self._solution = None
        self._start = Start()
        self._moments = Moments()
        self._moments.exact = self._exact
        for _ in self._keys:
            self._moments.add_column()

    def _pour(self) -> None:
        """The spans pooled so far, as one."""
        if len(self._pooled) == 1:
            self._moments.observe(*self._pooled[0])
        elif self._pooled:
            xs, watts, seconds = zip(*self._pooled, strict=True)
            whole = sum(seconds)
            x = [dot(values, seconds) / whole for values in zip(*xs, strict=True)]
            self._moments.observe(x, dot(watts, seconds) / whole, whole)
        self._pooled.clear()

    def alone(self, key: K, share: float, watts: float) -> None:
        """A second in which nobody else was there: the device's own utilisation is exact."""
        process = self._processes.get(key)
        if process is not None:
            process.evidence.solo_seconds += 1
            process.evidence.solo_share += share
            process.evidence.solo_watts += watts

    def interrupt(self) -> None:
        """Time passed that wasn't seen."""
        self._pooled.clear()
        self._delay.interrupt()
        self._moments.interrupt()

    def _beta(self, key: K) -> float:
        return 0.0 if self._weights is None else self._weights.of(key)
