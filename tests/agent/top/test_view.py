"""What the terminal view says, without a terminal."""

import json
from decimal import Decimal
from typing import Any

import pytest

from submeter.testing.snapshots import empty, node
from submeter.text import ranges
from submeter.top import view
from submeter.web import figures
from submeter.web.api import snapshot_json


@pytest.fixture
def snapshot() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(snapshot_json(node()))
    return content


def test_the_workloads_are_the_whole_counter(snapshot: dict[str, Any]) -> None:
    found = view.workloads(snapshot)
    assert sum(each.joules for each in found) == sum(
        Decimal(gpu["joules"]) for gpu in snapshot["gpus"]
    )
    names = {(each.name, each.phase) for each in found}
    assert ("(idle)", "idle") in names  # nobody's is never hidden
    assert ("(agent down)", "unattributed") in names


@pytest.mark.parametrize(
    ("sort", "first"),
    [("watts", "llama-finetune"), ("joules", "llama-finetune"), ("phase", "(idle)")],
)
def test_order(snapshot: dict[str, Any], sort: str, first: str) -> None:
    assert view.arranged(view.workloads(snapshot), sort, "")[0].name == first


def test_filter_looks_at_labels_and_phase(snapshot: dict[str, Any]) -> None:
    for text, name in (("ALICE", "llama-finetune"), ("infer", "vllm"), ("4711", "vllm")):
        assert [each.name for each in view.arranged(view.workloads(snapshot), "watts", text)] == [
            name
        ]


def test_details_have_the_evidence(snapshot: dict[str, Any]) -> None:
    (trainer,) = view.arranged(view.workloads(snapshot), "watts", "alice")
    said = "\n".join(view.details(trainer))
    assert "argv names torchrun; writes checkpoints" in said
    assert "97 % sure (recognised)" in said


def test_details_have_what_it_did_and_what_one_of_it_took(snapshot: dict[str, Any]) -> None:
    (server,) = view.arranged(view.workloads(snapshot), "watts", "4711")
    (line,) = [line for line in view.details(server) if line.startswith("did ")]
    tokens = float(server.joules) / 2_431_010
    assert f"2,431,010 tokens generated at {figures.per_unit(tokens)} each" in line
    assert line.endswith("; for 15 s nobody counted")
    del snapshot["work"]  # an older agent's
    (server,) = view.arranged(view.workloads(snapshot), "watts", "4711")
    assert not [line for line in view.details(server) if line.startswith("did ")]


def test_lines_are_as_wide_as_the_terminal_at_most(snapshot: dict[str, Any]) -> None:
    past = {gpu["uuid"]: [float(at) for at in range(90)] for gpu in snapshot["gpus"]}
    for width in (80, 200):
        lines = list(view.gpu_lines(snapshot, past, width))
        assert len(lines) == 3
        assert all(len(line) <= width for line in lines)


def test_a_gpu_that_is_down_shows_no_power() -> None:
    snapshot = json.loads(snapshot_json(node(second_gpu_up=False)))
    line = list(view.gpu_lines(snapshot, {}, 80))[2]
    assert "not readable: gpu_is_lost" in line
    assert "not every GPU says" in view.headline(snapshot, "12:00", "watts", paused=False)


def test_what_is_simulated_or_blind_is_said() -> None:
    assert list(view.warnings(json.loads(snapshot_json(node(notice="SIMULATED"))))) == ["SIMULATED"]
    assert "submeter doctor" in "".join(view.warnings(json.loads(snapshot_json(empty()))))


def test_what_the_power_is_used_for_is_all_of_it(snapshot: dict[str, Any]) -> None:
    shares = view.phase_shares(snapshot)
    assert shares == [
        ("training", "437 W 64 %"),
        ("inference", "175 W 26 %"),
        ("idle", "72 W 10 %"),
    ]


def test_energies_are_all_in_one_unit_and_evidence_is_told_once(snapshot: dict[str, Any]) -> None:
    shown = view.arranged(view.workloads(snapshot), "watts", "")
    rows = view.rows(shown, Decimal(0))
    assert {row[3].split()[-1] for row in rows} == {"kWh"}
    small = [each for each in shown if each.joules < 10]
    assert view.rows(small, Decimal(20_000_000))[0][3] == "< 0.001 kWh"
    trainer = shown[0]
    trainer.processes.append({**trainer.processes[0], "gpu": 1})
    assert view.rows(shown, Decimal(0))[0][-1] == "argv names torchrun; writes checkpoints"
    said = "\n".join(view.details(trainer))
    assert "pid 4242 on GPU 0-1: 874.5 W, 60.0 GiB" in said


def test_throttling_is_told_however_narrow(snapshot: dict[str, Any]) -> None:
    assert "throttled 12 s" in "\n".join(view.gpu_lines(snapshot, {}, 99))
    wide = list(view.gpu_lines(snapshot, {}, 100))
    assert "throttled" in wide[0]
    assert " 12 s " in wide[1]


def test_sparkline() -> None:
    assert view.sparkline([0, 350, 700], 5, 700.0) == "  ▁▅█"
    assert view.sparkline([1, 1, 1], 2, None) == "██"
    assert view.sparkline([], 3, None) == "   "


def test_ranges() -> None:
    assert ranges([5, 0, 1, 2]) == "0-2,5"
    assert ranges([0, 2, 3]) == "0,2-3"
    assert ranges([]) == ""


def test_shares_add_up_and_say_how_sure() -> None:
    past = {
        "since_s": 0,
        "until_s": 3600,
        "series": [
            {"phase": "inference", "joules": "1800"},
            {"phase": "training", "joules": "5400"},
        ],
        "joules_by_method": {"exclusive": "7200", "equal": "0"},
    }
    said = "\n".join(view.share_lines(past))
    assert "2.000 Wh" in said
    assert "25.0 %" in said
    assert "100.0 % exclusive; the sensor itself: about ±5 %" in said
    assert list(view.share_lines({"error": "no\x1bledger"})) == ["No history: no\ufffdledger"]
