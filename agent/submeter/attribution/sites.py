"""What measurements say of positive numbers, and what is expected of them, in; posterior out.

Measurements: a Gaussian in natural parameters (precision matrix and precision × mean). Beforehand
each number is expected around some value by a factor, not by an amount: a logarithmic normal
distribution, under which it can't be negative and "a tenth" is as likely as "ten times". The
posterior is approximated by expectation propagation (Minka 2001): each expectation is replaced by
the Gaussian that gives the same mean and variance together with everything else.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.attribution.linear import Lower, Vector, dot, inverse

_POINTS: Final = 48
_REACH: Final = 4.0  # standard deviations to either side
_DAMPING: Final = 0.8
_NARROW: Final = 0.1  # of its mean: that close, an expectation is a slope
_WEAKEST: Final = 1e-6  # of a precision: what is taken for nothing


class Expected(NamedTuple):
    """What a positive number is beforehand: its median, and the standard deviation of its
    logarithm."""

    median: float
    spread: float


class Posterior(NamedTuple):
    """Means and covariances."""

    mean: Vector
    covariance: list[Vector]


def posterior(
    precision: Lower,
    shift: Sequence[float],
    expected: Sequence[Expected | None],
    sweeps: int = 5,
) -> Posterior:
    """``precision`` · mean = ``shift`` is what is measured and, for numbers of which None is
    expected, all that is known beforehand, too. Each sweep inverts the matrix once."""
    sites: list[tuple[float, float]] = [
        (0.0, 0.0) if known is None else _gaussian(known) for known in expected
    ]
    mean, covariance = _moments(precision, shift, sites)
    for _ in range(sweeps):
        moved = False
        for i, known in enumerate(expected):
            if known is not None:
                site = _refined(known, mean[i], covariance[i][i], sites[i])
                moved = moved or abs(site[0] - sites[i][0]) > 0.02 * site[0]
                sites[i] = site
        if not moved:
            break
        mean, covariance = _moments(precision, shift, sites)
    return Posterior(mean, covariance)


def _moments(
    precision: Lower, shift: Sequence[float], sites: Sequence[tuple[float, float]]
) -> tuple[Vector, list[Vector]]:
    full = [[*row[:-1], row[-1] + site[0]] for row, site in zip(precision, sites, strict=True)]
    right = [value + site[1] for value, site in zip(shift, sites, strict=True)]
    covariance = inverse(full)
    return [dot(row, right) for row in covariance], covariance


def _gaussian(known: Expected) -> tuple[float, float]:
    """Precision and precision × mean of the expectation by itself."""
    mean, variance = _tilted(known, 0.0, math.inf)
    return 1 / variance, mean / variance


def _refined(
    known: Expected, mean: float, variance: float, site: tuple[float, float]
) -> tuple[float, float]:
    """The site that, with all others, gives the moments that the expectation itself would."""
    rest = 1 / variance - site[0]
    if rest <= _WEAKEST / variance:
        return _gaussian(known)
    rest_variance = 1 / rest
    rest_mean = rest_variance * (mean / variance - site[1])
    if rest_mean > 0 and rest_variance < (_NARROW * rest_mean) ** 2:
        slope = (1 + math.log(rest_mean / known.median) / known.spread**2) / rest_mean
        wanted_mean, wanted = rest_mean - slope * rest_variance, rest_variance
    else:
        wanted_mean, wanted = _tilted(known, rest_mean, rest_variance)
    precision = max(1 / wanted - rest, _WEAKEST * rest)
    shift = wanted_mean * (rest + precision) - rest_mean * rest
    return (
        _DAMPING * precision + (1 - _DAMPING) * site[0],
        _DAMPING * shift + (1 - _DAMPING) * site[1],
    )


def _tilted(known: Expected, mean: float, variance: float) -> tuple[float, float]:
    """Mean and variance of a Gaussian times the expectation."""
    step = 2 * _REACH / (_POINTS - 1)
    sds = [step * i - _REACH for i in range(_POINTS)]
    points = [known.median * math.exp(known.spread * sd) for sd in sds]
    depths = [
        sd * sd / 2 + (0.0 if math.isinf(variance) else (point - mean) ** 2 / (2 * variance))
        for sd, point in zip(sds, points, strict=True)
    ]
    least = min(depths)
    weights = [math.exp(least - depth) for depth in depths]
    total = sum(weights)
    centre = dot(weights, points) / total
    spread = sum(w * (p - centre) ** 2 for w, p in zip(weights, points, strict=True)) / total
    return centre, spread + (step * known.spread * centre) ** 2 / 12
