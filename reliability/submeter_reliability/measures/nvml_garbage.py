"""Every NVML call × values that can't be: crashes, and joules that are off."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from submeter_reliability import _standin
from submeter_reliability.figures import Figure
from submeter_reliability.measures.nvml_faults import failures
from submeter_reliability.nvml_faults import garbage_cases

FIGURES: Final = (
    Figure(
        "nvml_garbage_cases",
        "the same where a call succeeds with nonsense: every call × eight values × in the middle,"
        " always",
        at_least=600,
    ),
    Figure("nvml_garbage_failures", "of those: as nvml_fault_failures", at_most=0),
)
MINUTES: Final = 1.5


def measure() -> Mapping[str, float]:
    """Raises Unavailable without a C compiler."""
    every = garbage_cases()
    with tempfile.TemporaryDirectory() as scratch:
        library = _standin.library(Path(scratch))
        failed = failures(library, every)
    return {"nvml_garbage_cases": len(every), "nvml_garbage_failures": failed}
