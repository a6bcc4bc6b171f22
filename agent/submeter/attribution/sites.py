"""What measurements say of positive numbers, and what is expected of them, in; posterior out.

Measurements: a Gaussian in natural parameters (precision matrix and precision × mean). Beforehand
each number is expected around some value by a factor, not by an amount: a logarithmic normal
distribution, under which it can't be negative and "a tenth" is as likely as "ten times". The
posterior is approximated by expectation propagation (Minka 2001): each expectation is replaced by
the Gaussian that gives the same mean and variance together with everything else.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from submeter.attribution.linear import (
    Lower,
    Vector,
    cholesky,
    dot,
    forward,
    inverse,
    inverse_columns,
    upward,
    variances,
)
from submeter.attribution.steps import Steps

Site: TypeAlias = tuple[float, float]
"""Precision and precision × mean of the Gaussian that stands for an expectation."""

_POINTS: Final = 36
_REACH: Final = 4.0  # standard deviations to either side
_DAMPING: Final = 0.8
_NARROW: Final = 0.15  # of its mean: that close, an expectation is a slope
_WEAKEST: Final = 1e-6  # of a precision: what is taken for nothing
_SAME: Final = 0.02  # of a precision: then another sweep changes nothing
_STEP: Final = 2 * _REACH / (_POINTS - 1)
_SDS: Final = tuple(_STEP * i - _REACH for i in range(_POINTS))
_DEPTHS: Final = tuple(sd * sd / 2 for sd in _SDS)


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
    sites: list[Site],
    sweeps: int = 5,
) -> Steps[Posterior]:
    """``precision`` · mean = ``shift`` is what is measured and, for numbers of which None is
    expected, all that is known beforehand, too. ``sites``: where to begin (`unmeasured`, or what
    a similar problem ended with); what they were in the end. Each sweep factors the matrix once."""
    half = _solved(precision, shift, sites)
    for _ in range(sweeps):
        yield
        moved = False
        for i, known in enumerate(expected):
            if known is not None:
                site = _refined(known, half.mean[i], half.variances[i], sites[i])
                moved = moved or abs(site[0] - sites[i][0]) > _SAME * site[0]
                sites[i] = site
        if not moved:
            break
        half = _solved(precision, shift, sites)
    yield
    return Posterior(half.mean, inverse(half.columns))


def unmeasured(expected: Sequence[Expected | None]) -> list[Site]:
    """The expectations by themselves."""
    return [(0.0, 0.0) if known is None else _gaussian(known) for known in expected]


class _Half(NamedTuple):
    """As much of a solution as a sweep needs."""

    mean: Vector
    variances: Vector
    columns: list[Vector]


def _solved(precision: Lower, shift: Sequence[float], sites: Sequence[Site]) -> _Half:
    full = [[*row[:-1], row[-1] + site[0]] for row, site in zip(precision, sites, strict=True)]
    right = [value + site[1] for value, site in zip(shift, sites, strict=True)]
    factor = cholesky(full)
    columns = inverse_columns(factor)
    return _Half(upward(columns, forward(factor, right)), variances(columns), columns)


def _gaussian(known: Expected) -> Site:
    """Precision and precision × mean of the expectation by itself."""
    mean, variance = _tilted(known, 0.0, math.inf)
    return 1 / variance, mean / variance


def _refined(known: Expected, mean: float, variance: float, site: Site) -> Site:
    """The site that, with all others, gives the moments that the expectation itself would."""
    if variance <= 0:
        return _gaussian(known)  # its pivot was lost to rounding: nothing is known of it
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
    points, squares = _grid(known)
    narrow = 1 / (2 * variance)  # 0 for infinitely wide
    towards = 2 * narrow * mean
    depths = [
        depth + narrow * square - towards * point
        for depth, square, point in zip(_DEPTHS, squares, points, strict=True)
    ]
    least = min(depths)
    weights = [math.exp(least - depth) for depth in depths]
    total = sum(weights)
    centre = dot(weights, points) / total
    spread = max(dot(weights, squares) / total - centre * centre, 0.0)
    return centre, spread + (_STEP * known.spread * centre) ** 2 / 12


@lru_cache(maxsize=16)
def _grid(known: Expected) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The points of the integration, and their squares."""
    points = tuple([known.median * math.exp(known.spread * sd) for sd in _SDS])
    return points, tuple([point * point for point in points])
