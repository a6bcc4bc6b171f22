"""The agent on a real NVIDIA GPU: what no stand-in can promise.

Skipped where there is none. SUBMETER_GPU_TESTS=standin lets them run on a stand-in library that
the environment names: to see that the tests themselves work.
"""

import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pynvml
import pytest

from submeter.backends.nvml.calls import ALLOWED_CALLS

METERED_S = 20
CROSSCHECKED_S = 90  # the comparison wants half a minute and some joules
PATIENCE_S = 30
AGREES = 0.05  # counter and integral; a sensor locked to its load's period may differ
BINDING = {"nvmlInit", "nvmlInit_v2", "nvmlErrorString", "nvmlShutdown"}  # pynvml's own use

# Every function of libnvidia-ml that the process looks up, whoever does it, is written down.
WATCHED = """
import ctypes, runpy, sys
log, looked_up = open(sys.argv.pop(1), "w", buffering=1), ctypes.CDLL.__getitem__
def look_up(library, name):
    if "nvidia-ml" in str(library._name):
        log.write(f"{name}\\n")
    return looked_up(library, name)
ctypes.CDLL.__getitem__ = look_up
runpy.run_module("submeter", run_name="__main__", alter_sys=True)
"""


def why_not() -> str | None:
    """The reason to skip these tests; None where there is a real GPU."""
    if "SUBMETER_STANDIN_SCRIPT" in os.environ and os.environ.get("SUBMETER_GPU_TESTS") is None:
        return "libnvidia-ml is the stand-in, which is no GPU"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"no NVIDIA GPU here: {error}"
    try:
        return None if pynvml.nvmlDeviceGetCount() else "the driver knows of no GPU"
    finally:
        pynvml.nvmlShutdown()


REASON = why_not()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
]


@dataclass
class Agent:
    """A running agent, and the file of NVML functions that it has looked up."""

    popen: subprocess.Popen[bytes]
    url: str
    log: Path
    functions: Path

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            body: bytes = response.read()
            return body.decode()

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/api/v1/snapshot"))
        return found


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """`submeter run`, once it meters."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    log, functions = tmp_path / "agent.log", tmp_path / "functions"
    command = [
        *(sys.executable, "-c", WATCHED, str(functions), "run", "--require-gpu"),
        *("--listen", listen, "--state-dir", str(tmp_path / "state")),
    ]
    with log.open("wb") as output:
        popen = subprocess.Popen(command, stdout=output, stderr=output)
    started = Agent(popen, f"http://{listen}", log, functions)
    try:
        _wait_until_metering(started)
        yield started
    finally:
        popen.terminate()
        assert popen.wait(timeout=15) == 0, log.read_text()


def test_doctor_finds_a_usable_gpu(tmp_path: Path) -> None:
    done = submeter("doctor", "--state-dir", str(tmp_path / "state"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_sums_are_exact_and_the_counter_agrees_with_its_power(agent: Agent) -> None:
    first, before = time.monotonic(), agent.snapshot()
    while (elapsed_s := time.monotonic() - first) < METERED_S:
        assert agent.popen.poll() is None, agent.log.read_text()
        time.sleep(min(1.0, METERED_S - elapsed_s))
        parts, totals = sums(agent.get("/metrics"))
        assert parts == totals
        assert totals
    after = agent.snapshot()
    gained = {
        gpu["uuid"]: Decimal(gpu["joules"]) - joules(before, gpu["uuid"]) for gpu in after["gpus"]
    }
    print({uuid: f"{value} J in {elapsed_s:.1f} s" for uuid, value in gained.items()})
    assert all(value > 0 for value in gained.values())
    by_counter = [gpu for gpu in after["gpus"] if gpu["energy_source"] == "counter"]
    deadline = time.monotonic() + CROSSCHECKED_S
    while len(ratios := crosschecks(agent.get("/metrics"))) < len(by_counter):
        assert time.monotonic() < deadline, "the counter is not compared with the power"
        time.sleep(0.5)
    print(ratios)
    for gpu, ratio in ratios.items():
        assert abs(ratio - 1) <= AGREES, f"GPU {gpu}: counter and power differ: {ratio}"


@pytest.mark.fault("F25")
def test_only_allowed_functions_are_looked_up(agent: Agent) -> None:
    until = time.monotonic() + 12  # a process list every 10 s, if nothing else
    while time.monotonic() < until:
        assert agent.popen.poll() is None, agent.log.read_text()
        time.sleep(0.5)
    found = set(agent.functions.read_text().split())
    assert "nvmlDeviceGetFieldValues" in found  # the watch sees something
    allowed = {re.sub(r"_v\d$", "", name) for name in ALLOWED_CALLS} | BINDING
    strange = {name for name in found if re.sub(r"_v\d$", "", name) not in allowed}
    assert strange == set()


def test_a_recording_replays_to_the_same_joules(tmp_path: Path) -> None:
    trace, state = tmp_path / "real.trace.gz", str(tmp_path / "replayed")
    done = submeter("record", str(trace), "--duration", "15")
    assert done.returncode == 0, done.stderr
    info = json.loads(submeter("trace", "info", str(trace), "--json").stdout)
    done = submeter(
        *("run", "--backend", "replay", "--trace", str(trace), "--speed", "100", "--exit-at-end"),
        *("--listen", "127.0.0.1:0", "--state-dir", state),
    )
    assert done.returncode == 0, done.stderr
    done = submeter("verify", "--state-dir", state)
    assert done.returncode == 0, done.stdout + done.stderr
    replayed = dict(re.findall(r"^(\S+)\s+([\d.]+)$", done.stdout, re.MULTILINE))
    counted = {
        gpu["uuid"]: Decimal(gpu["counter_joules"])
        for gpu in info["gpus"]
        if gpu["energy_source"] == "counter"
    }
    for uuid, value in counted.items():
        assert Decimal(replayed[uuid]) == value


def test_the_structures_are_as_large_as_the_driver_thinks() -> None:
    """A wrong layout shows as a value in the wrong place: two ways of asking must agree."""
    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        try:
            before = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError_NotSupported:
            pytest.skip("this board has no energy counter")
        batch = (pynvml.c_nvmlFieldValue_t * 2)()
        batch[0].fieldId, batch[1].fieldId = 83, 186
        assert pynvml.nvmlLib["nvmlDeviceGetFieldValues"](handle, 2, ctypes.byref(batch)) == 0
        after = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        assert batch[0].nvmlReturn == 0
        assert before <= batch[0].value.ullVal <= after
        assert 1_000 < batch[1].value.uiVal < 3_000_000  # mW
    finally:
        pynvml.nvmlShutdown()


def submeter(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command."""
    command = [sys.executable, "-m", "submeter", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def joules(snapshot: dict[str, Any], uuid: str) -> Decimal:
    """0 for a GPU that came later."""
    return next((Decimal(g["joules"]) for g in snapshot["gpus"] if g["uuid"] == uuid), Decimal(0))


def sums(text: str) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Per GPU: the sum of the parts and the total, exactly as printed."""
    parts: dict[str, Decimal] = {}
    totals: dict[str, Decimal] = {}
    tables = {"submeter_energy_joules_total": parts, "submeter_gpu_energy_joules_total": totals}
    for name, gpu, value in re.findall(
        r'^(submeter\w+_joules_total)\{gpu="([^"]*)".*\} (\S+)$', text, re.MULTILINE
    ):
        if name in tables:
            tables[name][gpu] = tables[name].get(gpu, Decimal(0)) + Decimal(value)
    return parts, totals


def crosschecks(text: str) -> dict[str, float]:
    """Counter over integral, per GPU."""
    pattern = r'^submeter_energy_crosscheck_ratio\{gpu="([^"]*)".*\} (\S+)$'
    return {gpu: float(value) for gpu, value in re.findall(pattern, text, re.MULTILINE)}


def _wait_until_metering(agent: Agent) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert agent.popen.poll() is None, agent.log.read_text()
        try:
            if agent.get("/-/ready") and sums(agent.get("/metrics"))[1]:
                return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready in {PATIENCE_S} s: {agent.log.read_text()}")
