"""Who worked how long and what power was drawn in, watts per unit of SM time by process out.

β = argmin over β ≥ 0 of (βᵀAβ − 2βᵀb) / v + Σ (βᵢ − priorᵢ)² / sdᵢ²

A and b come from `moments`, v is the variance that the ring's sampling gives one second's Σ βx, the
prior is the common slope or what the same program was seen to draw before. Where shares don't
vary, A says nothing and β stays at its prior with the prior's width: the covariance says so.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from submeter.attribution.delay import Delay
from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior, Weights, without
from submeter.attribution.linear import Lower, Vector, dot, quadratic
from submeter.attribution.moments import Moments, Normal
from submeter.attribution.sites import Expected, posterior

K = TypeVar("K", bound=Hashable)

_NEEDED: Final = 24
"""Seconds before the first try."""
_SURE: Final = 2.0
"""Weights are used if they explain more than noise would by this many standard deviations."""
_CAUTION: Final = 3.5
"""v is taken this many times larger: weights that are steady only by and large."""
_SMALLEST: Final = 0.03  # of the common slope
_SOLO_SD: Final = 0.1  # of the common slope: how far seconds alone may be from those together
_SOLO_LIMIT: Final = 0.03  # … however many there are
_MODEL_SD: Final = 0.02  # of the common slope: nothing is known better than that
_ALUMNI: Final = 4
_ROUNDS: Final = 6
_SAME: Final = 0.02  # of the noise: then another round changes nothing
_SPREAD: Final = 0.665  # of the logarithm of weights: a decade, evenly
_MEDIAN: Final = 0.8  # of the mean, with that spread: exp(−spread²/2)
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


class _Known(NamedTuple):
    """What is known beforehand, column by column: where it is expected, how strongly as a Gaussian
    (information, and information × watts), or but for a factor."""

    at: Vector
    information: Vector
    shift: Vector
    expected: list[Expected | None]


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
        known = self._known_before(normal.slope)
        beta = [known.at[0]] + [normal.slope] * len(self._keys)
        sampling = self._moments.sampling_noise()
        wide = (PRIOR_SD * normal.slope) ** 2
        doubt = sum(row[i] for i, row in enumerate(sampling)) * wide
        noise, found = 0.0, None
        many = len(self._keys) > _FEW
        for _ in range(2 if many else _ROUNDS):
            noise, before = self._noise(normal, beta, doubt), noise
            if found is not None and abs(noise - before) < _SAME * noise:
                break
            precision = [[value / noise for value in row] for row in normal.matrix]
            shift = [value / noise for value in normal.right]
            for i, information in enumerate(known.information):
                precision[i][i] += information
                shift[i] += known.shift[i]
            found = posterior(precision, shift, known.expected, 2 if many else 5)
            least = [0.0] + [_SMALLEST * normal.slope] * len(self._keys)
            beta = [max(value, low) for value, low in zip(found.mean, least, strict=True)]
            doubt = sum(map(dot, sampling, found.covariance))
        assert found is not None
        covariance = self._covariance(normal, noise, found.covariance, known)
        self._floor_watts = beta[0]
        self._weights = Weights(
            tuple(self._keys),
            tuple(beta[1:]),
            tuple(row[1:] for row in covariance[1:]),
            normal.slope,
            self._improves(normal, beta, noise, found.covariance),
            Prior(beta[0], math.sqrt(covariance[0][0])),
            normal.exact,
            {key: i for i, key in enumerate(self._keys)},
        )

    def _known_before(self, slope: float) -> _Known:
        """What is known of each weight but for the seconds together: of earlier runs, of seconds
        alone, and else that it is the common slope but for a factor."""
        floor = self._floor
        sd = floor.sd_watts if floor is not UNKNOWN_FLOOR else PRIOR_SD * slope
        known = _Known([floor.watts], [1 / max(sd, 0.1) ** 2], [0.0], [None])
        known.shift[0] = known.at[0] * known.information[0]
        for key in self._keys:
            process = self._processes[key]
            prior = process.prior
            known.at.append(slope if prior is None else prior.watts)
            information = 0.0 if prior is None else max(prior.sd_watts, _SMALLEST * slope) ** -2
            alone, its = self._alone(process, slope)
            known.information.append(information + alone)
            known.shift.append(information * known.at[-1] + its)
            known.expected.append(Expected(_MEDIAN * slope, _SPREAD) if prior is None else None)
        return known

    def _alone(self, process: _Process, slope: float) -> tuple[float, float]:
        """Information, and information × watts, of seconds alone. By the means: the device's
        utilisation is of a shorter time than the power."""
        if process.solo_share <= 0:
            return 0.0, 0.0
        square = process.solo_share * process.solo_share / process.solo_seconds
        product = process.solo_share * process.solo_watts / process.solo_seconds
        scale = min(1 / (_SOLO_SD * slope) ** 2, 1 / (square * (_SOLO_LIMIT * slope) ** 2))
        return scale * square, scale * product

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

    def _noise(self, normal: Normal, beta: Vector, doubt: float) -> float:
        """Variance of one second's Σ βx through the ring: with these weights and, since equal ones
        would have none, with what they might be as well."""
        least = (0.01 * normal.slope) ** 2
        if normal.exact:
            return max(_CAUTION * self._moments.unexplained(beta), least)
        return max(_CAUTION * (self._moments.noise(beta) + doubt), least)

    def _covariance(
        self, normal: Normal, noise: float, posterior: list[Vector], known: _Known
    ) -> tuple[tuple[float, ...], ...]:
        """Of the weights' errors. N, the sampling noise that the first stage leaves in the matrix,
        pulls towards the prior by S·N/v, which is off by the prior's width P⁻¹:
        S + S·N/v·S + (S·N/v)·P⁻¹·(S·N/v)ᵀ."""
        floor = (_MODEL_SD * normal.slope) ** 2
        wide = (PRIOR_SD * normal.slope) ** -2
        information = [
            value + (wide if expected else 0.0)
            for value, expected in zip(known.information, known.expected, strict=True)
        ]
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
