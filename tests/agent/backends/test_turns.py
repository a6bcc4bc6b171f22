"""Turns: everybody's comes once a round, or is taken away by whoever finds the round stuck."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.backends.turns import Turns, one_by_one


def _turns(count: int) -> Turns:
    turns = Turns(count, lambda: 7)
    turns.begin(1)
    return turns


def test_everybody_has_a_turn() -> None:
    turns = _turns(3)
    assert list(iter(turns.next, None)) == [0, 1, 2]
    turns.begin(2)
    assert list(iter(turns.next, None)) == [0, 1, 2]


@given(count=st.integers(1, 8), data=st.data())
def test_a_stuck_round_ends_with_the_stuck_one(count: int, data: st.DataObject) -> None:
    stuck = data.draw(st.integers(0, count - 1))
    turns = _turns(count)
    for _ in range(stuck + 1):
        number = turns.next()
        assert number is not None
        turns.at = number
    assert not turns.disturbed
    assert turns.end_with(stuck)
    with pytest.raises(IndexError):
        turns.next()
    assert turns.disturbed


@given(count=st.integers(2, 8), data=st.data())
def test_a_round_that_went_on_is_left_alone(count: int, data: st.DataObject) -> None:
    """Also in the moment between taking the next turn and saying so."""
    at = data.draw(st.integers(0, count - 2))
    turns = _turns(count)
    for _ in range(at + 2):
        number = turns.next()
        assert number is not None
        if number <= at:
            turns.at = number
    assert not turns.end_with(at)
    assert list(iter(turns.next, None)) == list(range(at + 2, count))


def test_a_round_that_is_over_is_not_stuck() -> None:
    turns = _turns(2)
    for number in iter(turns.next, None):
        turns.at = number
    assert not turns.end_with(1)


def test_whoever_is_left_out_has_no_turn() -> None:
    asked: list[tuple[str, int]] = []

    class Device:
        def __init__(self, name: str) -> None:
            self._name = name

        def poll(self, now_ns: int) -> None:
            asked.append((self._name, now_ns))

    turns = _turns(3)
    one_by_one([Device("a"), None, Device("c")])(1, turns)
    assert asked == [("a", 1), ("c", 7)]
