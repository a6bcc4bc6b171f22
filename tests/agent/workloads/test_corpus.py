"""Recognition against labelled command lines of real projects, where they are at hand."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from submeter.model import ProcessFacts, ProcessKey, Verdict
from submeter.workloads import recognise

CORPUS = Path(__file__).parents[4] / "shared/corpus/dev.jsonl"
KEY = ProcessKey("boot", 1, 1)


class Case(NamedTuple):
    name: str
    label: str
    verdict: Verdict


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    if not CORPUS.exists():
        pytest.skip("the corpus of command lines isn't there: ../shared/corpus/dev.jsonl")
    return [_case(json.loads(line)) for line in CORPUS.read_text("utf-8").splitlines()]


def test_macro_f1(cases: list[Case]) -> None:
    labels = {case.label for case in cases}
    macro = sum(_f1(cases, label) for label in labels) / len(labels)
    assert macro >= 0.95, [case for case in cases if case.verdict.phase != case.label]


def test_who_is_sure_is_right(cases: list[Case]) -> None:
    wrong = [case for case in cases if case.verdict.phase != case.label]
    assert [case for case in wrong if case.verdict.confidence >= 0.95] == []


def test_confidence_is_no_more_than_what_is_right(cases: list[Case]) -> None:
    right = sum(case.verdict.phase == case.label for case in cases)
    claimed = sum(case.verdict.confidence for case in cases)
    assert claimed <= right


def _case(line: dict[str, Any]) -> Case:
    facts = ProcessFacts(
        KEY,
        argv=tuple(line["argv"]),
        title=line["title"],
        environ=line["env"],
        cgroup=line.get("cgroup") or "",
        listen_ports=tuple(line["listen"]),
    )
    return Case(line["id"], line["label"], recognise(facts))


def _f1(cases: list[Case], label: str) -> float:
    counts = Counter((case.label == label, case.verdict.phase == label) for case in cases)
    right = counts[True, True]
    return 2 * right / (2 * right + counts[True, False] + counts[False, True]) if right else 0.0
