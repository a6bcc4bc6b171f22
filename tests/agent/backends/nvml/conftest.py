"""A node of the stand-in's boards, opened through the real binding."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pynvml
import pytest

from submeter.backends.nvml import NvmlBackend, create
from submeter.backends.nvml.device import NvmlDevice
from submeter.clock import SystemClock

if TYPE_CHECKING:
    from tests.standin import standin as standin_module


class Node:
    """A backend on a scripted world; `open` writes the script and gives the devices by index."""

    def __init__(self, world: "standin_module.Standin", sysfs: Path) -> None:
        self.world = world
        self.sysfs = sysfs
        self.clock = SystemClock()
        self.backend: NvmlBackend = create(self.clock, {"sysfs": sysfs})

    def open(self, *lines: str) -> list[NvmlDevice]:
        self.world.write(lines)
        return list(self.backend.open())

    def become(self, *lines: str) -> None:
        """The world changes; the stand-in looks at its script every 50 ms of calls."""
        self.world.write(lines)
        self.settle()

    def settle(self) -> None:
        until_ns = self.clock.boottime_ns() + 60_000_000
        while self.clock.boottime_ns() < until_ns:
            self.clock.sleep_until(until_ns)

    def now(self) -> int:
        return self.clock.boottime_ns()


@pytest.fixture
def node(standin: "standin_module.Standin", tmp_path: Path) -> Iterator[Node]:
    standin.load()
    pynvml._nvmlLib_refcount = 0  # whatever tests before in this process left initialised
    made = Node(standin, tmp_path / "sys")
    yield made
    made.backend.close()


@pytest.fixture
def run_client() -> Callable[..., str]:
    """Runs Python code in a fresh process, where the library isn't loaded yet; gives its output."""

    def run(code: str, env: Mapping[str, str], *arguments: Any) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
