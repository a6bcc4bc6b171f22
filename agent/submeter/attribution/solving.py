"""Equations and what else is known of each process in, watts per unit of SM time by process out.

β = mean of exp(−(βᵀAβ − 2βᵀb) / 2v) × what is expected of each β beforehand

A and b come from `moments`, v is the variance that the ring's sampling gives one second's Σ βx,
expected is the common slope but for a factor, or what the same program was seen to draw before.
Where shares don't vary, A says nothing and β stays at its prior with the prior's width: the
covariance says so.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from typing import Final, Generic, NamedTuple, TypeVar

from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior, Weights
from submeter.attribution.linear import Lower, Vector, dot, mirrored, quadratic
from submeter.attribution.moments import Moments, Normal
from submeter.attribution.sites import Expected, Site, posterior, unmeasured
from submeter.attribution.steps import Steps

K = TypeVar("K", bound=Hashable)

_SURE: Final = 2.0
"""Weights are used if they explain more than noise would by this many standard deviations …"""
_CROWD: Final = 4
"""… of two or three: between so few a slip is seen at once, as 57 : 43 for two that are alike. Of
four and more it is enough to explain more: six that are alike were booked no worse for it."""
_CAUTION: Final = 3.5
"""v is taken this many times larger: weights that are steady only by and large."""
_UNLIKE: Final = 0.3  # of the common slope: so unlike are weights at least
_SMALLEST: Final = 0.03  # of the common slope
_FLOOR: Final = 0.3
"""Of the mean power: the floor of a board that was never seen at rest. Left free, it would be taken
for the power of whoever works evenly, whose weight is then nothing: sampled shares tell the two
apart badly, and only the mean of power does."""
_FLOOR_SD: Final = 0.2  # … and how far it may be from there
_HELD_SD: Final = 0.05  # of that floor: so firmly is it held
_SOLO_SD: Final = 0.1  # of the common slope: how far seconds alone may be from those together
_SOLO_LIMIT: Final = 0.03  # … however many there are
_MODEL_SD: Final = 0.02  # of the common slope: nothing is known better than that
_ROUNDS: Final = 6
_MANY: Final = 9
_ROUNDS_OF_MANY: Final = 2  # a round costs the number of columns cubed
_SWEEPS: Final = 4  # a round
_SAME: Final = 0.02  # of the noise: then another round changes nothing
_SPREAD: Final = 0.665  # of the logarithm of weights: a decade, evenly
_MEDIAN: Final = 0.8  # of the mean, with that spread: exp(−spread²/2)


@dataclass(slots=True)
class Evidence:
    """What is known of a process beside the seconds together: what its program drew in earlier
    runs, and sums over the seconds in which it was alone."""

    prior: Prior | None = None
    solo_seconds: int = 0
    solo_share: float = 0.0
    solo_watts: float = 0.0


@dataclass(slots=True)
class Start(Generic[K]):
    """Where a solution begins: where the last one ended."""

    sites: dict[K, Site] = field(default_factory=dict)
    noise: float = 0.0  # in squares of the common slope

    def begin(
        self, keys: Sequence[K], expected: Sequence[Expected | None], sites: list[Site]
    ) -> float:
        """Puts what is known into ``sites``; the noise, 0 where somebody is new."""
        for i, key in enumerate(keys, 1):
            if expected[i] is not None:
                sites[i] = self.sites.get(key, sites[i])
        return self.noise if all(key in self.sites for key in keys) else 0.0


class _Known(NamedTuple):
    """What is known beforehand, column by column: where it is expected, how strongly as a Gaussian
    (information, and information × watts), or but for a factor."""

    at: Vector
    information: Vector
    shift: Vector
    expected: list[Expected | None]


class _Fit(NamedTuple):
    """Floor and weights as found, with the noise they were found in and how strongly each was
    held where it was expected."""

    beta: Vector
    covariance: list[Vector]
    noise: float
    held: Vector


def solution(
    moments: Moments,
    keys: Sequence[K],
    evidence: Sequence[Evidence],
    floor: Prior,
    start: "Start[K] | None" = None,
) -> Steps[Weights[K] | None]:
    """Weights of ``keys``, whose columns follow the floor's in ``moments``; None while there is
    nothing to tell them by. ``start``: what an earlier solution ended with, which saves rounds;
    afterwards what this one did. All that may change meanwhile is read in the first step."""
    start = Start() if start is None else start
    keys = tuple(keys)
    evidence = [replace(one) for one in evidence]
    seen = floor is not UNKNOWN_FLOOR
    if not seen:
        floor = Prior(_FLOOR * moments.watts, _FLOOR_SD * moments.watts)
    normal = yield from moments.normal(floor.watts)
    if normal is None or not keys:
        return None
    held_sd, doubt = floor.sd_watts, 0.0
    if not seen and normal.exact:
        held_sd = PRIOR_SD * normal.slope
    elif not seen:
        held_sd, doubt = _HELD_SD * floor.watts, floor.sd_watts
    known = _known_before(evidence, Prior(floor.watts, held_sd), normal.slope)
    sites = unmeasured(known.expected)
    square = normal.slope * normal.slope
    noise = start.begin(keys, known.expected, sites) * square
    fit = yield from _fitted(normal, known, sites, noise)
    start.sites, start.noise = dict(zip(keys, sites[1:], strict=True)), fit.noise / square
    yield
    disagreement = normal.disagreement()
    yield
    covariance = yield from _covariance(normal, fit, known, doubt, disagreement)
    return Weights(
        keys,
        tuple(fit.beta[1:]),
        tuple(tuple(row[1:]) for row in covariance[1:]),
        normal.slope,
        _improves(normal, fit, [_told(one, normal.slope) for one in evidence]),
        Prior(fit.beta[0], math.sqrt(covariance[0][0])),
        normal.exact,
        {key: i for i, key in enumerate(keys)},
    )


def _fitted(normal: Normal, known: _Known, sites: list[Site], noise: float) -> Steps[_Fit]:
    """The noise depends on the weights, and they on it: round by round. ``noise`` 0: not known."""
    count = len(known.at) - 1
    beta = [known.at[0]] + [normal.slope] * count
    least = [0.0] + [_SMALLEST * normal.slope] * count
    wide = (PRIOR_SD * normal.slope) ** 2
    doubt = sum(row[i] for i, row in enumerate(normal.sampling)) * wide
    noise = noise or _noise(normal, beta, doubt)
    for _ in range(_ROUNDS if count < _MANY else _ROUNDS_OF_MANY):
        yield
        precision = [[value / noise for value in row] for row in normal.matrix]
        shift = [
            value / noise + more for value, more in zip(normal.right, known.shift, strict=True)
        ]
        for row, information in zip(precision, known.information, strict=True):
            row[-1] += information
        found = yield from posterior(precision, shift, known.expected, sites, _SWEEPS)
        beta = list(map(max, found.mean, least))
        doubt = sum(map(dot, normal.sampling, found.covariance))
        noise, before = _noise(normal, beta, doubt), noise
        if abs(noise - before) < _SAME * noise:
            break
    held = [value + site[0] for value, site in zip(known.information, sites, strict=True)]
    return _Fit(beta, found.covariance, before, held)


def _known_before(evidence: Sequence[Evidence], floor: Prior, slope: float) -> _Known:
    """What is known of each weight but for the seconds together: of earlier runs, of seconds
    alone, and else that it is the common slope but for a factor."""
    known = _Known([floor.watts], [1 / max(floor.sd_watts, 0.1) ** 2], [0.0], [None])
    known.shift[0] = known.at[0] * known.information[0]
    for one in evidence:
        prior = one.prior
        known.at.append(slope if prior is None else prior.watts)
        information = 0.0 if prior is None else max(prior.sd_watts, _SMALLEST * slope) ** -2
        alone, its = _alone(one, slope)
        known.information.append(information + alone)
        known.shift.append(information * known.at[-1] + its)
        known.expected.append(Expected(_MEDIAN * slope, _SPREAD) if prior is None else None)
    return known


def _alone(one: Evidence, slope: float) -> tuple[float, float]:
    """Information, and information × watts, of seconds alone. By the means: the device's
    utilisation is of a shorter time than the power."""
    if one.solo_share <= 0:
        return 0.0, 0.0
    square = one.solo_share * one.solo_share / one.solo_seconds
    product = one.solo_share * one.solo_watts / one.solo_seconds
    scale = min(1 / (_SOLO_SD * slope) ** 2, 1 / (square * (_SOLO_LIMIT * slope) ** 2))
    return scale * square, scale * product


def _told(one: Evidence, slope: float) -> tuple[float, float]:
    """A weight that is told by something else than seconds together, and how strongly."""
    if one.solo_share > 0:
        share, count = one.solo_share, one.solo_seconds
        least = max(_SOLO_SD * slope / math.sqrt(share * share / count), _SOLO_LIMIT * slope)
        return one.solo_watts / share, 1 / (least * least)
    if one.prior is not None:
        return one.prior.watts, 1 / one.prior.sd_watts**2
    return slope, 0.0


def _noise(normal: Normal, beta: Vector, doubt: float) -> float:
    """Variance of one second's Σ βx through the ring: with these weights and, since equal ones
    would have none and be believed, with what they might be as well and with some spread."""
    least = (0.01 * normal.slope) ** 2
    if normal.exact:
        return _CAUTION * max(normal.unexplained(beta), least)
    unlike = sum(row[i] for i, row in enumerate(normal.sampling)) * (_UNLIKE * normal.slope) ** 2
    return _CAUTION * max(normal.noise(beta) + doubt, unlike, least)


def _covariance(
    normal: Normal, fit: _Fit, known: _Known, doubt_watts: float, disagreement: float
) -> Steps[list[Vector]]:
    """Of the weights' errors. Found with caution, they are S·(A/cv + P)·S = S/c + (1 − 1/c)·S·P·S,
    S the posterior's covariance and P the precision of what is expected. N, the sampling noise that
    the first stage leaves in the matrix (each instrument fits a little of it), pulls towards that
    by S·N/v, which is off by its width W: + S·N/v·S + (S·N/v)·W·(S·N/v)ᵀ. A floor that is held more
    firmly than it is known, to ``doubt_watts``, pulls in the same way.

    Where instruments disagree by more than that noise, some process's power departs from its SM
    time, and each of them sees another weight: S/c grows with it (Birge 1932)."""
    floor = (_MODEL_SD * normal.slope) ** 2
    wide = (PRIOR_SD * normal.slope) ** -2
    scales = [
        1 / math.sqrt(value + (wide if expected else 0.0))
        for value, expected in zip(known.information, known.expected, strict=True)
    ]
    each = normal.instruments / fit.noise
    posterior = fit.covariance
    pulled = [[each * dot(row, other) for other in normal.sampling] for row in posterior]
    yield
    firm = [math.sqrt((1 - 1 / _CAUTION) * value) for value in fit.held]
    firm[0] = math.hypot(firm[0], fit.held[0] * doubt_watts)
    scales += firm
    told = max(1.0, disagreement * _CAUTION / fit.noise) / _CAUTION
    spread = [
        list(map(mul, (*pull, *row), scales)) for pull, row in zip(pulled, posterior, strict=True)
    ]
    result: Lower = []
    for i, row in enumerate(posterior):
        result.append(
            [
                row[j] * told + dot(pulled[i], posterior[j]) + dot(spread[i], spread[j])
                for j in range(i + 1)
            ]
        )
        result[i][i] += floor
    return mirrored(result)


def _improves(normal: Normal, fit: _Fit, told: Sequence[tuple[float, float]]) -> bool:
    """Whether the weights explain more than noise would: of the seconds together, of those
    alone, and of what was known of the programs."""
    common = [fit.beta[0]] + [normal.slope] * len(told)
    gain = (_misfit(normal, common) - _misfit(normal, fit.beta)) / fit.noise
    full = mirrored(normal.matrix)
    expected = sum(map(dot, fit.covariance, full)) / fit.noise
    for (at, information), beta in zip(told, fit.beta[1:], strict=True):
        gain += information * ((normal.slope - at) ** 2 - (beta - at) ** 2)
        expected += information > 0
    sure = _SURE if len(told) < _CROWD else 0.0
    return gain > expected + sure * math.sqrt(2 * expected)


def _misfit(normal: Normal, beta: Vector) -> float:
    return quadratic(normal.matrix, beta) - 2 * dot(normal.right, beta)
