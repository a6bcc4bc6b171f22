"""Largest remainders."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.attribution import apportion

WEIGHTS = st.lists(st.integers(0, 2**80), min_size=1, max_size=64).filter(any)


@pytest.mark.fault("F47")
@given(total=st.integers(0, 2**80), weights=WEIGHTS, turn=st.integers(0, 1_000))
def test_exact_and_within_one_of_the_rational_share(
    total: int, weights: list[int], turn: int
) -> None:
    parts = apportion(total, weights, turn)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert part >= 0
        assert weight or not part


@given(total=st.integers(0, 2**40), weights=WEIGHTS, factor=st.integers(1, 2**40))
def test_only_the_ratio_of_weights_matters(total: int, weights: list[int], factor: int) -> None:
    assert apportion(total, weights) == apportion(total, [factor * w for w in weights])


@given(total=st.integers(0, 2**40), weights=WEIGHTS, data=st.data())
def test_more_weight_never_gets_less(total: int, weights: list[int], data: st.DataObject) -> None:
    parts = apportion(total, weights, data.draw(st.integers(0, 64)))
    by_weight = sorted(zip(weights, parts, strict=True))
    for (light, less), (heavy, more) in itertools.pairwise(by_weight):
        assert less <= more or light == heavy


@given(
    total=st.integers(0, 2**40),
    equals=st.integers(1, 64),
    weight=st.integers(1, 2**70),
    first=st.integers(0, 10**6),
)
def test_equals_get_the_same_over_a_full_round(
    total: int, equals: int, weight: int, first: int
) -> None:
    rounds = [apportion(total, [weight] * equals, first + turn) for turn in range(equals)]
    assert {sum(column) for column in zip(*rounds, strict=True)} == {total}


def test_the_same_question_has_the_same_answer() -> None:
    assert apportion(10, [1, 1, 1], 0) == [4, 3, 3]
    assert apportion(10, [1, 1, 1], 1) == [3, 4, 3]
    assert apportion(100, [2, 1], 7) == [67, 33]


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, []), (1, [0, 0]), (1, [2, -1])])
def test_what_has_no_answer_is_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="can't apportion"):
        apportion(total, weights)
