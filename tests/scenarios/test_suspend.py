"""A machine that sleeps: what the counter counted is booked once, what nobody saw is nobody's."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.model import Phase, UnmeteredReason
from submeter.units import NS_PER_S

pytestmark = pytest.mark.hostile

HOUR_S = 3_600

NODE = """
[[gpu]]
model = "V100"
energy_counter = {counter}

[[process]]
name = "train.py"
gpu = 0
pid = 100
argv = ["python", "train.py"]
memory_gib = 4
utilisation = 0.9
character = "tensor"
"""


@pytest.mark.fault("F51")
def test_a_counter_that_went_on_is_booked_once_and_to_nobody(world: Callable[..., Any]) -> None:
    node = world(NODE.format(counter="true"))
    node.run_for(30)
    before = node.snapshots[-1]
    node.clock.suspend(HOUR_S * NS_PER_S)
    node.run_for(30)
    last = node.simulation.finish()
    (gpu,) = last.gpus
    truth_uj = node.truth()[gpu.info.uuid]["energy_uj"]
    assert gpu.energy_uj == pytest.approx(truth_uj, rel=0.001)
    gained_uj = gpu.energy_uj - before.gpus[0].energy_uj
    nobodys_uj = sum(
        energy_uj
        for account, energy_uj in last.energy_uj.items()
        if account.owner.phase is Phase.UNATTRIBUTED
    )
    assert nobodys_uj > 0.9 * gained_uj


@pytest.mark.fault("F51")
def test_without_a_counter_it_is_time_that_was_not_metered(world: Callable[..., Any]) -> None:
    node = world(NODE.format(counter="false"))
    node.run_for(30)
    before_uj = node.snapshots[-1].gpus[0].energy_uj
    node.clock.suspend(HOUR_S * NS_PER_S)
    node.run_for(30)
    (gpu,) = node.simulation.finish().gpus
    assert gpu.energy_uj < 2.5 * before_uj
    assert dict(gpu.unmetered_ns)[UnmeteredReason.GAP] == pytest.approx(HOUR_S * NS_PER_S, rel=0.01)
