"""Faults of the driver's library in a whole life of the agent: a share of all cases in each run,
all of them in `make reliability` (ARGS=nvml_faults)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.backends.nvml.calls import ALLOWED_CALLS
from submeter.backends.nvml.codes import CODES
from submeter_reliability.nvml_faults import (
    WHEN,
    Bench,
    Case,
    cases,
    environment,
    garbage_cases,
    script,
)

SHARE = 1 if os.environ.get("SUBMETER_TEST_ALL") else 8
SOME = cases()[::SHARE]


@pytest.fixture
def bench(standin_library: Path, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(standin_library, tmp_path)
    with environment(made.environment):
        yield made


@pytest.mark.fault("F4", "F6", "F22", "F30")
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", sorted(ALLOWED_CALLS))
def test_no_code_of_any_call_costs_a_joule_or_another_gpu_s(bench: Bench, call: str) -> None:
    wrong = [
        (each.code, each.when, outcome.wrong)
        for each in SOME
        if each.call == call and (outcome := bench.run(each)).wrong
    ]
    assert wrong == []


@pytest.mark.fault("F9", "F10")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nonsense_costs_no_joule_either(bench: Bench) -> None:
    some = garbage_cases()[:: 2 * SHARE + 1]
    assert [outcome for each in some if (outcome := bench.run(each)).wrong] == []


def test_all_codes_are_tried_on_all_calls_at_all_times() -> None:
    assert len(CODES) == 31
    assert len(set(cases())) == len(ALLOWED_CALLS) * 31 * 3 > 2_325
    assert {each.when for each in SOME} == set(WHEN)
    assert {each.code for each in SOME} == set(CODES)


def test_a_joule_that_is_lost_would_be_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("nvmlDeviceGetName", 999, "first")
    assert bench.run(case).wrong == ()
    worse = [line + (" gain_ppm=1" if "GPU-1" in line else "") for line in script(case)]
    monkeypatch.setattr("submeter_reliability.nvml_faults.script", lambda _case, effect="": worse)
    (wrong,) = bench.run(case).wrong
    assert wrong == "GPU 1: 3000002000 µJ, not 3000000000"
