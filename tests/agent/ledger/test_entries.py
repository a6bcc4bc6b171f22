"""What an interval leaves in a row."""

import pytest

from submeter.ledger.counts import parse_counts
from submeter.ledger.done import parse_marks
from submeter.ledger.entries import entry_of
from submeter.ledger.rows import NO_COUNTER, BadRow, decode, encode
from submeter.ledger.states import parse_state
from submeter.model import CounterState, EnergySource, Interval, MeterState, UnmeteredReason


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


@pytest.mark.fault("F63")
@pytest.mark.parametrize("text", ['{"GPU-1": {"samples": 1e999}}', "[" * 100_000, "[[[", "7"])
def test_numbers_and_depths_that_json_allows_are_bad_rows(text: str) -> None:
    """Found by fuzzing."""
    for parse in (parse_counts, parse_marks, parse_state):
        with pytest.raises(BadRow):
            parse(text)


@pytest.mark.parametrize(("unmetered_ns", "metered_ns"), [(0, 10), (4, 6), (10, 0), (12, 0)])
def test_time_is_metered_or_it_is_not(unmetered_ns: int, metered_ns: int) -> None:
    """More may be unmetered than there was: seconds before a boot are counted with what follows."""
    reasons = ((UnmeteredReason.GAP, unmetered_ns),)
    row = entry_of(Interval("GPU-1", 0, 10, 20, 0, EnergySource.COUNTER, unmetered_ns=reasons))
    assert row.metered_ns == metered_ns
    assert row.facts.get("unmetered.gap", 0) == unmetered_ns
