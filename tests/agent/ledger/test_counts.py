"""What is counted beside energy goes on from one agent to the next, and never falls."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.counted import (
    agent_names,
    agent_use,
    exporter_names,
    exporters,
    histogram,
    histogram_names,
    names,
    of_names,
    request_names,
    requests,
)
from submeter.ledger.counts import Counts, parse_counts
from submeter.ledger.rows import BadRow
from submeter.model import AgentUse, Counted, ExporterState, Histogram


def test_counts_go_on_and_are_shown_when_they_are_safe(
    books: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = books()
    made.ledger.count("GPU-1", {"samples": 5, "call:read": 70})
    assert made.ledger.counts("GPU-1") == {}
    made.commit()
    assert made.ledger.counts("GPU-1") == {"samples": 5, "call:read": 70}
    made.store.close()  # as if killed
    again = made.open()
    assert again.ledger.counts("GPU-1") == {"samples": 5, "call:read": 70}
    again.ledger.count("GPU-1", {"samples": 1})
    again.commit()
    again.ledger.count("GPU-1", {"samples": 3})

    def refuse(_handle: int, _whole: bytes) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as patch:
        patch.setattr("submeter.ledger.store._write", refuse)
        again.commit()
    assert again.ledger.counts("GPU-1") == {"samples": 6, "call:read": 70}
    again.commit()
    assert again.ledger.counts("GPU-1") == {"samples": 8, "call:read": 70}
    assert again.ledger.all_counts() == {"GPU-1": {"samples": 8, "call:read": 70}}


def test_what_is_simulated_counts_for_itself(books: Callable[..., Any]) -> None:
    made = books()
    made.ledger.count("GPU-1", {"samples": 5})
    made.commit()
    made.close()
    assert books(backend="mock", boot_id="").ledger.counts("GPU-1") == {}


def test_whoever_begins_at_0_anew_adds() -> None:
    counts = Counts({"": {"a": 10}})
    counts.take("", {"a": 4})
    counts.take("", {"a": 6})
    counts.take("", {"a": 1})  # made anew
    assert counts.totals == {"": {"a": 17}}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"b": "x"}}'])
def test_unreadable_counts(text: str) -> None:
    with pytest.raises(BadRow):
        parse_counts(text)


def test_names_and_back() -> None:
    counted = Counted(3, 1, {"read": 9}, {("read", "gpu:lost"): 2}, {"power": 7})
    assert of_names({**names(counted), "of a later version": 1}) == counted
    bounds = (10, 20)
    late = Histogram(bounds, (1, 2, 3), 99)
    assert histogram(histogram_names(late), bounds) == late
    assert histogram({}, bounds) is None
    use = AgentUse(5, 7)
    assert agent_use(agent_names(use), AgentUse(1, 7)) == use
    assert agent_use({}, None) is None
    asked = {("labelled", ""): 3, ("refused", "pid"): 1}
    assert requests(request_names(asked), dict.fromkeys(asked, 0)) == asked
    states = (ExporterState("a", runs=3, failures=1), ExporterState("b", missed_readings=4))
    assert exporters(exporter_names(states), [ExporterState("a"), states[1]]) == states


def test_what_was_counted_once_is_not_counted_again() -> None:
    """Most of what is counted is the same at the next look; less is of one that was made anew."""
    counts = Counts({"GPU-1": {"samples": 100}})
    for seen in (5, 5, 7, 7, 2, 2):
        counts.take("GPU-1", {"samples": seen})
    assert counts.totals == {"GPU-1": {"samples": 100 + 7 + 2}}
