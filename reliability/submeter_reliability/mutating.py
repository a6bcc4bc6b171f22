"""Mutants in, whether the tests of their rooms fail out: a process for each, forked from this one.

pytest and what tests import are there already when a process is forked; submeter is imported by it
alone, with the mutant's source in the place of the file's. Nothing is written to the disk.

    python -m submeter_reliability.mutating --each 30 --seed 7 metering
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import random
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Final

import pytest

from submeter_reliability import equivalents, mutants
from submeter_reliability.catalogue import ROOT
from submeter_reliability.mutants import Mutant

_SOURCES: Final = ROOT / "agent"
_TOGETHER: Final = 2
_MOST_CPU_S: Final = 300  # a mutant that never ends is seen, too
_BEFOREHAND: Final = ("hypothesis", "numpy", "sqlite3", "asyncio", "json", "unittest.mock")
_OPTIONS: Final = (
    *("-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow"),
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
)
TESTS: Final[Mapping[str, Sequence[str]]] = {
    "metering": (
        "tests/agent/metering",
        "tests/properties/test_meter_properties.py",
        "tests/properties/test_conservation.py",
    ),
    "attribution": ("tests/agent/attribution", "tests/properties/test_split_properties.py"),
    "ledger": ("tests/agent/ledger", "tests/properties/test_ledger_properties.py"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was not seen, and as the last line how many there were and how many were."""
    parser = argparse.ArgumentParser(prog="submeter_reliability.mutating", description=__doc__)
    parser.add_argument("rooms", nargs="*", default=list(TESTS), help="metering, …: all, if none")
    parser.add_argument("--each", type=int, default=40, help="mutants of each room (default: 40)")
    parser.add_argument("--seed", type=int, help="the lot; by default another one each time")
    options = parser.parse_args(arguments)
    _prepare()
    if not all(_fails(room, None) is False for room in options.rooms):
        sys.exit("the tests fail without any mistake")
    rng = random.Random(options.seed)
    made = [each for room in options.rooms for each in _drawn(rng, room, options.each)]
    killed = 0
    for (_, mutant), seen in _tried(made):
        killed += seen
        if not seen:
            print(f"{mutant.place}: not seen: {mutant.right}  =>  {mutant.wrong}", flush=True)
    print(json.dumps({"mutants": len(made), "killed": killed}), flush=True)
    return 0


def places(room: str) -> list[tuple[Path, int]]:
    """Where a mistake can be made in a room: file, and the number of the mistake in it."""
    files = sorted((_SOURCES / "submeter" / room).rglob("*.py"))
    return [(path, number) for path in files for number in range(mutants.count(path))]


def _drawn(rng: random.Random, room: str, count: int) -> Iterator[tuple[str, Mutant]]:
    known = equivalents.load()
    found = places(room)
    for place in rng.sample(found, len(found)):
        if not count:
            return
        mutant = mutants.make(*place)
        if not any(each.is_of(mutant) for each in known):
            count -= 1
            yield room, mutant


def _prepare() -> None:
    os.chdir(ROOT)
    os.environ["CI"] = "true"
    sys.path.insert(0, str(_SOURCES))
    sys.path.insert(1, str(ROOT / "exporters"))
    sys.dont_write_bytecode = True
    for name in _BEFOREHAND:
        with suppress(ImportError):
            importlib.import_module(name)


def _tried(made: Iterable[tuple[str, Mutant]]) -> Iterator[tuple[tuple[str, Mutant], bool]]:
    running: dict[int, tuple[str, Mutant]] = {}
    left = iter(made)
    while True:
        while len(running) < _TOGETHER and (one := next(left, None)) is not None:
            running[_forked(*one)] = one
        if not running:
            return
        pid, status = os.wait()
        yield running.pop(pid), _seen(status)


def _fails(room: str, mutant: Mutant | None) -> bool:
    _, status = os.waitpid(_forked(room, mutant), 0)
    return _seen(status)


def _seen(status: int) -> bool:
    """What a process that ended says of its mutant."""
    code = os.waitstatus_to_exitcode(status)
    if code in {pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR}:
        raise SystemExit(f"pytest ends with {code}")
    return code != pytest.ExitCode.OK


def _forked(room: str, mutant: Mutant | None) -> int:
    pid = os.fork()
    if pid:
        return pid
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    code = pytest.main([*_OPTIONS, *_in_order(room, mutant)])
    os._exit(code)


def _in_order(room: str, mutant: Mutant | None) -> list[str]:
    """The tests of a room, those of the mutant's file first."""
    tests = [str(ROOT / each) for each in TESTS[room]]
    if mutant is None:
        return tests
    own = sorted((ROOT / "tests/agent" / room).glob(f"test_{mutant.path.stem}*.py"))
    return [*map(str, own), *tests]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a mutant where its file would be found."""

    def __init__(self, mutant: Mutant) -> None:
        parts = mutant.path.relative_to(_SOURCES).with_suffix("").parts
        self._name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._mutant = mutant

    def find_spec(self, fullname: str, *_where: object) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file = str(self._mutant.path)
        loader = _Loader(fullname, file, self._mutant.source)
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=file, is_package=self._mutant.path.name == "__init__.py"
        )
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(str(self._mutant.path.parent))
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        code: CodeType = compile(self._source, self.path, "exec", dont_inherit=True)
        return code


if __name__ == "__main__":
    sys.exit(main())
