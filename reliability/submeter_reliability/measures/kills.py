"""A ledger killed again and again, against a counter that is a function of time alone."""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from submeter.testing.memory import IN_MEMORY
from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure("kills", "kill -9 of a ledger at work, at random instants", at_least=1_000),
    Figure("kills_lost_uj", "what three GPUs' totals lack afterwards, in µJ", at_most=0),
    Figure("kills_doubled_uj", "what they have too much", at_most=0),
)
MINUTES: Final = 3
_KILLS: Final = 1_000


def measure() -> Mapping[str, float]:
    """Raises CalledProcessError where the loop itself finds something wrong on its way."""
    seed = random.SystemRandom().getrandbits(32)
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as scratch:
        done = subprocess.run(
            [sys.executable, ROOT / "tests/e2e/kill_loop.py", scratch, str(_KILLS), str(seed)],
            stdout=subprocess.PIPE,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result["problem"], result["problem"]
    off_uj: list[int] = result["off_uj"]
    return {
        "kills": result["kills"],
        "kills_lost_uj": sum(max(0, -off) for off in off_uj),
        "kills_doubled_uj": sum(max(0, off) for off in off_uj),
    }
