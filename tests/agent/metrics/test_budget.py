"""A budget is held against what the boards are known to draw doing nothing."""

from dataclasses import replace

import pytest

from submeter.metrics.budget import doubt
from submeter.model import Floors
from submeter.testing.snapshots import node


@pytest.mark.parametrize(
    ("idle_mw", "budget_mw", "said"),
    [
        ((70_000, 71_000), 100_000, "is 100 W, but the 2 GPUs draw 141 W doing nothing"),
        ((70_000, 71_000), 140_999, "is 140.999 W, but the 2 GPUs draw 141 W"),
        ((70_000, 0), 60_000, "is 60 W, but 1 of the 2 GPUs draws 70 W"),  # and that is enough
        ((70_000,), 60_000, "is 60 W, but the GPU draws 70 W"),
        ((70_000, 71_000), 141_000, ""),
        ((70_000, 71_000), None, ""),
        ((70_000, 0), 100_000, ""),  # not learnt of one
        ((), 100_000, ""),
    ],
)
def test_a_budget_is_doubted_as_soon_as_it_is_known_to_be_too_small(
    idle_mw: tuple[int, ...], budget_mw: int | None, said: str
) -> None:
    gpus = [replace(gpu, floors=Floors(mw)) for gpu, mw in zip(node().gpus, idle_mw, strict=False)]
    found = doubt(budget_mw, gpus)
    assert said in found
    assert bool(found) == bool(said)
