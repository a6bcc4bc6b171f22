"""Who worked how long and what power was drawn in, watts per unit of SM time by process out.

β = argmin over β ≥ 0 of (βᵀAβ − 2βᵀb) / v + Σ (βᵢ − priorᵢ)² / sdᵢ²

A and b come from `moments`, v is the variance that the ring's sampling gives one second's Σ βx, the
prior is the common slope or what the same program was seen to draw before. Where shares don't
vary, A says nothing and β stays at its prior with the prior's width: the covariance says so.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from submeter.attribution.delay import Delay
from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior, Weights, without
from submeter.attribution.linear import Lower, Vector, dot, inverse, quadratic, solve, times
from submeter.attribution.moments import Moments, Normal

K = TypeVar("K", bound=Hashable)

_NEEDED: Final = 24
"""Seconds before the first try."""
_SURE: Final = 2.0
"""Weights are used if they explain more than noise would by this many standard deviations."""
_CAUTION: Final = 4.0
"""v is taken this many times larger: weights that are steady only by and large."""
_SMALLEST: Final = 0.03  # of the common slope
_SOLO_SD: Final = 0.1  # of the common slope: how far seconds alone may be from those together
_SOLO_LIMIT: Final = 0.03  # … however many there are
_MODEL_SD: Final = 0.02  # of the common slope: nothing is known better than that
_ALUMNI: Final = 4
_ROUNDS: Final = 6
_PAUSE: Final = 30  # seconds between solutions, at most
_FEW: Final = 8
"""With more processes, seconds are pooled and solved for more rarely: 32 cost 16 times as much."""
_POOL: Final = 5


@dataclass(slots=True)
class _Process:
    """A column of the regression."""

    live: bool = True
    prior: Prior | None = None
    solo_seconds: int = 0
    solo_share: float = 0.0
    solo_watts: float = 0.0


class WeightLearner(Generic[K]):
    """Learns the weights of those who share one GPU. One thread."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._exact = False
        self._delay: Delay[K] = Delay()
        self._keys: list[K] = []
        self._processes: dict[K, _Process] = {}
        self._weights: Weights[K] | None = None
        self._pooled: list[tuple[Vector, float]] = []
        self._floor = UNKNOWN_FLOOR
        self._floor_watts = 0.0
        self._seconds = 0
        self._due = _NEEDED

    @property
    def delay_seconds(self) -> int:
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
        """A process comes to this GPU, or comes back."""
        process = self._processes.get(key)
        if process is None:
            self._pour()
            self._processes[key] = _Process(prior=prior)
            self._keys.append(key)
            self._moments.add_column()
        else:
            process.live = True

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
            self._delay.forget(key)
            self._weights = None if self._weights is None else without(self._weights, key)

    def together(
        self, sm_time: dict[K, float], watts: float, floor: Prior, *, exact: bool = False
    ) -> bool:
        """A second of shared use: shares of the time by process, power, and what is known of the
        part of it that is there whoever works. ``exact``: the shares are known not to be sampled.
        True if that made for new weights."""
        if exact != self._exact:
            self._exact = exact
            self._begin_anew()
        self._floor = floor
        then = self._delay.watts(sm_time, watts)
        if self._delay.changed():
            self._begin_anew()
        if then is not None:
            self._pooled.append(([1.0, *(sm_time.get(key, 0.0) for key in self._keys)], then))
        if len(self._pooled) >= (1 if len(self._keys) <= _FEW else _POOL):
            self._pour()
        self._seconds += 1
        if self._seconds < self._due:
            return False
        many = len(self._keys) > _FEW
        self._due += min(10 * _PAUSE if many else _PAUSE, self._seconds // (1 if many else 4))
        self._solve()
        return True

    def _begin_anew(self) -> None:
        """SM times were paired with the wrong seconds' power, or come from elsewhere now."""
        self._pooled.clear()
        self._moments = Moments()
        self._moments.exact = self._exact
        for _ in self._keys:
            self._moments.add_column()

    def _pour(self) -> None:
        """The seconds pooled so far, as one."""
        count = len(self._pooled)
        if count:
            x = [sum(values) / count for values in zip(*(x for x, _ in self._pooled), strict=True)]
            self._moments.observe(x, sum(watts for _, watts in self._pooled) / count, count)
            self._pooled.clear()

    def alone(self, key: K, share: float, watts: float) -> None:
        """A second in which nobody else was there: the device's own utilisation is exact."""
        process = self._processes.get(key)
        if process is not None:
            process.solo_seconds += 1
            process.solo_share += share
            process.solo_watts += watts

    def interrupt(self) -> None:
        """Time passed that wasn't seen."""
        self._pooled.clear()
        self._delay.interrupt()
        self._moments.interrupt()

    def _beta(self, key: K) -> float:
        return 0.0 if self._weights is None else self._weights.of(key)

    def _solve(self) -> None:
        fixed = self._floor is not UNKNOWN_FLOOR
        normal = self._moments.normal(self._floor.watts if fixed else self._floor_watts)
        if normal is None or not self._keys:
            return
        slope = normal.slope
        prior_at, prior_info = self._priors(slope)
        right_solo = self._solo(slope, prior_at, prior_info)
        centre = prior_at
        moved = [r - t for r, t in zip(normal.right, times(normal.matrix, centre), strict=True)]
        beta = list(centre)
        full: Lower = []
        noise = 0.0
        for _ in range(_ROUNDS if len(self._keys) <= _FEW else _ROUNDS // 2):
            noise = self._noise(normal, beta)
            full = [[value / noise for value in row] for row in normal.matrix]
            for i, information in enumerate(prior_info):
                full[i][i] += information
            pull = [m / noise + s for m, s in zip(moved, right_solo, strict=True)]
            free = [c + d for c, d in zip(centre, solve(full, pull), strict=True)]
            least = [0.0] + [_SMALLEST * slope] * len(self._keys)
            beta = _bounded(full, free, pull, centre, least)
        posterior = inverse(full)
        covariance = self._covariance(normal, noise, posterior, prior_info)
        self._floor_watts = beta[0]
        self._weights = Weights(
            tuple(self._keys),
            tuple(beta[1:]),
            tuple(row[1:] for row in covariance[1:]),
            slope,
            self._improves(normal, beta, noise, posterior),
            Prior(beta[0], math.sqrt(covariance[0][0])),
            normal.exact,
            {key: i for i, key in enumerate(self._keys)},
        )

    def _priors(self, slope: float) -> tuple[Vector, Vector]:
        """Where each weight is expected, and how strongly."""
        floor = self._floor
        sd = floor.sd_watts if floor is not UNKNOWN_FLOOR else PRIOR_SD * slope
        at, information = [floor.watts], [1 / max(sd, 0.1) ** 2]
        for key in self._keys:
            prior = self._processes[key].prior or Prior(slope, PRIOR_SD * slope)
            at.append(prior.watts)
            information.append(1 / max(prior.sd_watts, _SMALLEST * slope) ** 2)
        return at, information

    def _solo(self, slope: float, centre: Vector, information: Vector) -> Vector:
        """Adds what seconds alone say."""
        right = [0.0]
        variance = (_SOLO_SD * slope) ** 2
        for i, key in enumerate(self._keys, 1):
            process = self._processes[key]
            if process.solo_share <= 0:
                right.append(0.0)
                continue
            # By the means: the device's utilisation is of a shorter time than the power.
            square = process.solo_share * process.solo_share / process.solo_seconds
            product = process.solo_share * process.solo_watts / process.solo_seconds
            scale = min(1 / variance, 1 / (square * (_SOLO_LIMIT * slope) ** 2))
            information[i] += scale * square
            right.append(scale * (product - square * centre[i]))
        return right

    def _known(self, key: K, slope: float) -> tuple[float, float]:
        """A weight that is told by something else than seconds together, and how strongly."""
        process = self._processes[key]
        if process.solo_share > 0:
            share, count = process.solo_share, process.solo_seconds
            least = max(_SOLO_SD * slope / math.sqrt(share * share / count), _SOLO_LIMIT * slope)
            return process.solo_watts / share, 1 / (least * least)
        if process.prior is not None:
            return process.prior.watts, 1 / process.prior.sd_watts**2
        return slope, 0.0

    def _noise(self, normal: Normal, beta: Vector) -> float:
        least = (0.01 * normal.slope) ** 2
        if normal.exact:
            return max(_CAUTION * self._moments.unexplained(beta), least)
        return max(_CAUTION * self._moments.noise(beta), least)

    def _covariance(
        self, normal: Normal, noise: float, posterior: list[Vector], information: Vector
    ) -> tuple[tuple[float, ...], ...]:
        """Of the weights' errors. N, the sampling noise that the first stage leaves in the matrix,
        pulls towards the prior by S·N/v, which is off by the prior's width P⁻¹:
        S + S·N/v·S + (S·N/v)·P⁻¹·(S·N/v)ᵀ."""
        floor = (_MODEL_SD * normal.slope) ** 2
        left = self._moments.first_stage_noise(normal)
        pulled = [[dot(row, column) / noise for column in left] for row in posterior]
        spread = [
            [q / math.sqrt(p) for q, p in zip(row, information, strict=True)] for row in pulled
        ]
        return tuple(
            tuple(
                value + dot(pulled[i], posterior[j]) + dot(spread[i], spread[j]) + floor * (i == j)
                for j, value in enumerate(row)
            )
            for i, row in enumerate(posterior)
        )

    def _improves(
        self, normal: Normal, beta: Vector, noise: float, posterior: list[Vector]
    ) -> bool:
        """Whether the weights explain more than noise would: of the seconds together, of those
        alone, and of what was known of the programs."""
        known = [self._known(key, normal.slope) for key in self._keys]
        common = [beta[0]] + [normal.slope] * len(self._keys)
        gain = (_misfit(normal, common) - _misfit(normal, beta)) / noise
        told = sum(dot(row, _column(normal.matrix, i)) / noise for i, row in enumerate(posterior))
        for i, (at, information) in enumerate(known, 1):
            gain += information * ((normal.slope - at) ** 2 - (beta[i] - at) ** 2)
            told += information > 0
        return gain > told + _SURE * math.sqrt(2 * told)


def _misfit(normal: Normal, beta: Vector) -> float:
    return quadratic(normal.matrix, beta) - 2 * dot(normal.right, beta)


def _column(matrix: Lower, i: int) -> Vector:
    return [*matrix[i], *(row[i] for row in matrix[i + 1 :])]


def _bounded(full: Lower, beta: Vector, pull: Vector, centre: Vector, least: Vector) -> Vector:
    """β ≥ least by coordinate descent, where the free solution isn't."""
    if all(value >= low for value, low in zip(beta, least, strict=True)):
        return beta
    beta = [max(value, low) for value, low in zip(beta, least, strict=True)]
    columns = [_column(full, i) for i in range(len(beta))]
    for _ in range(10):
        for i, column in enumerate(columns):
            gradient = pull[i] - dot(column, [b - c for b, c in zip(beta, centre, strict=True)])
            beta[i] = max(least[i], beta[i] + gradient / column[i])
    return beta
