"""Posterior of positive numbers: against numerical integration, and at its limits."""

import math

import pytest

from submeter.attribution.sites import Expected, Posterior, unmeasured
from submeter.attribution.sites import posterior as steps_to_posterior
from submeter.attribution.steps import finished

KNOWN = Expected(80.0, 0.665)
MEAN = 80.0 * math.exp(0.665**2 / 2)


def posterior(
    precision: list[list[float]], shift: list[float], expected: list[Expected | None]
) -> Posterior:
    return finished(steps_to_posterior(precision, shift, expected, unmeasured(expected)))


def test_nothing_measured_is_what_was_expected() -> None:
    found = posterior([[1e-12], [0.0, 1e-12]], [0.0, 0.0], [KNOWN, KNOWN])
    assert found.mean == pytest.approx([MEAN, MEAN], rel=0.01)
    sd = MEAN * math.sqrt(math.exp(0.665**2) - 1)
    assert math.sqrt(found.covariance[0][0]) == pytest.approx(sd, rel=0.05)


@pytest.mark.parametrize("true", [10.0, 80.0, 600.0])
def test_what_is_measured_well_is_believed(true: float) -> None:
    precision = 1 / (0.01 * true) ** 2
    found = posterior([[precision]], [precision * true], [KNOWN])
    assert found.mean[0] == pytest.approx(true, rel=0.003)
    assert math.sqrt(found.covariance[0][0]) == pytest.approx(0.01 * true, rel=0.05)


@pytest.mark.parametrize(("measured", "sd"), [(80.0, 40.0), (-50.0, 60.0), (300.0, 100.0)])
def test_in_between_it_is_the_integral(measured: float, sd: float) -> None:
    weights, total, first, second = [], 0.0, 0.0, 0.0
    for step in range(1, 40_000):
        value = step * 0.05
        log = math.log(value / KNOWN.median) / KNOWN.spread
        weight = math.exp(-log * log / 2 - (value - measured) ** 2 / (2 * sd * sd)) / value
        weights.append(weight)
        total += weight
        first += weight * value
        second += weight * value * value
    mean = first / total
    found = posterior([[1 / sd**2]], [measured / sd**2], [KNOWN])
    assert found.mean[0] == pytest.approx(mean, rel=0.02)
    assert found.covariance[0][0] == pytest.approx(second / total - mean * mean, rel=0.1)
    assert found.mean[0] > 0


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e6])
def test_the_unit_does_not_matter(scale: float) -> None:
    plain = posterior([[1 / 40**2]], [60 / 40**2], [KNOWN])
    sd, measured = 40 * scale, 60 * scale
    found = posterior([[1 / sd**2]], [measured / sd**2], [Expected(80 * scale, KNOWN.spread)])
    assert found.mean[0] == pytest.approx(plain.mean[0] * scale, rel=1e-6)
    assert found.covariance[0][0] == pytest.approx(plain.covariance[0][0] * scale**2, rel=1e-6)


def test_a_sum_that_is_known_stays_known() -> None:
    """Two that are always there together: nobody can tell them apart, and neither is it said."""
    strong = 1.0
    found = posterior([[strong], [strong, strong]], [strong * 200, strong * 200], [KNOWN, KNOWN])
    assert sum(found.mean) == pytest.approx(200, rel=0.02)
    assert found.mean[0] == pytest.approx(found.mean[1], rel=0.01)
    assert math.sqrt(found.covariance[0][0]) > 20


def test_a_gaussian_expectation_is_just_measured() -> None:
    found = posterior([[2.0], [0.0, 0.25]], [20.0, 1.0], [None, None])
    assert found.mean == pytest.approx([10.0, 4.0])
    assert found.covariance[1][1] == pytest.approx(4.0)


def test_a_start_that_says_nothing_where_nothing_is_measured_is_made_up_for() -> None:
    """Two that always run together, and what was expected of them forgotten: one pivot is lost."""
    sites = [(0.0, 0.0), (0.0, 0.0)]
    found = finished(
        steps_to_posterior([[1.0], [1.0, 1.0]], [160.0, 160.0], [KNOWN, KNOWN], sites, 20)
    )
    assert sum(found.mean) == pytest.approx(160.0, rel=0.02)
    assert min(found.mean) > 40.0
    assert all(found.covariance[i][i] > 0 for i in range(2))
