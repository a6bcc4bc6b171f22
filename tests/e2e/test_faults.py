"""The agent as installed under faults of the driver's library that only a process can show."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from submeter.ledger.audit import audit
from submeter_reliability import hangs
from submeter_reliability.agents import Agent, wait

pytestmark = [pytest.mark.slow, pytest.mark.hostile]


@pytest.mark.fault("F5", "F89")
def test_one_gpu_hangs_for_ever_and_the_others_are_exact(
    standin_library: Path, tmp_path: Path
) -> None:
    found = hangs.hung_gpu(standin_library, tmp_path)
    assert (found.off_uj, found.seen) == (0, True)
    assert found.scrapes > 50, "every scrape was answered"
    _ended_by_itself(tmp_path)


@pytest.mark.fault("F89")
@pytest.mark.parametrize(
    "call",
    [
        "nvmlInitWithFlags",
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlShutdown",
    ],
)
def test_it_ends_though_a_call_never_returns(
    standin_library: Path, tmp_path: Path, call: str
) -> None:
    ended = hangs.exit_under(standin_library, tmp_path, call)
    assert ended.made
    _ended_by_itself(tmp_path)


@pytest.mark.fault("F58", "F5")
def test_a_library_that_crashes_kills_the_agent_and_costs_no_joule(
    standin: Any, tmp_path: Path
) -> None:
    """No process survives a SIGSEGV in a library that it has loaded. What the service manager
    starts again goes on from the ledger, and the counter has counted on."""
    board = "gpu 0 uuid=GPU-0 idle_mw=0"
    standin.write(board)
    agent = Agent(tmp_path, env=standin.env)
    again: Agent | None = None
    try:
        wait(lambda: agent.up() and agent.joules(), "the GPU")
        start_s = standin.now() + 0.5
        load = f"load 0 constant mw=300000 from={start_s} to={start_s + 12}"
        crash = f"fault call=nvmlDeviceGetFieldValues segv=1 from={start_s + 5}"
        standin.write([board, load, crash])
        assert agent.process.wait(30) == -signal.SIGSEGV
        before_uj = audit(tmp_path / "state").energy_uj["GPU-0"]
        assert 0 < before_uj < 3_600_000_000
        standin.write([board, load])
        again = Agent(tmp_path, env=standin.env)
        wait(lambda: standin.now() > start_s + 13, "the end of the load")
        _exactly(again, Decimal(3_600))
        again.stop()
    finally:
        agent.kill()
        if again is not None:
            again.kill()
    found = audit(tmp_path / "state")
    assert (found.problem, found.energy_uj) == ("", {"GPU-0": 3_600_000_000})


def _ended_by_itself(directory: Path) -> None:
    """Not by the force that is used after 4.5 s; how long it takes `make reliability` measures."""
    assert "does not let go" not in (directory / "agent.log").read_text()
    assert not audit(directory / "state").problem


@pytest.mark.fault("F92")
@pytest.mark.parametrize("how", ["closed", "nobody reads"])
def test_nobody_takes_what_it_says(tmp_path: Path, how: str) -> None:
    """Standard error is closed, or a pipe whose reader has gone, as when the journal ends."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "submeter", "run", "--backend", "mock"]
    command += ["--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "state")]
    if how == "closed":
        command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    process = subprocess.Popen(command, stdout=write, stderr=write)
    os.close(write)
    try:
        wait(lambda: _committed(tmp_path / "state"), "rows in the ledger")
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    found = audit(tmp_path / "state")
    assert not found.problem
    assert sum(found.energy_uj.values()) > 0


def _committed(state: Path) -> bool:
    return any(log.stat().st_size for log in state.glob("*.log"))


def _exactly(agent: Agent, joules: Decimal) -> None:
    wait(
        lambda: agent.up() and agent.joules() and Decimal(agent.joules()[0]) == joules,
        f"exactly {joules} J",
    )
