"""A run of a room's tests in, which of them enter which function of the room out.

A mistake in a function can only be seen by a test that enters it. What is set up once for many
tests and entered then is the first one's: a mistake there may count as not seen, never as seen.
"""

import json
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import pytest

Function = tuple[str, int]
"""A file, and the line of a function's first decorator or else its ``def``."""


class Entry(NamedTuple):
    """A test that passes, and what it does for that."""

    name: str  # pytest's
    took_s: float
    enters: frozenset[Function]


class Recorder:
    """A plugin of pytest that owns what it saw of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._entered: set[Function] = set()
        self._tests: dict[str, tuple[float, set[Function]]] = {}

    def start(self) -> None:
        """Watches this thread and those that it starts."""
        threading.settrace(self._entering)
        sys.settrace(self._entering)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Whatever is entered from here on is that test's."""
        self._entered = self._tests.setdefault(item.nodeid, (0.0, set()))[1]
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds the time of a test's phase."""
        took_s, entered = self._tests[report.nodeid]
        self._tests[report.nodeid] = (took_s + report.duration, entered)

    def text(self) -> str:
        """For `read`."""
        tests = [(name, took_s, sorted(made)) for name, (took_s, made) in self._tests.items()]
        return json.dumps([tests, _installed()])

    def _entering(self, frame: FrameType, _event: str, _: object) -> Callable[..., Any] | None:
        code = frame.f_code
        if code.co_filename.startswith(self.folder):
            self._entered.add((code.co_filename, code.co_firstlineno))
        return None


class Chosen:
    """A plugin of pytest that leaves only some tests, in their order."""

    def __init__(self, names: list[str]) -> None:
        self._place: Final[Mapping[str, int]] = {name: n for n, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Whatever was collected beside them is left out."""
        kept = [item for item in items if item.nodeid in self._place]
        items[:] = sorted(kept, key=lambda item: self._place[item.nodeid])


def read(text: str) -> tuple[list[Entry], list[str]]:
    """What a recorder wrote: the tests, and the modules that they need of what is installed."""
    tests, modules = json.loads(text)
    entries = [Entry(name, took_s, frozenset(map(tuple, made))) for name, took_s, made in tests]
    return entries, modules


def _installed() -> list[str]:
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return [name for name, file in files.items() if file and file.startswith(libraries)]
