"""A real file system that is full, or read-only: the agent stays up, says so, and loses nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from submeter.ledger.audit import audit
from submeter.units import UJ_PER_J

pytestmark = pytest.mark.hostile

UP = 'submeter_up{component="ledger"}'
TOTAL = "submeter_gpu_energy_joules_total{"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state directory that is a file system of 1 MiB."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    if os.geteuid() or shutil.which("mount") is None or mounted("size=1m,mode=0700", state):
        pytest.skip("a file system can't be mounted here: that needs root")
    yield state
    subprocess.run(["umount", "--lazy", state], check=True)


def mounted(options: str, state: Path) -> int:
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(state)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def totals(text: str) -> dict[str, Decimal]:
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(TOTAL)]
    return {labels.split('uuid="')[1].split('"')[0]: Decimal(value) for labels, _, value in lines}


@pytest.mark.fault("F60")
@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_lost(
    small_disk: Path, agent: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    process = agent("--backend", "mock", "--set", "settle.interval_s=0.2")

    def ledger_is(up: int) -> str:
        text: str = process.get("/metrics")
        return text if f"{UP} {up}\n" in text and totals(text) else ""

    wait_for(lambda: ledger_is(1), "metering")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1_024))
        except OSError:
            pass
        full = wait_for(lambda: ledger_is(0), "the full disk in /metrics")
    assert "No space left" in process.log.read_text()
    before = totals(full)
    assert not audit(small_disk).problem
    ballast.unlink()

    def goes_on() -> bool:
        now = totals(ledger_is(1))
        return bool(now) and all(now[uuid] > joules for uuid, joules in before.items())

    wait_for(goes_on, "the ledger after there is room again")
    assert process.popen.poll() is None
    assert "nothing was lost" in process.log.read_text()
    process.stop()
    found = audit(small_disk)
    assert not found.problem
    metered = process.log.read_text().rpartition("metered ")[2].split(" J")[0]
    assert Decimal(sum(found.energy_uj.values())) / UJ_PER_J == Decimal(metered)


@pytest.mark.fault("F61")
def test_a_read_only_disk_is_refused_with_what_to_do(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    command = [sys.executable, "-m", "submeter", "run", "--backend", "mock"]
    done = subprocess.run(
        [*command, "--state-dir", str(small_disk), "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 73
    assert "--state-dir" in done.stderr.splitlines()[-1]
    assert "ead-only" in done.stderr
