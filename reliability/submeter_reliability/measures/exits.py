"""SIGTERM while each call into the driver hangs, or all of them give each code: until it ended."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from submeter.backends.nvml.calls import ALLOWED_CALLS
from submeter.backends.nvml.codes import CODES
from submeter_reliability import _standin
from submeter_reliability.figures import Figure
from submeter_reliability.hangs import Exit, exit_under, exit_while_all_fail

_CALLS: Final = sorted(call for call in ALLOWED_CALLS if not call.endswith("Processes_v2"))
"""Those are asked of older libraries only."""

FIGURES: Final = (
    Figure(
        "exit_faults",
        "agents ended by SIGTERM: while a call never returns, for each call; while all calls give"
        " an error, for each code",
        at_least=len(_CALLS) + len(CODES),
    ),
    Figure("exit_slowest_s", "the longest that one of them took to end, in seconds", at_most=5),
)
MINUTES: Final = 6
_SLOW_S: Final = 3.0


def measure() -> Mapping[str, float]:
    """Raises Unavailable without a C compiler."""
    with tempfile.TemporaryDirectory() as scratch:
        library = _standin.library(Path(scratch))
        seconds = list(_exits(library))
    return {"exit_faults": len(seconds), "exit_slowest_s": max(seconds)}


def _exits(library: Path) -> Iterator[float]:
    for call in _CALLS:
        with tempfile.TemporaryDirectory() as scratch:
            yield _told(exit_under(library, Path(scratch), call))
    for code in sorted(CODES):
        with tempfile.TemporaryDirectory() as scratch:
            yield _told(exit_while_all_fail(library, Path(scratch), code))


def _told(ended: Exit) -> float:
    """Its seconds; what is odd about it goes to stderr."""
    if ended.seconds > _SLOW_S or not ended.made:
        print(*ended, sep="; ", file=sys.stderr)
    return ended.seconds
