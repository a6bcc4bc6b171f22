"""A power budget that cannot be meant: whoever looks is told, and no reload takes it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCENARIO = '[[gpu]]\nmodel = "H100"\ncount = 2\n'
TOLD = "W, but the 2 GPUs draw"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Where a service manager would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(manager: socket.socket) -> str:
    """All that it was told since."""
    said = b""
    try:
        while True:
            said += manager.recv(1 << 16) + b"\n"
    except BlockingIOError:
        return said.decode()


def doubt(process: Any) -> str:
    said: str = json.loads(process.get("/api/v1/snapshot"))["power_budget_doubt"]
    return said


def test_a_budget_below_the_idle_draw_is_told_and_not_reloaded(
    agent: Callable[..., Any],
    wait_for: Callable[..., Any],
    manager: socket.socket,
    tmp_path: Path,
) -> None:
    (tmp_path / "idle.toml").write_text(SCENARIO)
    config = tmp_path / "submeter.toml"
    config.write_text("[node]\npower_budget_watts = 5000\n")
    process = agent(
        *("--backend", "mock", "--scenario", str(tmp_path / "idle.toml")),
        *("--config", str(config)),
        env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    floor = 'submeter_floor_watts{gpu="1"'
    wait_for(lambda: floor in process.get("/metrics"), "what they draw doing nothing")
    assert doubt(process) == ""

    config.write_text("[node]\n\npower_budget_watts = 5\n")  # kilowatts were meant
    heard(manager)
    process.popen.send_signal(signal.SIGHUP)
    said = wait_for(lambda: _with(heard(manager), "not reloaded"), "a refusal")
    assert f"submeter.toml:3: node.power_budget_watts is 5 {TOLD}" in said
    assert "submeter_node_power_budget_watts 5000\n" in process.get("/metrics")

    # Who begins with it can't know yet. As soon as it is known, it is told.
    pid = process.popen.pid
    process.stop()
    process = agent(
        *("--backend", "mock", "--scenario", str(tmp_path / "idle.toml")),
        *("--config", str(config)),
        env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    told = wait_for(lambda: doubt(process), "the doubt")
    assert TOLD in told
    assert told in process.get("/")
    doctor = subprocess.run(
        [
            *(sys.executable, "-m", "submeter", "doctor"),
            *("--set", f"web.listen={process.url.removeprefix('http://')}"),
            *("--state-dir", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert TOLD in " ".join(doctor.stdout.split())
    assert "SubmeterPowerBudgetBelowIdle" in doctor.stdout

    config.write_text("[node]\npower_budget_watts = 5000\n")
    process.popen.send_signal(signal.SIGHUP)
    wait_for(lambda: "budget_watts 5000\n" in process.get("/metrics"), "the right one")
    assert process.popen.pid != pid
    wait_for(lambda: floor in process.get("/metrics"), "what they draw doing nothing")
    assert doubt(process) == ""


def _with(text: str, words: str) -> str:
    return text if words in text else ""
