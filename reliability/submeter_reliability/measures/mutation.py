"""Mistakes put into metering, attribution and ledger, one at a time: how many do the tests see?

A sample, the same number from each room; another one each time. Which were not seen is printed.
What makes no difference is in reliability/equivalents.toml, and is not drawn.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Figure, Unavailable
from submeter_reliability.mutating import TESTS

FIGURES: Final = (
    Figure(
        "mutants",
        "mistakes put into metering, attribution and ledger, one at a time, drawn by lot",
        at_least=90,
    ),
    Figure("mutants_killed_percent", "of those: the tests of that room fail", at_least=90),
)
MINUTES: Final = 10


def measure() -> Mapping[str, float]:
    """Raises Unavailable where the tests fail without any mistake."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "submeter_reliability.mutating", room],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "reliability")},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # each room has its part of a busy machine
        )
        for room in TESTS
    ]
    drawn = killed = 0
    for process in running:
        *survivors, last = process.communicate()[0].splitlines() or [""]
        print(*survivors, sep="\n", flush=True)
        if process.returncode:
            raise Unavailable("the tests of a room fail as it is")
        found = json.loads(last)
        drawn, killed = drawn + found["mutants"], killed + found["killed"]
    return {"mutants": drawn, "mutants_killed_percent": 100 * killed / drawn}
