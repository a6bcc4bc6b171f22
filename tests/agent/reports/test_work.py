"""Joules per token, request and step, from a ledger: of what was told, and of nothing else."""

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from submeter.model import Component, Method, Owner, Phase
from submeter.reports import disclosure, disclosure_page, presentations, schemas
from submeter.reports.ledger import from_ledger
from submeter.reports.question import KEYS, Question
from submeter.reports.work import Done
from submeter.web.figures import per_unit

WORK, HELD, IDLE = Component.DYNAMIC, Component.CONTEXT, Component.IDLE
DOWN = Owner(Phase.UNATTRIBUTED, "(agent down)")
CHAT = Owner(Phase.INFERENCE, "chat", "ann")
TRAIN = Owner(Phase.TRAINING, "train.py", "ann")
DAY_S = 1_774_742_400  # 2026-03-29, a midnight
NOW_S = DAY_S + 86_400


@pytest.fixture
def told(ledger: Callable[..., Path]) -> Path:
    """A server that tells, a trainer that tells, one that doesn't, and a time without agent."""
    return ledger(
        {
            DAY_S - 3_590: [
                ("chat", Phase.INFERENCE, WORK, Method.WEIGHTED, 30_000_000),
                ("chat", Phase.INFERENCE, HELD, Method.EQUAL, 6_000_000),
                ("silent.py", Phase.INFERENCE, WORK, Method.WEIGHTED, 70_000_000),
            ],
            DAY_S + 10: [
                ("chat", Phase.INFERENCE, IDLE, Method.EQUAL, 4_000_000),
                ("train.py", Phase.TRAINING, WORK, Method.EXCLUSIVE, 500_000_000),
                ("(agent down)", Phase.UNATTRIBUTED, WORK, Method.UNATTRIBUTED, 9_000_000),
            ],
        },
        work=[
            (DAY_S - 3_590, CHAT, {"generation_tokens": 12, "requests": 1}),
            (DAY_S + 10, CHAT, {"generation_tokens": 8, "uncounted_ns": 5_000_000_000}),
            (DAY_S + 10, TRAIN, {"tokens": 1_000_000, "steps": 2}),
            (DAY_S + 10, DOWN, {"generation_tokens": 3}),
        ],
    )


def test_a_disclosure_has_it(told: Path) -> None:
    report = from_ledger(told, Question(disclosure.BY), NOW_S)
    said = json.loads(disclosure.as_json(report))
    jsonschema.validate(said, disclosure.schema())
    found = {(each["workload"], each["unit"]): each for each in said["work"]}
    chat = found["chat", "generation_tokens"]
    assert (chat["amount"], chat["joules"], chat["joules_per_unit"]) == (20, "40", 2.0)
    assert chat["uncounted_seconds"] == 5.0
    nobodys = found["(agent down)", "generation_tokens"]
    assert nobodys["joules"] is nobodys["joules_per_unit"] is None
    page = disclosure_page.as_html(report).decode()
    assert "tokens generated" in page
    assert "5 s of this time nobody counted" in page


def test_a_disclosure_where_nobody_tells_is_the_version_before(small: Path) -> None:
    silent = json.loads(
        disclosure.as_json(from_ledger(small, Question(disclosure.BY), 1_774_747_815))
    )
    assert "work" not in silent
    jsonschema.validate({**silent, "schema": 1}, schemas.load("disclosure-1"))


def test_all_that_a_workload_used_is_divided_by_what_it_did(told: Path) -> None:
    report = from_ledger(told, Question(), NOW_S)
    found = {(one.workload, one.done.unit): one.done for one in report.work}
    assert found == {
        ("chat", "generation_tokens"): Done("generation_tokens", 20, 40_000_000),
        ("chat", "requests"): Done("requests", 1, 40_000_000),
        ("train.py", "tokens"): Done("tokens", 1_000_000, 500_000_000),
        ("train.py", "steps"): Done("steps", 2, 500_000_000),
        ("(agent down)", "generation_tokens"): Done("generation_tokens", 3, None),
    }
    assert found["chat", "generation_tokens"].joules_per_unit == 2
    assert found["(agent down)", "generation_tokens"].joules_per_unit is None
    assert {one.workload: one.uncounted_ns for one in report.work}["chat"] == 5_000_000_000


def test_rows_have_it_of_their_own_time(told: Path) -> None:
    report = from_ledger(told, Question(("day", "workload")), NOW_S)
    work = {row.values: row.work for row in report.rows}
    assert work["2026-03-28", "chat"] == (
        Done("generation_tokens", 12, 36_000_000),
        Done("requests", 1, 36_000_000),
    )
    assert work["2026-03-29", "chat"][0] == Done("generation_tokens", 8, 4_000_000)
    assert work["2026-03-28", "silent.py"] == ()


def test_who_tells_nothing_is_not_divided_by_what_others_did(told: Path) -> None:
    report = from_ledger(told, Question(("phase",)), NOW_S)
    inference = next(row for row in report.rows if row.values == ("inference",))
    assert inference.energy_uj == 110_000_000
    assert inference.work[0] == Done("generation_tokens", 20, 40_000_000)


@pytest.mark.parametrize(
    "keys", [each for many in (0, 1, 2) for each in itertools.combinations(KEYS, many)]
)
def test_rows_of_any_keys_sum_to_what_was_done(told: Path, keys: tuple[str, ...]) -> None:
    report = from_ledger(told, Question(keys), NOW_S)
    expected = {one.done.unit: 0 for one in report.work}
    for one in report.work:
        expected[one.done.unit] += one.done.amount
    sums: dict[str, int] = {}
    for row in report.rows:
        for done in row.work:
            sums[done.unit] = sums.get(done.unit, 0) + done.amount
    below_owners = set(keys) & {"gpu", "method", "component"}
    assert sums == ({} if below_owners else expected)


def test_json_has_it(told: Path) -> None:
    said = json.loads(presentations.load("json").render(from_ledger(told, Question(), NOW_S)))
    assert said["work"][0] == {
        "phase": "training",
        "workload": "train.py",
        "unit": "tokens",
        "amount": 1_000_000,
        "joules": "500",
        "joules_per_unit": 0.0005,
        "uncounted_seconds": 0.0,
    }
    chat = next(row for row in said["rows"] if row["workload"] == "chat")
    assert chat["work"]["generation_tokens"] == {
        "amount": 20,
        "joules": "40",
        "joules_per_unit": 2.0,
    }


def test_csv_has_columns_of_what_was_told(told: Path) -> None:
    content = presentations.load("csv").render(from_ledger(told, Question(), NOW_S)).decode()
    rows = {row["workload"]: row for row in csv.DictReader(io.StringIO(content))}
    assert rows["chat"]["generation_tokens"] == "20"
    assert rows["chat"]["joules_for_generation_tokens"] == "40"
    assert rows["train.py"]["steps"] == "2"
    assert rows["silent.py"]["generation_tokens"] == rows["chat"]["steps"] == ""
    assert rows["(agent down)"]["joules_for_generation_tokens"] == ""


@pytest.mark.parametrize("name", ["table", "html"])
def test_people_see_it_and_its_limits(told: Path, name: str) -> None:
    text = presentations.load(name).render(from_ledger(told, Question(), NOW_S)).decode()
    assert "tokens generated" in text
    assert "2.00 J" in text
    assert "500 µJ" in text
    assert "chat: what it did in 5 s of this time nobody counted" in text


def test_nothing_is_said_where_nothing_was_told(small: Path) -> None:
    report = from_ledger(small, Question(), NOW_S)
    assert report.work == ()
    assert "What it did" not in presentations.load("html").render(report).decode()
    assert json.loads(presentations.load("json").render(report))["work"] == []


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (None, "–"),
        (0.0, "0.00 µJ"),
        (0.000_000_4, "0.40 µJ"),
        (0.0123, "12.3 mJ"),
        (1.5, "1.50 J"),
        (999.6, "1,000 J"),
        (12_345.0, "12.3 kJ"),
        (7e9, "7,000 MJ"),
    ],
)
def test_figures_of_one(joules: float | None, text: str) -> None:
    assert per_unit(joules) == text
