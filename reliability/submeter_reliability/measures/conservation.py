"""Histories of a GPU made by dice, with all that happens to counters and processes: the sum of the
parts against what the counter gained."""

import multiprocessing
import random
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from submeter_reliability import _standin
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure(
        "generated_intervals",
        "intervals of generated histories: resets, jumps, jitter, stalls, losses, gaps, pauses;"
        " 0 to 64 processes that come and go under reused PIDs",
        at_least=1_000_000,
    ),
    Figure(
        "conservation_error_uj",
        "the largest difference between a GPU's parts and what its counter gained, over all of"
        " them",
        at_most=0,
    ),
)
MINUTES: Final = 4
_WANTED: Final = 1_010_000
_WORKERS: Final = 2


def measure() -> Mapping[str, float]:
    """Another seed each time; a history that is off is printed with its own."""
    context = multiprocessing.get_context("spawn")
    seeds = [random.SystemRandom().getrandbits(64) for _ in range(_WORKERS)]
    with ProcessPoolExecutor(_WORKERS, mp_context=context) as pool:
        done = list(pool.map(_live, seeds))
    return {
        "generated_intervals": sum(intervals for intervals, _ in done),
        "conservation_error_uj": max(error_uj for _, error_uj in done),
    }


def _live(seed: int) -> tuple[int, int]:
    """Lives histories until there are enough intervals; how many, and the largest error in µJ."""
    histories = _standin.load("conservation", "tests/properties/test_conservation.py")
    rng = random.Random(seed)
    intervals = error_uj = 0
    while intervals < _WANTED // _WORKERS:
        state = rng.getrandbits(64)
        history = histories.made(state)
        history.live()
        intervals += history.turn
        off_uj = max(map(abs, history.off_uj()))
        if off_uj:
            print(f"off by {off_uj} µJ: random.Random({state})", flush=True)
        error_uj = max(error_uj, off_uj)
    return intervals, error_uj
