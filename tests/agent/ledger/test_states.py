"""The state of a meter as text: one text for one state, and back."""

from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger.rows import canonical
from submeter.ledger.states import parse_state, state_text
from submeter.model import CounterState, MeterState

_NUMBER = st.integers(-(1 << 70), 1 << 70)
_MARKS = st.lists(st.lists(_NUMBER, max_size=5).map(tuple), max_size=3).map(tuple)
_COUNTER = st.builds(CounterState, *([_NUMBER] * 8), _MARKS)


@given(st.builds(MeterState, _NUMBER, _NUMBER, _NUMBER, st.none() | _COUNTER))
def test_it_is_canonical_and_comes_back(state: MeterState) -> None:
    assert state_text(state) == canonical(state).decode()
    assert parse_state(state_text(state)) == state
