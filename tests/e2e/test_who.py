"""Real processes on the stand-in library's GPU, the installed agent: who, what for, no secrets."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = pytest.mark.slow

CANARY = "CANARY9f3b7c"


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python script, as a job that holds a GPU would run."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, code: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        script = tmp_path / name
        script.write_text(code)
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


SLEEPS = "import sys; sys.stdin.read()"
LABELS = """
import sys, submeter
submeter.workload("nightly"); submeter.phase("inference")
print("said", flush=True)
for line in sys.stdin:
    with submeter.measure() as m:
        sys.stdin.readline()
    print(m.source, m.joules, m.seconds, flush=True)
"""


def _series(text: str) -> list[dict[str, str]]:
    found = []
    for line in text.splitlines():
        if line.startswith("submeter_energy_joules_total{"):
            labels = line.partition("{")[2].rpartition("}")[0]
            found.append(dict(one.split("=", 1) for one in labels.split(",") if "=" in one))
    return found


@pytest.mark.threat("T1")
def test_who_uses_it_and_for_what_and_no_secret(
    agent: Callable[..., Any],
    standin: "Standin",
    job: Callable[..., subprocess.Popen[str]],
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    standin.write(["gpu 0 arch=hopper", "load 0 constant mw=200000"])
    process = agent(env=standin.env)
    secrets = [f"--password={CANARY}", "--token", CANARY, CANARY, f"s3://{CANARY}"]
    trainer = job("train.py", SLEEPS, "--lr", "0.1", *secrets, HF_TOKEN=CANARY, RANK=CANARY)
    labelled = job(
        "main.py", LABELS, *secrets, SUBMETER_SOCKET=str(tmp_path / "state/submeter.sock")
    )
    unclear = job(f"{CANARY}=.py", SLEEPS, WANDB_PROJECT=CANARY, SLURM_JOB_NAME=CANARY)
    standin.write(
        [
            "gpu 0 arch=hopper",
            "load 0 constant mw=200000",
            f"process 0 pid={trainer.pid} sm=40",
            f"process 0 pid={labelled.pid} sm=40",
            f"process 0 pid={unclear.pid} sm=20",
        ]
    )
    pages: list[str] = []

    def series() -> list[dict[str, str]]:
        pages.append(process.get("/metrics"))
        return _series(pages[-1])

    def trains() -> bool:
        return ('"training"', '"train.py"') in {(one["phase"], one["workload"]) for one in series()}

    wait_for(lambda: len(series()) > 2 and trains(), "three processes")

    def declared() -> bool:
        return any(
            one["phase"] == '"inference"' and one["workload"] == '"nightly"' for one in series()
        )

    wait_for(declared, "the job's own label")

    pages += [process.get(path) for path in ("/", "/api/v1/snapshot", "/-/ready")]
    process.stop()
    pages.append(process.log.read_text())
    leaks = [page[:200] for page in pages if CANARY in page]
    assert leaks == []
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file


def test_measure_asks_the_agent(
    agent: Callable[..., Any], standin: "Standin", job: Callable[..., subprocess.Popen[str]]
) -> None:
    standin.write(["gpu 0 arch=hopper", "load 0 constant mw=200000"])
    process = agent(env=standin.env)
    socket = process.log.parent / "state/submeter.sock"
    script = job("steps.py", LABELS, SUBMETER_SOCKET=str(socket))
    assert script.stdin is not None
    assert script.stdout is not None
    assert script.stdout.readline() == "said\n"
    script.stdin.write("begin\n")
    script.stdin.flush()
    time.sleep(2)
    script.stdin.write("end\n")
    script.stdin.flush()
    source, joules, seconds = script.stdout.readline().split()
    assert source == "agent"
    watts = 0.270  # kW: the load and the board's own idle draw
    assert float(joules) == pytest.approx(1000 * watts * float(seconds), rel=0.1)


def test_exec_with_and_without_an_agent(
    agent: Callable[..., Any], standin: "Standin", tmp_path: Path
) -> None:
    standin.write(["gpu 0 arch=hopper", "load 0 constant mw=200000"])
    alone = _exec(tmp_path, {**standin.env, "SUBMETER_SOCKET": ""})
    assert alone["source"] == "nvml"
    assert alone["joules"] == pytest.approx(270 * alone["seconds"], rel=0.15)
    assert alone["peak_w"] == pytest.approx(270, rel=0.05)
    process = agent(env=standin.env)
    socket = process.log.parent / "state/submeter.sock"
    together = _exec(tmp_path, {**standin.env, "SUBMETER_SOCKET": str(socket)})
    assert together["source"] == "agent"
    assert together["joules"] == pytest.approx(270 * together["seconds"], rel=0.15)


def _exec(folder: Path, environ: dict[str, str]) -> dict[str, Any]:
    out = folder / "used.json"
    command = [sys.executable, "-m", "submeter", "exec", "--workload", "w", "--json", str(out)]
    subprocess.run(
        [*command, "--", "sleep", "2"], check=True, env={**os.environ, **environ}, timeout=60
    )
    fields: dict[str, Any] = json.loads(out.read_text())
    return fields
