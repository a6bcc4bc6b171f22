"""What a soak saw in; its figures against their bounds out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter_reliability.figures import Figure
from submeter_reliability.soak.watch import Sample, Slope, slope
from submeter_reliability.soak.world import GPUS

WARM_UP: Final = 0.25
"""Of the time: by then every cache is as full as it gets, and the cap on series is reached."""


class Plan(NamedTuple):
    """What a soak is to be."""

    minutes: float = 60
    jobs: int = 200  # processes on the boards
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Started:
    """What the soak was made of."""

    quiet: Sample  # the agent before anybody came
    minutes: float
    jobs: int
    processes: int  # that there were, one after the other
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the agent ended, and what its ledger says."""

    code: int
    took_s: float
    metered_j: str
    ledger_ok: bool
    ledger_j: list[str]
    ledger_rows: int
    ledger_mib: float
    log_lines: int
    estimates_given_up: int


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was seen."""

    samples: list[Sample]
    started: Started
    after: Sample  # when all clients had left
    crowd: dict[str, int]
    wrong_sums: list[str]
    error_j: dict[int, float]  # by GPU, of those whose truth is known
    ending: Ending

    @property
    def warm(self) -> list[Sample]:
        """The samples after the warm-up."""
        return [one for one in self.samples if one.at_s >= self.started.minutes * 60 * WARM_UP]

    @property
    def slope(self) -> Slope:
        """How fast the memory grows after the warm-up."""
        return slope(self.warm)

    def told(self) -> dict[str, Any]:
        """For machines."""
        told = {key: value for key, value in asdict(self).items() if key != "samples"}
        return told | {"slope": self.slope._asdict(), "figures": values(self)}


FIGURES: Final = (
    Figure("soak_minutes", "how long the soak was", at_least=60),
    Figure("soak_slope_mib_per_hour", "growth of the memory after the warm-up", at_most=1),
    Figure("soak_resident_mib", "the most memory at any moment", at_most=64),
    Figure("soak_fds_left_over", "descriptors more at the end than at the beginning", at_most=0),
    Figure(
        "soak_threads",
        "the most threads at any moment more than at the beginning: each GPU whose call hangs "
        "has two of its own, until none has been slow for ten minutes",
        at_most=2 * GPUS,
    ),
    Figure("soak_fds", "the most open descriptors at any moment", at_most=64),
    Figure("soak_scrapes_with_wrong_sums", "scrapes whose parts aren't the total", at_most=0),
    Figure("soak_ledger_differs_uj", "the ledger less what was metered", at_most=0),
    Figure("soak_ledger_problems", "what `submeter verify` finds", at_most=0),
    Figure("soak_counter_differs_j", "GPUs' joules less what they drew, at worst", at_most=140),
    Figure("soak_estimates_given_up", "learnt weights that ended in nonsense", at_most=0),
    Figure("soak_end_s", "from SIGTERM to the end", at_most=5),
)


def values(result: Result) -> dict[str, float]:
    """A value for each figure."""
    ending, quiet = result.ending, result.started.quiet
    booked = sum(map(Decimal, ending.ledger_j), Decimal(0))
    return {
        "soak_minutes": result.after.at_s / 60,
        "soak_slope_mib_per_hour": result.slope.mib_per_hour,
        "soak_resident_mib": max(one.resident_mib for one in result.samples),
        "soak_fds_left_over": result.after.descriptors - quiet.descriptors,
        "soak_threads": max(one.threads for one in result.samples) - quiet.threads,
        "soak_fds": max(one.descriptors for one in result.samples),
        "soak_scrapes_with_wrong_sums": len(result.wrong_sums),
        "soak_ledger_differs_uj": float(abs(booked - Decimal(ending.metered_j or 0)) * 10**6),
        "soak_ledger_problems": 0 if ending.ledger_ok else 1,
        "soak_counter_differs_j": max(map(abs, result.error_j.values())),
        "soak_estimates_given_up": ending.estimates_given_up,
        "soak_end_s": ending.took_s,
    }


def save_samples(path: Path, samples: Sequence[Sample]) -> None:
    """A CSV file with a line for each sample."""
    rows = [",".join(Sample._fields), *(",".join(f"{value:g}" for value in one) for one in samples)]
    path.write_text("\n".join(rows) + "\n")
