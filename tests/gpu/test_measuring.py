"""benchmarks/measure_gpu.py on the stand-in library: its figures are the script's, to the first
try on a real GPU."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

LOAD = "load 0 sine mean_mw=300000 amplitude_mw=200000 period_ms=3100"
FAKE_TORCH = """
import sys
print("ready" if "gemm" in sys.argv else "", flush=True)
sys.stdin.read() if "gemm" in sys.argv else sys.exit(69)
"""


def measure(standin: Any, tmp_path: Path, *arguments: str) -> tuple[dict[str, Any], str, str]:
    """The figures, the report, and what it said meanwhile."""
    out = tmp_path / "found.json"
    command = [
        *(sys.executable, str(ROOT / "benchmarks/measure_gpu.py"), "--seconds", "3"),
        *("--json", str(out), *arguments),
    ]
    done = subprocess.run(
        command, env=standin.env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout, done.stderr


def signals(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {signal["name"]: signal for signal in found["signals"]}


def test_a_hopper_board_as_it_is_found(standin: Any, tmp_path: Path) -> None:
    standin.write(
        [
            'gpu 0 uuid=GPU-0 name="H100" arch=hopper counter_refresh_ms=50 stamp=read',
            LOAD,
            "latency_us call=nvmlDeviceGetComputeRunningProcesses value=900",
        ]
    )
    whole, report, said = measure(standin, tmp_path, "--loads", "")
    (found,) = whole["found"]
    moving = signals(found)
    assert moving["counter"]["gap_ms"]["p50"] == pytest.approx(50, abs=5)
    assert moving["instant"]["gap_ms"]["p50"] == pytest.approx(100, abs=5)
    assert moving["average"]["gap_ms"]["p50"] == pytest.approx(100, abs=5)
    assert {each["stamp"] for each in moving.values()} == {"call"}
    energies = found["energies"]
    assert energies["counter_j"] > 300
    assert energies["instant_all_j"] / energies["counter_j"] == pytest.approx(1, abs=0.06)
    calls = {each["call"]: each for each in found["latencies"]}
    assert len(calls) == 10
    assert all(each["refused"] == 0 for each in calls.values())
    at_hand, in_two = calls["process list, buffer at hand"], calls["process list, two calls"]
    assert at_hand["paced_us"]["p50"] > 900
    assert in_two["paced_us"]["p50"] > 1800, "it is the driver that is called twice"
    assert calls["PowerUsage"]["paced_us"]["p50"] < 900
    assert found["samples"]["p50"] == pytest.approx(100, abs=1)
    assert "STAND-IN" in report
    assert "| as found | counter |" in report
    assert standin.offences() == {}
    assert "starting" not in said


def test_a_sensors_timestamp_is_told_from_a_calls(standin: Any, tmp_path: Path) -> None:
    standin.write(["gpu 0 uuid=GPU-0 arch=hopper stamp=refresh", LOAD])
    whole, _, _ = measure(standin, tmp_path, "--loads", "")
    moving = signals(whole["found"][0])
    assert {each["stamp"] for each in moving.values()} == {"sensor"}
    assert moving["instant"]["stamp_age_ms"]["p50"] == pytest.approx(50, abs=15)


def test_what_a_board_lacks_is_left_out(standin: Any, tmp_path: Path) -> None:
    standin.write(["gpu 0 uuid=GPU-0 arch=pascal energy=0 average=0 util=0 list=0", LOAD])
    whole, report, _ = measure(standin, tmp_path, "--loads", "")
    (found,) = whole["found"]
    assert found["energies"]["counter_j"] is None
    assert found["energies"]["instant_all_j"] > 300
    assert signals(found)["counter"]["gap_ms"] is None
    assert "| energy counter (call) | refused: NVML error 3 |" in report
    assert re.search(r"^\| as found \| [2-9]", report, re.MULTILINE)  # seconds, on a busy machine


def test_loads_run_one_after_the_other_until_one_can_not(standin: Any, tmp_path: Path) -> None:
    standin.write(["gpu 0 uuid=GPU-0 arch=hopper", LOAD])
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{FAKE_TORCH}")
    python.chmod(0o755)
    loads = ("--loads", "gemm,decode,training", "--torch-python", str(python))
    whole, report, said = measure(standin, tmp_path, *loads)
    assert [found["load"] for found in whole["found"]] == ["as found", "gemm"]
    assert [bool(found["latencies"]) for found in whole["found"]] == [True, True]
    assert "Latency of calls, µs (gemm)" in report
    assert "decode: starting" in said
    assert "loads do not run here (exit 69)" in said
    assert "training: starting" not in said


def test_without_a_driver_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/measure_gpu.py"), "--gpu", "99"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 69
    (line,) = done.stderr.splitlines()
    assert line.startswith("measure_gpu: no GPU 99 to measure: ")
