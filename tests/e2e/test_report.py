"""A real Prometheus asked for what a ledger says exactly."""

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any


def report(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "submeter", "report", "--json", "--tz", "UTC", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_prometheus_and_the_ledger_tell_the_same(
    agent: Callable[..., Any],
    prometheus: Callable[[str], Any],
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    running = agent("--backend", "mock")
    scraping = prometheus(running.url.removeprefix("http://"))
    wait_for(
        lambda: scraping.query("min(count_over_time(submeter_gpu_energy_joules_total[1m])) > 8"),
        "nine scrapes",
    )
    fleet = report("--prometheus", scraping.process.url, "--since", "1h", "--by", "gpu,phase")
    exact = report("--state-dir", str(tmp_path / "state"), "--by", "gpu,phase")
    assert sum(Decimal(row["joules"]) for row in fleet["rows"]) == Decimal(fleet["total_joules"])
    assert sum(Decimal(row["joules"]) for row in exact["rows"]) == Decimal(exact["total_joules"])
    assert {gpu["uuid"] for gpu in fleet["gpus"]} == {gpu["uuid"] for gpu in exact["gpus"]}
    assert fleet["backend"] == exact["backend"] == "mock"
    assert "Simulated" in fleet["notices"][0]
    assert 0 < Decimal(fleet["total_joules"]) < 2 * Decimal(exact["total_joules"])
    assert fleet["quality"]["exact"] is False
    assert fleet["quality"]["method_joules"]
