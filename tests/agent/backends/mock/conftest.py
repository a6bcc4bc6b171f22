"""A simulated node on a fake clock, from the text of a scenario."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from submeter.backends.mock.backend import MockBackend
from submeter.backends.mock.device import MockDevice
from submeter.backends.mock.scenario import parse
from submeter.clock import FakeClock
from submeter.units import NS_PER_S


class Node(NamedTuple):
    clock: FakeClock
    backend: MockBackend
    devices: tuple[MockDevice, ...]

    def run(self, seconds: float) -> int:
        """Time passes; gives boot time."""
        self.clock.advance(round(seconds * NS_PER_S))
        return self.clock.boottime_ns()

    def gpu(self, index: int = 0) -> Any:
        """The truth about one GPU."""
        gpus: Any = self.backend.truth()["gpus"]
        return gpus[self.devices[index].info.uuid]


@pytest.fixture(scope="session")
def node() -> Callable[[str], Node]:
    """Opens the node of a scenario text. Session-wide so that Hypothesis may use it."""

    def make(text: str) -> Node:
        clock = FakeClock()
        backend = MockBackend(parse(text), clock)
        return Node(clock, backend, tuple(backend.open()))

    return make
