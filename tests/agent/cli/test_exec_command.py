"""`submeter exec`: the command as if it ran alone, and a figure or an honest "not known"."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from submeter.cli.exec import _summary
from submeter.runtime.execution import Outcome

EXEC = [sys.executable, "-m", "submeter", "exec"]


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SUBMETER_SOCKET": "", **options.pop("env", {})}
    return subprocess.run(
        [*EXEC, *arguments],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["/nonexistent/x"], 127),
        (["/etc/passwd"], 126),
        ([], 2),
    ],
)
def test_exit_codes(command: list[str], code: int) -> None:
    done = _run("--", *command)
    assert done.returncode == code
    assert done.stderr.startswith("submeter: ")


def test_the_commands_own_options_and_streams_are_its_own() -> None:
    done = _run("--", "sh", "-c", 'cat; echo "$@" >&2', "sh", "--json", "-x", "--", input="in")
    assert done.stdout == "in"
    assert done.stderr.splitlines()[0] == "--json -x --"


def test_labels_are_in_the_commands_environment() -> None:
    labels = ["--phase", "training", "--workload", "nightly"]
    done = _run(*labels, "--", "sh", "-c", "echo $SUBMETER_PHASE $SUBMETER_WORKLOAD")
    assert done.stdout == "training nightly\n"
    assert _run("--phase", "idle", "--", "true").returncode == 2
    assert _run("--workload", "a\nb", "--", "true").returncode == 2


def test_not_known_is_null_and_never_zero(tmp_path: Path) -> None:
    out = tmp_path / "used.json"
    done = _run("--json", str(out), "--", "true", env={"LD_LIBRARY_PATH": ""})
    fields = json.loads(out.read_text())
    assert fields["exit_code"] == 0
    if fields["source"] == "":
        assert fields["joules"] is None
        assert fields["carbon_g"] is None
        assert "no GPU could be measured" in done.stderr


def test_the_summary_says_it_all_in_a_few_lines() -> None:
    outcome = Outcome(
        exit_code=0,
        seconds=12.3,
        joules=1_842.6,
        source="agent",
        number={"GPU-a": 0, "GPU-b": 1},
        per_gpu={"GPU-a": 920.0, "GPU-b": 922.6},
        peak_w={"GPU-a": 201.0, "GPU-b": 201.4},
        peak_sum_w=402.4,
        booked_joules=1_700.0,
    )
    assert _summary(outcome, 0.243, 475.0, "nightly") == [
        "1,842.6 J (0.5118 Wh) in 12.30 s, mean 149.8 W, peak 402.4 W",
        "  GPU 0  920.0 J  mean 74.8 W  peak 201.0 W  GPU-a",
        "  GPU 1  922.6 J  mean 75.0 W  peak 201.4 W  GPU-b",
        "  1,700.0 J of it booked to nightly, by the agent",
        "  0.243 gCO2e at 475 g/kWh (the world's mean; yours with --carbon)",
        "  whole GPUs, by the agent's counters, whoever else was on them; sensor about ±5 %",
    ]


def test_where_the_figures_can_not_be_written_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    done = _run("--json", str(tmp_path / "no" / "x.json"), "--", "touch", str(mark))
    assert done.returncode == 2
    assert "--json" in done.stderr
    assert not mark.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_command(number: signal.Signals, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import signal, sys, pathlib, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    environ = {**os.environ, "SUBMETER_SOCKET": ""}
    process = subprocess.Popen(
        [*EXEC, "--", sys.executable, "-c", code],
        env=environ,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(timeout=30) == 42
    finally:
        process.kill()
        process.wait()
