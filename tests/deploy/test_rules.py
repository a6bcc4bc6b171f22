"""Recording rules and alerts: promtool tests (one that fires, one that not) and runbook entries."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
TESTS = sorted((Path(__file__).parent / "rules").glob("*.test.yml"))
RUNBOOK = ROOT / "docs/runbook.md"
SEVERITIES = {"critical", "warning", "info"}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no `promtool` here; apt-get install prometheus")
    return found


def _rules(kind: str) -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [
        rule for file in files for group in file["groups"] for rule in group["rules"]
        if kind in rule
    ]  # fmt: skip


def _cases(key: str) -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in TESTS]
    return [case for file in files for test in file["tests"] for case in test.get(key, [])]


ALERTS = _rules("alert")


def test_promtool_takes_the_rules(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", *map(str, RULES)], check=True, capture_output=True)
    config = str(ROOT / "deploy/prometheus/prometheus.yml")
    subprocess.run([promtool, "check", "config", config], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(promtool: str, path: Path) -> None:
    run = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_fires_in_one_test_and_stays_quiet_in_another(alert: dict[str, Any]) -> None:
    cases = [case for case in _cases("alert_rule_test") if case["alertname"] == alert["alert"]]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("rule", _rules("record"), ids=lambda rule: rule["record"])
def test_recording_rule_has_a_test(rule: dict[str, Any]) -> None:
    assert rule["record"] in [case["expr"] for case in _cases("promql_expr_test")]
    assert re.fullmatch(r"[a-z_]+:submeter_[a-z_]+:[a-z0-9]+", rule["record"])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_says_what_an_operator_needs(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    anchor = alert["alert"].lower()
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{anchor}"


def test_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    entries = re.split(r"^## (?=Submeter)", text, flags=re.MULTILINE)[1:]
    names = [entry.split("\n", 1)[0].strip() for entry in entries]
    assert names == [alert["alert"] for alert in ALERTS]
    for name, entry in zip(names, entries, strict=True):
        for part in ("**Means**", "**Check**", "**Do**"):
            assert part in entry, f"{name} lacks {part}"
