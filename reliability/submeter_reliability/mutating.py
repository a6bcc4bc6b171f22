"""Mutants in, whether the tests of their rooms fail out: a process for each, forked from this one.

pytest and what tests import are there already when a process is forked; submeter is imported by it
alone, with the mutant's source in the place of the file's. The tests of each room are run once as
it is; from that is known which ones enter which function, and only those are tried on a mutant of
it, the quickest first, until one fails.

    python -m submeter_reliability.mutating --each 30 --seed 7 metering
    python -m submeter_reliability.mutating --file counter.py --each 1000 metering
"""

import argparse
import importlib
import json
import os
import random
import resource
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import hypothesis
import pytest

from submeter_reliability import equivalents, mutants
from submeter_reliability.catalogue import ROOT
from submeter_reliability.entered import Chosen, Entry, Recorder, read
from submeter_reliability.implant import Finder
from submeter_reliability.mutants import Mutant

_SOURCES: Final = ROOT / "agent"
_TOGETHER: Final = 2
_OPTIONS: Final = (
    *("-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow"),
    *("--timeout", "900"),  # a mutant that waits for ever is seen, too; a busy machine is none
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
)
_LEAST_CPU_S: Final = 30  # and one that never ends
_CPU_TIMES: Final = 8  # of what its tests need without it
TESTS: Final[Mapping[str, Sequence[str]]] = {
    "metering": (
        "tests/agent/metering",
        "tests/properties/test_meter_properties.py",
        "tests/properties/test_conservation.py",
    ),
    "attribution": ("tests/agent/attribution", "tests/properties/test_split_properties.py"),
    "ledger": ("tests/agent/ledger", "tests/properties/test_ledger_properties.py"),
}


class _Trial(NamedTuple):
    mutant: Mutant
    tests: list[Entry]  # that can see it, in their order


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was not seen, and as the last line how many there were and how many were."""
    parser = argparse.ArgumentParser(prog="submeter_reliability.mutating", description=__doc__)
    parser.add_argument("rooms", nargs="*", default=list(TESTS), help="metering, …: all, if none")
    parser.add_argument("--each", type=int, default=40, help="mutants of each room (default: 40)")
    parser.add_argument("--seed", type=int, help="the lot; by default another one each time")
    parser.add_argument("--file", default="", help="only of files whose path ends like this")
    options = parser.parse_args(arguments)
    _prepare()
    tests = {room: _recorded(room) for room in options.rooms}
    rng = random.Random(options.seed)
    trials = [
        _Trial(mutant, _that_can_see(mutant, tests[room]))
        for room in options.rooms
        for mutant in _drawn(rng, places(room, options.file), options.each)
    ]
    killed = 0
    for trial, seen in _tried(trials):
        killed += seen
        if not seen:
            print(_said(trial), flush=True)
    print(json.dumps({"mutants": len(trials), "killed": killed}), flush=True)
    return 0


def places(room: str, ending: str = "") -> list[tuple[Path, int]]:
    """Where a mistake can be made in a room: file, and the number of the mistake in it."""
    files = sorted((_SOURCES / "submeter" / room).rglob("*" + ending if ending else "*.py"))
    return [(path, number) for path in files for number in range(mutants.count(path))]


def _said(trial: _Trial) -> str:
    mutant, tests = trial
    return f"{mutant.place}: not seen by {len(tests)}: {mutant.right}  =>  {mutant.wrong}"


def _drawn(rng: random.Random, found: list[tuple[Path, int]], count: int) -> Iterator[Mutant]:
    known = equivalents.load()
    for place in rng.sample(found, len(found)):
        if not count:
            return
        mutant = mutants.make(*place)
        if not any(each.is_of(mutant) for each in known):
            count -= 1
            yield mutant


def _that_can_see(mutant: Mutant, tests: list[Entry]) -> list[Entry]:
    """The quickest first, but those of the mutant's own file before all others."""
    function = (str(mutant.path), mutant.function)
    own = f"/test_{mutant.path.stem}"
    found = [test for test in tests if function in test.enters]
    return sorted(found, key=lambda test: (own not in test.name, test.took_s))


def _prepare() -> None:
    os.chdir(ROOT)
    sys.dont_write_bytecode = False  # compiled once for all processes, but for the mutant
    os.environ["CI"] = "true"
    sys.path.insert(0, str(_SOURCES))
    sys.path.insert(1, str(ROOT / "exporters"))
    # that a test fails is enough: not for which smallest example, nor why
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", phases=phases)
    hypothesis.settings.load_profile("mutants")  # what tests/conftest.py builds upon


def _recorded(room: str) -> list[Entry]:
    """The room's tests as it is. Ends the program where one fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        pid = os.fork()
        if not pid:
            _silence()
            recorder = Recorder(_SOURCES / "submeter" / room)
            recorder.start()
            code = pytest.main([*_OPTIONS, *TESTS[room]], [recorder])
            told.write(recorder.text())
            told.flush()
            os._exit(code)
        if _seen(os.waitpid(pid, 0)[1]):
            sys.exit(f"the tests of {room} fail without any mistake: make test")
        told.seek(0)
        tests, modules = read(told.read())
    for name in modules:  # once, for all that will be forked
        with suppress(ImportError):
            importlib.import_module(name)
    return tests


def _tried(trials: Iterable[_Trial]) -> Iterator[tuple[_Trial, bool]]:
    running: dict[int, _Trial] = {}
    left = iter(trials)
    while True:
        while len(running) < _TOGETHER and (one := next(left, None)) is not None:
            if one.tests:
                running[_forked(one)] = one
            else:
                yield one, False
        if not running:
            return
        pid, status = os.wait()
        yield running.pop(pid), _seen(status)


def _seen(status: int) -> bool:
    """What a process that ended says of its mutant."""
    code = os.waitstatus_to_exitcode(status)
    if code in {
        pytest.ExitCode.INTERNAL_ERROR,
        pytest.ExitCode.USAGE_ERROR,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    }:
        raise SystemExit(f"pytest ends with {code}")
    return code != pytest.ExitCode.OK


def _forked(trial: _Trial) -> int:
    pid = os.fork()
    if pid:
        return pid
    _silence()
    most_s = _LEAST_CPU_S + _CPU_TIMES * round(sum(test.took_s for test in trial.tests))
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
    sys.meta_path.insert(0, Finder(trial.mutant, _SOURCES))
    names = [test.name for test in trial.tests]
    files = dict.fromkeys(name.partition("::")[0] for name in names)
    code = pytest.main([*_OPTIONS, *files], [Chosen(names)])
    os._exit(code)


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)


if __name__ == "__main__":
    sys.exit(main())
