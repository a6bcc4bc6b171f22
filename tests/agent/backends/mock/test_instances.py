"""How busy each MIG instance of a simulated board is."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.errors import ReadFailed
from submeter.model import InstanceActivity

MIG = """
[[gpu]]
model = "{model}"
mig = ["3g.40gb", "2g.20gb", "1g.10gb"]
[[process]]
name = "a"
gpu = 0
pid = 10
mig_instance = 0
watts = 200
utilisation = 0.5
[[process]]
name = "b"
gpu = 0
pid = 20
mig_instance = 2
watts = 60
utilisation = 1.0
end_s = 10
"""


def test_of_its_own_slices_and_since_the_call_before(node: Callable[[str], Any]) -> None:
    world = node(MIG.format(model="H100"))
    (device,) = world.devices
    assert device.instances(world.run(1)) == ()
    first = device.instances(world.run(4))
    assert [(one.slices, one.sm_ppm) for one in first] == [
        (3, pytest.approx(500_000, abs=20)),
        (2, 0),
        (1, pytest.approx(1_000_000, abs=20)),
    ]
    assert len({one.gpu_instance for one in first}) == 3
    second = device.instances(world.run(10))
    assert second[2].sm_ppm == pytest.approx(500_000, abs=20)  # b was there half of the time
    assert device.instances(world.run(0.05)) == ()


def test_boards_without_such_counters(node: Callable[[str], Any]) -> None:
    world = node(MIG.format(model="A100"))
    assert world.devices[0].instances(world.run(1)) is None


def test_a_fault(node: Callable[[str], Any]) -> None:
    fault = '[[fault]]\ngpu = 0\nkind = "error"\ncall = "instances"\ncode = 10\nfrom_s=1\nto_s=2\n'
    world = node(MIG.format(model="H100") + fault)
    (device,) = world.devices
    device.instances(world.run(0.5))
    with pytest.raises(ReadFailed):
        device.instances(world.run(1))
    assert device.tally.errors == {("nvmlGpmMetricsGet", "timeout"): 1}
    found = device.instances(world.run(1))
    assert isinstance(found[0], InstanceActivity)
