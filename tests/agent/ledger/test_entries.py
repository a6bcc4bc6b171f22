"""What an interval leaves in a row."""

import pytest

from submeter.ledger.entries import entry_of
from submeter.ledger.rows import NO_COUNTER, decode, encode
from submeter.model import CounterState, EnergySource, Interval, MeterState


@pytest.mark.fault("F9", "F73")
@pytest.mark.parametrize(
    ("raw_uj", "kept_uj"),
    [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, NO_COUNTER), (2**73, NO_COUNTER)],
)
def test_a_counter_that_shows_nonsense_can_be_written(raw_uj: int, kept_uj: int) -> None:
    counter = CounterState(raw_uj, 7, 1, 0, 0, 0, 0, 0)
    state = MeterState(2, 2, 2, counter)
    row = entry_of(Interval("GPU-1", 0, 1, 2, 0, EnergySource.COUNTER, state=state))
    assert decode(0, 0, encode(row)).counter_uj == kept_uj
