"""A scripted world together with nvidia-ml-py on it, in this process."""

import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.standin.standin import Standin, Truth

PATIENCE_S = 20.0


class Client:
    """pynvml on the stand-in library: what tests do again and again."""

    def __init__(self, world: "Standin") -> None:
        self.world = world
        self.pynvml: Any = importlib.import_module("pynvml")

    def start(self, *lines: str) -> list[Any]:
        """Writes the script, starts NVML on it, returns the devices' handles."""
        self.world.write(lines)
        self.pynvml.nvmlInit()
        count = self.pynvml.nvmlDeviceGetCount()
        return [self.pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]

    def error(self, call: Callable[..., object], *arguments: object) -> int:
        """The code of the NVMLError that a call raises; 0 if it raises none."""
        try:
            call(*arguments)
        except self.pynvml.NVMLError as error:
            code: int = error.value
            return code
        return 0

    def fields(self, gpu: object, *fields: object) -> list[Any]:
        """The field values of one batched call; a field is an id or (id, scope)."""
        return list(self.pynvml.nvmlDeviceGetFieldValues(gpu, list(fields)))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until it holds; fails after a long while."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)


@pytest.fixture
def client(standin: "Standin") -> Client:
    """The world, with the library loaded into this process so that pynvml finds it."""
    standin.write("gpu 0")
    standin.load()
    return Client(standin)


@pytest.fixture
def past(standin: "Standin") -> Callable[[float], None]:
    """past(seconds): puts the script's time 0 that far into the past."""

    def move(seconds: float) -> None:
        standin.time0_ns -= int(seconds * 1e9)

    return move


@pytest.fixture(scope="session")
def read_truth() -> "Callable[[str], Truth]":
    """The closed forms of a script, without a library."""
    module = importlib.import_module("standin")
    found: Callable[[str], Truth] = module.read_truth
    return found
