"""A real Prometheus scrapes the running agent: the parts add up there too."""

import shutil
import subprocess
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

PARTS = "sum by (gpu) (submeter_energy_joules_total)"
WHOLE = "sum by (gpu) (submeter_gpu_energy_joules_total)"


def _sums(text: str) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Per GPU: the sum of the parts and the total, exactly as printed."""
    parts: dict[str, Decimal] = {}
    totals: dict[str, Decimal] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        if name not in ("submeter_energy_joules_total", "submeter_gpu_energy_joules_total"):
            continue
        labels, _, value = rest.rpartition("} ")
        gpu = labels.split('gpu="', 1)[1].split('"', 1)[0]
        table = parts if name == "submeter_energy_joules_total" else totals
        table[gpu] = table.get(gpu, Decimal(0)) + Decimal(value)
    return parts, totals


def test_sums_hold_in_every_scrape_and_in_prometheus(
    agent: Callable[..., Any], prometheus: Callable[[str], Any], wait_for: Callable[..., Any]
) -> None:
    process = agent("--backend", "mock")
    server = prometheus(process.url.removeprefix("http://"))

    def eight_gpus() -> bool:
        return len(server.query(f"{WHOLE} > 100")) == 8

    wait_for(eight_gpus, "8 GPUs with energy in Prometheus")
    for _ in range(20):
        parts, totals = _sums(process.get("/metrics"))
        assert parts == totals
        assert len(totals) == 8
    assert server.query(f"abs({PARTS} - {WHOLE}) > 1e-6 * {WHOLE}") == []
    phases = {row["metric"]["phase"] for row in server.query("submeter_energy_joules_total")}
    assert {"training", "inference"} <= phases


def test_increase_is_right_across_a_restart_of_prometheus(
    agent: Callable[..., Any], prometheus: Callable[[str], Any], wait_for: Callable[..., Any]
) -> None:
    process = agent("--backend", "mock")
    server = prometheus(process.url.removeprefix("http://"))
    wait_for(lambda: server.query(f"{WHOLE} > 0"), "first scrape")
    server.restart()
    wait_for(lambda: server.query("resets(submeter_gpu_energy_joules_total[5m])"), "data back")
    wait_for(
        lambda: server.query("count_over_time(submeter_gpu_energy_joules_total[5m]) > 8"),
        "scrapes before and after",
    )
    for row in server.query("resets(submeter_gpu_energy_joules_total[5m])"):
        assert row["value"][1] == "0"
    # What the counter gained between the first and the last scrape is what every part gained.
    gained = {
        row["metric"]["gpu"]: float(row["value"][1])
        for row in server.query(
            "max_over_time(submeter_gpu_energy_joules_total[5m])"
            " - min_over_time(submeter_gpu_energy_joules_total[5m])"
        )
    }
    parts = {
        row["metric"]["gpu"]: float(row["value"][1])
        for row in server.query(
            "sum by (gpu) (max_over_time(submeter_energy_joules_total[5m]))"
            " - sum by (gpu) (min_over_time(submeter_gpu_energy_joules_total[5m]))"
        )
    }
    assert gained.keys() == parts.keys()
    for gpu, joules in gained.items():
        assert joules > 0
        assert parts[gpu] == pytest.approx(joules, rel=1e-9, abs=1e-3)


def test_promtool_finds_nothing_to_say(
    agent: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no `promtool` here; apt-get install prometheus")
    process = agent("--backend", "mock")
    wait_for(lambda: "submeter_energy_joules_total{" in process.get("/metrics"), "energy")
    text = process.get("/metrics")
    check = subprocess.run(
        [promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
    assert list(text_string_to_metric_families(text))
