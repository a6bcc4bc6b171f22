"""Mistakes put into metering, attribution and ledger, one at a time: how many do the tests see?

A sample, the same number from each room; another one each time. Which were not seen is printed.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from submeter_reliability import mutants
from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Figure
from submeter_reliability.mutants import Mutant

FIGURES: Final = (
    Figure(
        "mutants",
        "mistakes put into metering, attribution and ledger, one at a time, drawn by lot",
        at_least=90,
    ),
    Figure("mutants_killed_percent", "of those: the tests of that room fail", at_least=90),
)
MINUTES: Final = 20

_EACH: Final = int(os.environ.get("SUBMETER_MUTANTS", "30"))
_WORKERS: Final = 2
_TOO_LONG_S: Final = 900  # a mutant that never ends is seen, too; machines may be busy
TESTS: Final[Mapping[str, Sequence[str]]] = {
    "metering": (
        "tests/agent/metering",
        "tests/properties/test_meter_properties.py",
        "tests/properties/test_conservation.py",
    ),
    "attribution": ("tests/agent/attribution", "tests/properties/test_split_properties.py"),
    "ledger": ("tests/agent/ledger", "tests/properties/test_ledger_properties.py"),
}


def measure() -> Mapping[str, float]:
    """Runs each room's tests once for each mutant, without the slow ones."""
    rng = random.SystemRandom()
    chosen = [
        (room, mutants.make(*place)) for room in TESTS for place in rng.sample(places(room), _EACH)
    ]
    rng.shuffle(chosen)
    with ThreadPoolExecutor(_WORKERS) as pool:
        killed = list(pool.map(lambda each: _is_killed(*each), chosen))
    return {"mutants": len(killed), "mutants_killed_percent": 100 * sum(killed) / len(killed)}


def places(room: str) -> list[tuple[Path, int]]:
    """Where a mistake can be made in a room: file, and the number of the mistake in it."""
    files = sorted((ROOT / "agent/submeter" / room).rglob("*.py"))
    return [(path, number) for path in files for number in range(mutants.count(path))]


def _is_killed(room: str, mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        package = Path(scratch) / "submeter"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "agent/submeter", package, ignore=ignored)
        within = mutant.path.relative_to(ROOT / "agent/submeter")
        (package / within).write_text(mutant.source, encoding="utf-8")
        run = partial(_fails, Path(scratch))
        killed = any(run(test) for test in TESTS[room])
    if not killed:
        print(f"{within}:{mutant.line}: not seen: {mutant.right}  =>  {mutant.wrong}", flush=True)
    return killed


def _fails(sources: Path, test: str) -> bool:
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"),
        *("-m", "not slow", "-o", "timeout=600", test),
    ]
    environment = {**os.environ, "CI": "true", "PYTHONPATH": str(sources)}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=_TOO_LONG_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0
