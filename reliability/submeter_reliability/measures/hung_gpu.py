"""One GPU of four hangs in the driver for ever: scrapes, the other GPUs' joules, the end."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from submeter_reliability import _standin
from submeter_reliability.figures import Figure
from submeter_reliability.hangs import hung_gpu

FIGURES: Final = (
    Figure(
        "hung_gpu_scrape_p99_ms",
        "a scrape of /metrics, some hundred of them, each on a new connection, while a call to one"
        " GPU of four never returns",
        at_most=50,
    ),
    Figure(
        "hung_gpu_others_off_uj",
        "the largest difference of another GPU's joules from what it drew meanwhile",
        at_most=0,
    ),
)
MINUTES: Final = 0.5


def measure() -> Mapping[str, float]:
    """Raises Unavailable without a C compiler."""
    with tempfile.TemporaryDirectory() as scratch:
        library = _standin.library(Path(scratch) / "library")
        found = hung_gpu(library, Path(scratch))
    assert found.seen, "the hung GPU was not shown as down"
    return {
        "hung_gpu_scrape_p99_ms": found.p99_ms,
        "hung_gpu_others_off_uj": found.off_uj,
    }
