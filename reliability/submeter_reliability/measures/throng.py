"""Ten thousand processes on eight GPUs: sums, and what a second and a scrape of it cost."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure(
        "throng_processes",
        "processes that hold eight simulated GPUs, with a /proc of files, for a minute",
        at_least=10_000,
    ),
    Figure("throng_off_uj", "how far a GPU's parts are from its counter, at worst", at_most=0),
    Figure(
        "throng_second_ms",
        "processor time for a second of it, a snapshot included, once each was looked at",
        at_most=500,
    ),
    Figure("throng_scrape_ms", "… and for a scrape of a new snapshot, at worst", at_most=250),
    Figure("throng_resident_mib", "memory of the process that does it", at_most=64),
)
MINUTES: Final = 1.0


def measure() -> Mapping[str, float]:
    """In a process of its own, for the memory."""
    done = subprocess.run(
        [sys.executable, "-m", "submeter_reliability.throng"],
        cwd=ROOT / "reliability",
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
