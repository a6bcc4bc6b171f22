"""The state of a meter as text: one text for one state, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger.rows import BadRow, canonical
from submeter.ledger.states import parse_state, state_text
from submeter.model import CounterState, MeterState

_NUMBER = st.integers(-(1 << 70), 1 << 70)
_MARKS = st.lists(st.lists(_NUMBER, min_size=5, max_size=6).map(tuple), max_size=3).map(tuple)
_COUNTER = st.builds(CounterState, *([_NUMBER] * 8), _MARKS)


@given(st.builds(MeterState, _NUMBER, _NUMBER, _NUMBER, st.none() | _COUNTER))
def test_it_is_canonical_and_comes_back(state: MeterState) -> None:
    assert state_text(state) == canonical(state).decode()
    assert parse_state(state_text(state)) == state


@pytest.mark.parametrize(
    "text",
    [
        "[1,1,1,[]]",
        "[1,1,1]",
        "[1,1,null,null]",
        "[1,1,1.5,null]",
        "[1,1,1,[1,2,3,4,5,6,7,[]]]",
        '[1,1,1,[1,2,3,4,5,6,7,"8",[]]]',
        "[1,1,1,[1,2,3,4,5,6,7,true,[]]]",
        "[1,1,1,[1,2,3,4,5,6,7,8,[9]]]",
        '[1,1,1,[1,2,3,4,5,6,7,8,["ab"]]]',
        "[1,1,1,[1,2,3,4,5,6,7,8,null]]",
        "[1,1,1,[1,2,3,4,5,6,7,8,[[1,2,3,4]]]]",
        "{}",
        "7",
    ],
)
def test_what_no_meter_ever_was_in_is_no_state(text: str) -> None:
    with pytest.raises(BadRow):
        parse_state(text)
