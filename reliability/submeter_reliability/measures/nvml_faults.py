"""Every NVML call × every return code × first, middle, always: crashes, and joules that are off."""

import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

from submeter_reliability import _standin
from submeter_reliability.figures import Figure
from submeter_reliability.nvml_faults import Bench, Case, cases, environment

FIGURES: Final = (
    Figure(
        "nvml_fault_cases",
        "lives of 24 s on the stand-in library, each with one fault: every call that submeter"
        " makes × every return code × the first time, in the middle, always",
        at_least=2_325,
    ),
    Figure(
        "nvml_fault_failures",
        "of those: crashes, sums that don't add up, joules of a GPU that aren't the truth to the"
        " µJ although the fault has passed or is another GPU's",
        at_most=0,
    ),
)
MINUTES: Final = 4
_WORKERS: Final = 2
_PIECES: Final = 24


def measure() -> Mapping[str, float]:
    """Raises Unavailable without a C compiler."""
    every = cases()
    with tempfile.TemporaryDirectory() as scratch:
        library = _standin.library(Path(scratch))
        pieces = [every[number::_PIECES] for number in range(_PIECES)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(_WORKERS, mp_context=context) as pool:
            try:
                failed = sum(pool.map(failures, [library] * _PIECES, pieces))
            except BrokenProcessPool:  # died of a signal: so all count as failed
                failed = len(every)
    return {"nvml_fault_cases": len(every), "nvml_fault_failures": failed}


def failures(library: Path, some: Sequence[Case]) -> int:
    """How many of these cases don't end well; they are printed."""
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(library, Path(scratch))
        with environment(bench.environment):
            for case in some:
                try:
                    wrong: Sequence[str] = bench.run(case).wrong
                except Exception as error:  # noqa: BLE001  whatever escapes is the finding
                    wrong = [repr(error)]
                if wrong:
                    failed += 1
                    print(*case, *wrong, sep="; ", flush=True)
    return failed
