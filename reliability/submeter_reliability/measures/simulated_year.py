"""A year of a node on a fake clock, with something of every kind going wrong every day."""

from collections.abc import Mapping
from typing import Final

from submeter.cli.output import Progress
from submeter_reliability.figures import Figure
from submeter_simulator.life import live
from submeter_simulator.timeline import year

FIGURES: Final = (
    Figure("simulated_days", "days that a simulated node was metered", at_least=365),
    Figure(
        "simulated_intervals",
        "intervals that were split and booked meanwhile, all parts added up after each",
        at_least=1_000_000,
    ),
    Figure(
        "simulated_starts", "starts of the agent meanwhile: kills, power cuts, stops", at_least=365
    ),
    Figure(
        "simulated_inexact_gpus",
        "GPUs whose total in the end is not what their counter gained, to the microjoule",
        at_most=0,
    ),
)
MINUTES: Final = 70.0
SEED: Final = 1


def measure() -> Mapping[str, float]:
    """Raises Broken where anything is not as it must be, at any moment of the year."""
    timeline = year(SEED)
    with Progress("living", 365) as progress:
        found = live(timeline, lambda share: progress.update(int(365 * share)))
    return {
        "simulated_days": timeline.seconds / 86_400,
        "simulated_intervals": found.intervals,
        "simulated_starts": found.starts,
        "simulated_inexact_gpus": len(timeline.boards) - found.exact,
    }
