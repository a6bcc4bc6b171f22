"""Unused power: from a ledger with known draws."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.cli import main
from submeter.errors import InputError
from submeter.model import Component, Method, Phase
from submeter.reports.capacity import from_ledger, percentile
from submeter.reports.capacity_text import as_html, as_table, fields, schema
from submeter.reports.moments import zone
from submeter.reports.question import Question

BEGIN_S = 1_774_738_800  # 28 March 2026, 23:00 UTC
METERED_US = 8_000_000  # of each 10 s: the ledger of these tests has a gap of 2 s in each
BERLIN = zone("Europe/Berlin")
WORK = ("train.py", Phase.TRAINING, Component.DYNAMIC, Method.EXCLUSIVE)
HELD = ("<b>", Phase.INFERENCE, Component.CONTEXT, Method.EQUAL)
IDLE = ("", Phase.IDLE, Component.IDLE, Method.IDLE)


@pytest.fixture
def state(ledger: Callable[..., Path]) -> Path:
    """Ten minutes of 400 W of work, ten of 100 W of a holder, ten of 50 W of nobody."""
    posted = {}
    for at in range(180):
        who, watts = ((WORK, 400), (HELD, 100), (IDLE, 50))[at // 60]
        posted[BEGIN_S + 10 * (at + 1)] = [(*who, watts * METERED_US)]
    return ledger(posted)


def test_free_power_and_when(state: Path) -> None:
    found = from_ledger(state, Question(zone=BERLIN), BEGIN_S + 1_800, 500_000)
    assert (found.slot_s, len(found.draws), found.unknown_slots) == (10, 180, 0)
    assert [found.draw_mw(share) for share in (0, 33, 50, 95, 100)] == [
        *(50_000, 50_000, 100_000),
        *(400_000, 400_000),
    ]
    assert found.free_mw(95) == 100_000
    assert found.free_mw(50) == 400_000
    assert [each.hour for each in found.hours()] == [0]
    assert found.unused_uj == 600 * (100 + 400 + 450) * 1_000_000
    assert found.idle_uj + found.held_uj + found.work_uj == found.total_uj
    assert [(each.workload, each.energy_uj) for each in found.stranded] == [("<b>", 48_000_000_000)]


@pytest.mark.parametrize("budget_mw", [500_000, None])
def test_the_json_follows_its_schema(state: Path, budget_mw: int | None) -> None:
    found = from_ledger(state, Question(zone=BERLIN), BEGIN_S + 1_800, budget_mw)
    said = json.loads(json.dumps(fields(found)))
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(said, schema())
    for broken in ({**said, "more": 1}, {**said, "total_joules": 5}, {**said, "by_hour": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema())


def test_without_a_budget_nothing_is_free(state: Path) -> None:
    found = from_ledger(state, Question(), BEGIN_S + 1_800, None)
    assert found.free_mw(95) is None
    assert found.unused_uj is None
    assert any("No budget" in each for each in found.notices)
    assert b"free" in as_table(found)
    assert fields(found)["free_watts"]["p95"] is None


def test_a_budget_below_every_draw_is_doubted(state: Path) -> None:
    found = from_ledger(state, Question(), BEGIN_S + 1_800, 49_000)
    assert any("below the lowest draw" in each for each in found.notices)
    assert found.free_mw(100) == -351_000
    assert found.unused_uj == 0


def test_time_that_was_not_metered_is_no_draw_of_zero(ledger: Callable[..., Path]) -> None:
    use = (*WORK, 400 * METERED_US)
    state = ledger({BEGIN_S + 10 * at: [use] for at in (*range(1, 13), *range(31, 37))})
    found = from_ledger(state, Question(), BEGIN_S + 360, 500_000)
    assert found.draw_mw(0) == 400_000
    assert found.unknown_slots == 18


@given(st.lists(st.integers(0, 10**6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_what_it_says(values: list[int], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


def test_the_command_and_the_page(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    command = ["report", "--state-dir", str(state), "--capacity", "--output", str(file)]
    assert main([*command, "--set", "node.power_budget_watts=500"]) == 0
    assert json.loads(file.read_text())["free_watts"]["p95"] == 100.0
    assert main([*command, "--by", "user"]) == 2
    page = as_html(from_ledger(state, Question(), BEGIN_S + 1_800, 500_000)).decode()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.replace("<body>", "")


def test_a_ledger_without_anything_is_an_error(ledger: Callable[..., Path]) -> None:
    state = ledger({100: [(*WORK, 1)]})
    with pytest.raises(InputError, match="nothing was ever metered"):
        from_ledger(state, Question(), 200, None)
