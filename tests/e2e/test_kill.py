"""Killed at random instants, the ledger neither loses nor doubles a joule."""

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from submeter.testing.memory import IN_MEMORY

pytestmark = pytest.mark.hostile

KILLS = 1_000 if os.environ.get("SUBMETER_TEST_ALL") else 200
LOOP = Path(__file__).parent / "kill_loop.py"
EVERYWHERE = Path(__file__).parent / "kill_everywhere.py"


@pytest.fixture
def fast_directory() -> Iterator[Path]:
    """A state directory in memory where there is one: what survives a killed process does not
    depend on the disk, and more of its moments are hit in the same time."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as directory:
        yield Path(directory)


@pytest.mark.fault("F58")
@pytest.mark.slow
def test_kills_lose_and_double_nothing(fast_directory: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    done = subprocess.run(
        [sys.executable, str(LOOP), str(fast_directory), str(KILLS), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-4_000:]}"
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["off_uj"] == [0, 0, 0], result
    assert result["ledger_uj"] == result["shown_uj"]
    assert (result["problem"], result["aside"]) == ("", [])
    # the lives were not all too short to do anything, and rows of every kind were made
    assert result["lives_that_committed"] > KILLS // 10
    assert result["rows"]["days"] > 0


@pytest.mark.fault("F58")
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads registers of x86-64")
@pytest.mark.parametrize("scene", ["fold", "migrate", "salvage"])
def test_killed_at_each_change_of_a_file_it_goes_on(fast_directory: Path, scene: str) -> None:
    """Folding the log in, making version 2 of version 1, saving a damaged ledger: killed before
    every system call that changes a file, or 12 of them, the ledger is whole, with all in it."""
    seed = random.SystemRandom().getrandbits(32)
    some = "0" if os.environ.get("SUBMETER_TEST_ALL") else "12"
    done = subprocess.run(
        [sys.executable, str(EVERYWHERE), str(fast_directory), scene, some, str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("ptrace(2) is not permitted here")
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-4_000:]}"
    result: dict[str, int] = json.loads(done.stdout)
    assert result["calls"] > 25
    assert result["killed"] > 0.9 * result["tried"] > 10  # some runs end a few calls earlier
