"""A budget that the boards exceed by doing nothing is doubted, once that is known."""

from dataclasses import replace

import pytest

from submeter.config import Config, load
from submeter.config.layers import Override
from submeter.model import Floors, Snapshot
from submeter.runtime.budget import BudgetWatch
from submeter.runtime.renewal import refusal
from submeter.testing.snapshots import empty, node


def configured(watts: int) -> Config:
    override = Override("node.power_budget_watts", str(watts))
    return load(None, [override, Override("backend", '"mock"')], {"HOME": "/root"})


def with_floors(*idle_mw: int) -> Snapshot:
    snapshot = node()
    gpus = [replace(gpu, floors=Floors(mw)) for gpu, mw in zip(snapshot.gpus, idle_mw, strict=True)]
    return replace(snapshot, gpus=tuple(gpus))


def test_it_is_looked_at_now_and_then_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[None] = []

    def snapshot() -> Snapshot:
        asked.append(None)
        return with_floors(70_000, 71_000)

    watch = BudgetWatch(100_000)
    for _ in range(300):
        watch.look(snapshot)
    assert len(asked) == 1  # a snapshot costs something
    assert caplog.text.count("nothing would ever be left") == 1
    without = BudgetWatch(None)
    for _ in range(300):
        without.look(snapshot)
    assert len(asked) == 1


def test_a_reload_refuses_what_is_known_to_be_wrong_by_now() -> None:
    def reload(watts: int) -> str:
        config = configured(watts)
        return refusal(lambda: config, with_floors(70_000, 71_000))

    assert "node.power_budget_watts is 140 W, but the 2 GPUs draw 141 W" in reload(140)
    assert reload(141) == ""
    config = configured(1)
    assert refusal(lambda: config, empty()) == refusal(lambda: config, None) == ""
