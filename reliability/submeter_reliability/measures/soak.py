"""The agent for an hour among churn, clients and faults: memory, descriptors, sums."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from submeter_reliability.soak import result
from submeter_reliability.soak.running import soak

FIGURES: Final = result.FIGURES
MINUTES: Final = 62.0


def measure() -> Mapping[str, float]:
    """Raises Unavailable without a C compiler, SoakFailed where the agent does not last."""
    with tempfile.TemporaryDirectory(prefix="submeter-soak-") as folder:
        return result.values(soak(Path(folder), result.Plan(MINUTES)))
