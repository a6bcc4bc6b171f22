"""From equations to weights: each formula by its description, on numbers small enough to check."""

import math

import pytest

from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior
from submeter.attribution.moments import Moments, Normal
from submeter.attribution.sites import Expected
from submeter.attribution.solving import (
    Evidence,
    _alone,
    _covariance,
    _Fit,
    _improves,
    _Known,
    _known_before,
    _noise,
    _told,
    solution,
)
from submeter.attribution.steps import finished

CAUTION = 3.5
SLOPE = 100.0
SOLO = Evidence(None, 12, 3.0, 600.0)  # twelve seconds alone, a quarter busy, 200 W a unit
LONG = Evidence(None, 1_000, 500.0, 100_000.0)
PRIOR = Evidence(Prior(300.0, 20.0))

NORMAL = Normal(
    matrix=[[9.0], [2.0, 5.0], [1.0, 0.5, 4.0]],
    right=[900.0, 800.0, 700.0],
    slope=SLOPE,
    exact=False,
    instruments=11,
    sampling=[[0.0, 0.0, 0.0], [0.0, 0.04, -0.01], [0.0, -0.01, 0.03]],
    square=90_000.0,
    seconds=300.0,
)


def test_seconds_alone_count_by_their_means_and_no_more_than_a_thirtieth_of_the_slope() -> None:
    # a tenth of the slope over √(Σ share² / seconds)
    information = 0.75 / 10.0**2
    assert _alone(SOLO, SLOPE) == pytest.approx((information, information * 200))
    assert _told(SOLO, SLOPE) == pytest.approx((200, information))
    assert _alone(LONG, SLOPE) == pytest.approx((1 / 9, 200 / 9))
    assert _told(LONG, SLOPE) == pytest.approx((200, 1 / 9))
    assert _alone(PRIOR, SLOPE) == (0.0, 0.0)
    assert _told(PRIOR, SLOPE) == pytest.approx((300.0, 1 / 400))
    assert _told(Evidence(), SLOPE) == (SLOPE, 0.0)


def test_what_is_known_beforehand_column_by_column() -> None:
    both = Evidence(Prior(300.0, 20.0), 12, 3.0, 600.0)
    sharp = Evidence(Prior(50.0, 0.001))
    known = _known_before([Evidence(), PRIOR, SOLO, both, sharp], Prior(70.0, 0.5), SLOPE)
    assert known.at == [70.0, SLOPE, 300.0, SLOPE, 300.0, 50.0]
    information = [4.0, 0.0, 1 / 400, 0.0075, 1 / 400 + 0.0075, 1 / 9]
    assert known.information == pytest.approx(information)
    shift = [280.0, 0.0, 0.75, 1.5, 0.75 + 1.5, 50 / 9]
    assert known.shift == pytest.approx(shift)
    expected = Expected(0.8 * SLOPE, 0.665)
    assert known.expected == [None, expected, None, expected, None, None]
    firm = _known_before([], Prior(70.0, 0.0), SLOPE)
    assert firm.information == pytest.approx([100.0])  # to 0.1 W at most


def test_noise_is_the_rings_and_never_next_to_nothing() -> None:
    beta = [50.0, 200.0, 100.0]
    ring = 200**2 * 0.04 + 100**2 * 0.03 - 2 * 200 * 100 * 0.01
    assert _noise(NORMAL, beta, 5_000.0) == pytest.approx(CAUTION * (ring + 5_000.0))
    # equal weights have hardly any: so unlike as a third of the slope they may be
    equal = [50.0, 1e-6, 1e-6]
    assert _noise(NORMAL, equal, 0.0) == pytest.approx(CAUTION * 0.07 * 30.0**2)
    quiet = NORMAL._replace(sampling=[[0.0] * 3] * 3)
    assert _noise(quiet, beta, 0.0) == pytest.approx(CAUTION * 1.0)
    exact = NORMAL._replace(exact=True)
    assert _noise(exact, beta, 1e9) == pytest.approx(CAUTION * exact.unexplained(beta))
    assert _noise(exact._replace(square=0.0), beta, 1e9) == pytest.approx(CAUTION * 1.0)


def test_errors_are_the_formula() -> None:
    """S/c + (1 − 1/c)·S·P·S + S·N/v·S + (S·N/v)·W·(S·N/v)ᵀ, the model's own on the diagonal; S/c as
    many times as instruments disagree by more than the ring's noise."""
    posterior = [[4.0, 1.0, 0.5], [1.0, 90.0, -20.0], [0.5, -20.0, 60.0]]
    held, information, noise, doubt = [0.3, 0.002, 0.004], [0.3, 0.001, 0.004], 700.0, 6.0
    known = _Known([70.0, SLOPE, 300.0], information, [0.0] * 3, [None, Expected(80.0, 0.6), None])
    fit = _Fit([70.0, 200.0, 100.0], posterior, noise, held)
    disagreements = (0.0, 200.0, 600.0)  # the ring's own noise is 200
    agreed, usual, found = [
        finished(_covariance(NORMAL, fit, known, doubt, value)) for value in disagreements
    ]
    assert agreed == usual
    size = range(3)
    n_v = [[NORMAL.instruments * value / noise for value in row] for row in NORMAL.sampling]
    pulled = [[sum(posterior[i][k] * n_v[k][j] for k in size) for j in size] for i in size]
    wide = [1 / 0.3, 1 / (0.001 + (PRIOR_SD * SLOPE) ** -2), 1 / 0.004]
    firm = [(1 - 1 / CAUTION) * value for value in held]
    firm[0] += (held[0] * doubt) ** 2
    for i in size:
        for j in size:
            expected = 3 * posterior[i][j] / CAUTION
            assert found[i][j] - usual[i][j] == pytest.approx(2 * posterior[i][j] / CAUTION)
            expected += sum(pulled[i][k] * posterior[k][j] for k in size)
            expected += sum(pulled[i][k] * wide[k] * pulled[j][k] for k in size)
            expected += sum(posterior[i][k] * firm[k] * posterior[k][j] for k in size)
            expected += (0.02 * SLOPE) ** 2 if i == j else 0.0
            assert found[i][j] == pytest.approx(expected), (i, j)


def misfit(beta: list[float]) -> float:
    full = [[NORMAL.matrix[max(i, j)][min(i, j)] for j in range(3)] for i in range(3)]
    square = sum(beta[i] * full[i][j] * beta[j] for i in range(3) for j in range(3))
    return square - 2 * sum(b * r for b, r in zip(beta, NORMAL.right, strict=True))


def test_weights_are_used_where_they_explain_more_than_noise_would() -> None:
    beta, common = [30.0, 160.0, 130.0], [30.0, SLOPE, SLOPE]
    posterior = [[4.0, 1.0, 0.5], [1.0, 90.0, -20.0], [0.5, -20.0, 60.0]]
    told = [(150.0, 0.002), (SLOPE, 0.0)]
    explained = misfit(common) - misfit(beta)
    known = 0.002 * (50.0**2 - 10.0**2)
    trace = 4 * 9 + 90 * 5 + 60 * 4 + 2 * (1 * 2 + 0.5 * 1 - 20 * 0.5)

    def surplus(noise: float, sure: float) -> float:
        expected = trace / noise + 1  # one weight was told
        return explained / noise + known - expected - sure * math.sqrt(2 * expected)

    answers = set()
    for noise in (10.0, 20.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1_000.0, 1e5):
        fit = _Fit(beta, posterior, noise, [0.0] * 3)
        assert _improves(NORMAL, fit, told) is (surplus(noise, 2.0) > 0), noise
        answers.add(surplus(noise, 2.0) > 0)
    assert answers <= {True, False}
    plain = [(SLOPE, 0.0), (SLOPE, 0.0)]
    turn = explained - trace  # at which noise gain and what noise explains are alike, but for luck
    assert turn > 0
    for noise, learnt in ((1.0, True), (1e9, False)):
        assert _improves(NORMAL, _Fit(beta, posterior, noise, [0.0] * 3), plain) is learnt


def watched(seconds: int) -> Moments:
    """Two that take turns, and 80 W beside them."""
    moments = Moments()
    moments.exact = True
    moments.add_column()
    moments.add_column()
    for second in range(seconds):
        one, other = (0.5, 0.1) if second // 7 % 2 else (0.1, 0.4)
        moments.observe([1.0, one, other], 80.0 + 400.0 * one + 100.0 * other)
    return moments


def test_what_is_seen_is_found_again_with_its_floor() -> None:
    moments, both = watched(300), [Evidence(), Evidence()]
    found = finished(solution(moments, ["a", "b"], both, Prior(80.0, 1.0)))
    assert found is not None
    assert found.keys == ("a", "b")
    assert found.index == {"a": 0, "b": 1}
    assert found.watts == pytest.approx((400.0, 100.0), rel=0.01)
    assert found.floor.watts == pytest.approx(80.0, abs=1.0)
    # what seconds together can't tell is as uncertain as it was
    assert 0.5 < found.floor.sd_watts < 10
    assert found.learnt
    assert found.exact
    used = 0.3 + 0.25
    assert found.slope == pytest.approx((moments.watts - 80.0) / used, rel=0.03)
    assert len(found.covariance) == len(found.covariance[0]) == 2
    assert found.covariance[0][1] == pytest.approx(found.covariance[1][0])
    assert found.covariance[0][0] >= (0.02 * found.slope) ** 2
    free = finished(solution(moments, ["a", "b"], both, UNKNOWN_FLOOR))
    assert free is not None
    assert free.watts[0] > 2 * free.watts[1]
    assert finished(solution(moments, [], [], Prior(80.0, 1.0))) is None
    assert finished(solution(Moments(), ["a"], [Evidence()], Prior(80.0, 1.0))) is None


def test_evidence_that_comes_while_it_is_solved_is_for_the_next_time() -> None:
    moments, both = watched(300), [Evidence(), Evidence()]
    plain = finished(solution(moments, ["a", "b"], both, Prior(80.0, 1.0)))
    steps = solution(moments, ["a", "b"], both, Prior(80.0, 1.0))
    next(steps)
    both[0].solo_seconds, both[0].solo_share, both[0].solo_watts = 100, 50.0, 90_000.0
    assert finished(steps) == plain
    assert finished(solution(moments, ["a", "b"], both, Prior(80.0, 1.0))) != plain
