"""A real ledger asked: times, sums, quality, and what it doesn't know."""

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from submeter.errors import InputError, StateUnusable
from submeter.ledger.opening import open_store
from submeter.ledger.schema import FILE_NAME
from submeter.model import Component, Method, Phase
from submeter.reports.ledger import from_ledger
from submeter.reports.moments import zone
from submeter.reports.question import KEYS, Question, parse_by
from submeter.units import NS_PER_S

TOTAL_UJ = 5_750_000
NOW_S = 1_774_747_815
BERLIN = zone("Europe/Berlin")


def test_days_are_those_of_the_zone(small: Path) -> None:
    found = from_ledger(small, Question(("day",), zone=BERLIN), NOW_S)
    assert [(row.values[0], row.energy_uj) for row in found.rows] == [
        ("2026-03-28", 3_000_001),
        ("2026-03-29", 2_749_999),
    ]
    found = from_ledger(small, Question(("day",)), NOW_S)
    assert [row.energy_uj for row in found.rows] == [4_750_001, 999_999]


@pytest.mark.parametrize("keys", list(itertools.combinations(KEYS, 2)))
def test_rows_of_any_two_keys_sum_to_the_total(small: Path, keys: tuple[str, ...]) -> None:
    found = from_ledger(small, Question(keys, zone=BERLIN), NOW_S)
    assert found.total_uj == sum(row.energy_uj for row in found.rows) == TOTAL_UJ


def test_a_stretch_is_closed_at_its_beginning_and_open_at_its_end(small: Path) -> None:
    middle_s = 1_774_740_600
    before = from_ledger(small, Question((), until_s=middle_s), NOW_S)
    after = from_ledger(small, Question((), since_s=middle_s), NOW_S)
    assert (before.total_uj, after.total_uj) == (3_000_001, 2_749_999)
    assert before.total_uj + after.total_uj == TOTAL_UJ


def test_what_it_says_of_its_quality(small: Path) -> None:
    quality = from_ledger(small, Question(), NOW_S).quality
    assert quality.exact
    assert quality.suspect_uj == {"jump": 21_000_000}
    assert quality.unmetered_ns == {"gap": 6_000_000_000}
    assert quality.metered_ns == 24_000_000_000
    assert quality.coverage is not None
    assert 0.002 < quality.coverage < 0.003  # 24 s of three hours
    assert quality.method_uj == {
        Method.EXCLUSIVE: 3_000_001,
        Method.WEIGHTED: 1_000_000,
        Method.EQUAL: 750_000,
        Method.IDLE: 999_999,
    }


def test_what_was_before_the_first_agent_is_no_gap(ledger: Callable[..., Path]) -> None:
    """Rows have a grid of their own, which an agent that is started doesn't wait for."""
    use = ("a", Phase.OTHER, Component.DYNAMIC, Method.EXCLUSIVE, 5)
    began_s = NOW_S // 10 * 10 - 33
    found = from_ledger(ledger({began_s: [use], began_s + 30: [use]}), Question(), NOW_S)
    assert found.since_s == began_s - 7
    assert found.quality.period_ns == 30 * NS_PER_S


def test_a_question_from_before_the_ledger_is_answered_and_said(small: Path) -> None:
    found = from_ledger(small, Question(("month",), since_s=0, zone=BERLIN), NOW_S)
    assert found.total_uj == TOTAL_UJ
    assert "begins at 2026-03-28 23:30" in found.origin.notices[0]


@pytest.mark.fault("F55")
def test_time_before_the_clock_was_set_is_in_no_day(ledger: Callable[..., Path]) -> None:
    use = ("a", Phase.OTHER, Component.DYNAMIC, Method.EXCLUSIVE, 5)
    found = from_ledger(ledger({1_000: [use]}), Question(("day",), timeline=True), NOW_S)
    assert [(row.values, row.energy_uj) for row in found.rows] == [(("(time not known)",), 5)]
    assert found.quality.coverage is None
    assert found.quality.clock_unsynced == 1


def test_simulated_boards_are_never_taken_for_real_ones(ledger: Callable[..., Path]) -> None:
    use = ("a", Phase.OTHER, Component.DYNAMIC, Method.EXCLUSIVE, 5)
    found = from_ledger(ledger({NOW_S - 60: [use]}, backend="mock"), Question(), NOW_S)
    assert found.origin.backend == "mock"
    assert "Simulated" in found.origin.notices[0]


def test_a_newer_ledger_is_read_as_far_as_it_is_known(small: Path) -> None:
    open_store(small, "nvml", NOW_S * 1_000_000_000)[0].finish()
    connection = sqlite3.connect(small / FILE_NAME, isolation_level=None)
    connection.execute("CREATE TABLE of_the_future (x)")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    found = from_ledger(small, Question(), NOW_S)
    assert found.total_uj == TOTAL_UJ
    assert any("version 99" in notice for notice in found.origin.notices)
    connection = sqlite3.connect(small / FILE_NAME, isolation_level=None)
    connection.execute("DROP TABLE days")
    connection.close()
    with pytest.raises(StateUnusable, match="of version 99, this submeter reads"):
        from_ledger(small, Question(), NOW_S)


def test_progress_is_told_and_no_ledger_is_an_error(small: Path, tmp_path: Path) -> None:
    told: list[float] = []
    from_ledger(small, Question(), NOW_S, told.append)
    assert told
    assert all(0 <= share <= 1 for share in told)
    with pytest.raises(StateUnusable, match="no ledger"):
        from_ledger(tmp_path, Question(), NOW_S)


def test_keys_are_named_once_and_wrong_ones_are_explained() -> None:
    assert parse_by("gpu, phase,gpu,") == ("gpu", "phase")
    assert parse_by("") == ()
    with pytest.raises(InputError, match=r"did you mean workload\?"):
        parse_by("workloads")
