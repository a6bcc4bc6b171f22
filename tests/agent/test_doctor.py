"""What doctor finds: like GPUs together, an agent that runs or doesn't, one line at the end."""

import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest

from submeter.cli import main
from submeter.doctor import (
    Finding,
    Level,
    agent_findings,
    alike,
    driver_findings,
    gpu_findings,
    summary,
)
from submeter.errors import DriverUnavailable
from submeter.model import EnergySource
from submeter.testing.snapshots import empty, info, node
from submeter.web.api import snapshot_json

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:10046/"


def snapshot(**options: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(snapshot_json(node(**options)))
    return content


def test_gpus_of_which_the_same_can_be_said_are_told_together() -> None:
    gpus = [info(f"GPU-{at}", at) for at in range(8)]
    gpus[3] = replace(gpus[3], energy_source=EnergySource.AVERAGE)
    gpus[7] = replace(gpus[7], refresh_ns=101_000_000)
    groups = alike(gpus)
    assert [len(group) for group in groups] == [7, 1]
    findings = list(gpu_findings(groups[0]))
    assert {finding.subject for finding in findings} == {"GPUs 0-2,4-7"}
    assert findings[0].text == "7 × NVIDIA H100 80GB HBM3, driver 580.95.05"
    assert "every 100 to 101 ms (measured)" in findings[2].text
    (alone, *_) = gpu_findings(groups[1])
    assert (alone.subject, "GPU-3" in alone.text) == ("GPU 3", True)


def test_an_agent_that_is_well() -> None:
    (finding,) = agent_findings(URL, snapshot(), "")
    assert finding.level is Level.OK
    assert finding.text == (f"0.1.0 at {URL} since 1 h 2 min, backend mock: 2 of 2 GPUs readable")


def test_an_agent_with_troubles_is_looked_at() -> None:
    content = snapshot(second_gpu_up=False)
    content["components_up"]["ledger"] = False
    content["power_budget_doubt"] = "node.power_budget_watts is 5 W, but"
    found = list(agent_findings(URL, content, ""))
    assert [finding.text for finding in found[1:]] == [
        "GPU 1 can't be read: gpu_is_lost",
        "not working: ledger",
        "node.power_budget_watts is 5 W, but",
    ]
    assert all(finding.fix for finding in found[1:])
    runbook = ROOT.joinpath("docs/runbook.md").read_text()
    named = [fix for _, _, _, fix in map(astuple, found) if "runbook" in fix]
    assert len(named) == 2
    assert all(f"\n## {fix.rpartition(' ')[2]}\n" in runbook for fix in named)
    blind = json.loads(snapshot_json(empty()))
    assert next(agent_findings(URL, blind, "")).level is Level.WARN


def test_no_agent_is_a_note_and_how_to_start_one() -> None:
    (finding,) = agent_findings(URL, None, "Connection refused")
    assert finding.level is Level.NOTE
    assert "systemctl start submeter" in finding.fix
    (finding,) = agent_findings(URL, None, "Unauthorized")
    assert finding.fix == ""


def test_every_reason_has_a_fix() -> None:
    for reason in ("library_missing", "driver_not_loaded", "no_permission", "unheard of"):
        first, *_ = driver_findings(DriverUnavailable(reason, "no"))
        assert first.fix


def test_one_line_at_the_end() -> None:
    bad = Finding(Level.WARN, "state", "is full")
    assert summary([], 1) == "1 GPU can be metered; nothing to look at"
    assert summary([bad], 8) == "8 GPUs can be metered; 1 to look at"
    assert summary([bad], 0) == "nothing can be metered; 1 to look at"


@pytest.mark.slow
def test_the_simulated_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--backend", "mock"]) == 0
    text = capsys.readouterr().out
    assert "\nGPUs 0-6\n" in text
    assert text.endswith("8 GPUs can be metered; 1 to look at\n")
    assert "\x1b" not in text
    assert main(["doctor", "--backend", "mock", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert {f"GPU {at}" for at in range(8)} <= {each["subject"] for each in answer["findings"]}
