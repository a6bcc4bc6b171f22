"""All GPUs of a node when the driver goes and comes back."""

from pathlib import Path

import pytest

from submeter.backends import load
from submeter.clock import FakeClock
from submeter.errors import DriverUnavailable
from submeter.sampling.jobs import run_until
from submeter.sampling.node import Node
from submeter.units import NS_PER_S

SCENARIO = """
[[gpu]]
model = "H100"
count = 2
[[fault]]
kind = "driver_unavailable"
from_s = 5
to_s = 8
[[fault]]
kind = "vanish"
gpu = 1
from_s = 4
to_s = 20
"""


@pytest.mark.fault("F4", "F21")
def test_a_gpu_that_is_still_gone_when_the_driver_is_back_is_looked_for(tmp_path: Path) -> None:
    """It fell with the driver, and wasn't there when that was opened again."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(SCENARIO)
    clock = FakeClock()
    gone: list[DriverUnavailable] = []
    node = Node(
        load("mock", clock, {"scenario": scenario}),
        clock,
        period_ns=NS_PER_S // 10,
        settle_ns=NS_PER_S,
        on_driver_error=gone.append,
    )
    node.open()
    begun_ns = clock.boottime_ns()
    jobs, _ = node.jobs()
    run_until(clock, jobs, begun_ns + 6 * NS_PER_S)
    assert gone
    node.close()
    clock.sleep_until(begun_ns + 9 * NS_PER_S)
    node.open()
    jobs, _ = node.jobs()
    assert [watch.up for watch in node.watches()] == [True, False]
    run_until(clock, jobs, begun_ns + 90 * NS_PER_S)
    assert [watch.up for watch in node.watches()] == [True, True]
