"""Recognition against this project's own labelled command lines, in both parts."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from submeter.model import Verdict
from submeter.workloads import recognise
from submeter.workloads.described import described

CORPUS = Path(__file__).parents[2] / "corpora/commands.jsonl"
PHASES = ("training", "inference", "other")
SURE = 0.9


class Case(NamedTuple):
    name: str
    label: str
    verdict: Verdict

    @property
    def right(self) -> bool:
        return self.verdict.phase == self.label


@pytest.fixture(scope="module", params=["rules", "held-out", "found-1", "found-2", "found-3"])
def cases(request: pytest.FixtureRequest) -> list[Case]:
    found = []
    for line in CORPUS.read_bytes().splitlines():
        fields = json.loads(line)
        if fields["part"] == request.param:
            verdict = recognise(described(line).facts)
            found.append(Case(fields["id"], fields["label"], verdict))
    return found


def test_macro_f1(cases: list[Case]) -> None:
    macro = sum(_f1(cases, phase) for phase in PHASES) / len(PHASES)
    assert macro >= (0.95 if len(cases) > 100 else 0.9), [case for case in cases if not case.right]


def test_who_is_sure_is_right(cases: list[Case]) -> None:
    assert [case for case in cases if not case.right and case.verdict.confidence >= SURE] == []


def test_expected_calibration_error(cases: list[Case]) -> None:
    bins: dict[int, list[Case]] = {}
    for case in cases:
        bins.setdefault(min(9, int(case.verdict.confidence * 10)), []).append(case)
    error = sum(
        abs(sum(case.verdict.confidence - case.right for case in bin_)) for bin_ in bins.values()
    )
    assert error / len(cases) <= (0.05 if len(cases) > 50 else 0.08)


def test_parts_share_no_project() -> None:
    rows = [json.loads(line) for line in CORPUS.read_bytes().splitlines()]
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row["part"], set()).add(row["project"])
    assert not parts["rules"] & parts["held-out"]
    assert len({row["id"] for row in rows}) == len(rows)


def _f1(cases: list[Case], phase: str) -> float:
    said = [case for case in cases if case.verdict.phase == phase]
    meant = [case for case in cases if case.label == phase]
    right = sum(case.right for case in said)
    return 2 * right / (len(said) + len(meant))
