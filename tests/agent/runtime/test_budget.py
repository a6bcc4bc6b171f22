"""A budget that the boards exceed by doing nothing is doubted, once that is known."""

from dataclasses import replace

import pytest

from submeter.model import Floors, Snapshot
from submeter.runtime.budget import BudgetWatch, doubt
from submeter.testing.snapshots import empty, node


def with_floors(*idle_mw: int, budget_mw: int | None = 100_000) -> Snapshot:
    snapshot = node()
    gpus = [replace(gpu, floors=Floors(mw)) for gpu, mw in zip(snapshot.gpus, idle_mw, strict=True)]
    return replace(snapshot, gpus=tuple(gpus), power_budget_mw=budget_mw)


def test_a_budget_below_the_idle_draw_is_doubted() -> None:
    assert doubt(with_floors(70_000, 71_000)) == (
        "node.power_budget_watts is 100 W, and the 2 GPUs draw 141 W doing nothing: headroom will "
        "always be negative"
    )


@pytest.mark.parametrize(
    "snapshot",
    [
        empty(),
        with_floors(70_000, 71_000, budget_mw=None),
        with_floors(70_000, 71_000, budget_mw=141_000),
        with_floors(170_000, 0),  # not learnt of one
    ],
)
def test_what_is_not_known_or_not_wrong_is_no_doubt(snapshot: Snapshot) -> None:
    assert doubt(snapshot) == ""


def test_it_is_looked_at_now_and_then_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[None] = []

    def snapshot() -> Snapshot:
        asked.append(None)
        return with_floors(70_000, 71_000)

    watch = BudgetWatch(100_000)
    for _ in range(300):
        watch.look(snapshot)
    assert len(asked) == 1  # a snapshot costs something
    assert caplog.text.count("headroom will always be negative") == 1
    without = BudgetWatch(None)
    for _ in range(300):
        without.look(snapshot)
    assert len(asked) == 1
