"""How busy each MIG instance is: GPM where there is, the MIG device's utilisation, or nothing."""

import struct
from typing import TYPE_CHECKING

import pytest

from submeter.backends.nvml.gpm import CAPABILITY, METRICS
from submeter.errors import DeviceLost, ReadFailed
from submeter.model import InstanceActivity

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

SAMPLE = "nvmlGpmMigSampleGet"
TWO = (
    "gpu 0 arch=hopper",
    "mig 0 gi=2 slices=3 memory=40G",
    "mig 0 gi=9 slices=1 memory=10G",
    "process 0 pid=11 gi=2 ci=0 sm=80 mem=1G",
    "process 0 pid=12 gi=9 ci=0 sm=25 mem=1G",
    "process 0 pid=13 gi=9 ci=0 sm=5 mem=1G",
)


def settle(node: "Node") -> None:
    for _ in range(3):  # nvml.h: two samples must be more than 100 ms apart
        node.settle()


def later(node: "Node", device: object) -> object:
    settle(node)
    return device.instances(node.now())  # type: ignore[attr-defined]


def test_each_instance_s_own_busy_time_between_two_calls(node: "Node") -> None:
    (device,) = node.open(*TWO)
    assert device.instances(node.now()) == ()  # nothing to compare with yet
    assert later(node, device) == [
        InstanceActivity(2, 3, 800_000),
        InstanceActivity(9, 1, 300_000),
    ]
    assert device.tally.errors == {}


def test_calls_in_quick_succession_wait_for_the_counters(node: "Node") -> None:
    (device,) = node.open(*TWO)
    device.instances(node.now())
    assert device.instances(node.now()) == ()
    assert len(later(node, device) or ()) == 2  # type: ignore[arg-type]


def test_a_whole_gpu_is_not_asked(node: "Node") -> None:
    (device,) = node.open("gpu 0 arch=hopper", "process 0 pid=11 sm=50")
    assert device.instances(node.now()) is None
    assert not any(name.startswith("nvmlGpm") for name in node.world.calls())


def test_compute_instances_share_their_gpu_instance_s_counters(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0 arch=hopper",
        "mig 0 gi=2 ci=0 slices=3 compute=1 memory=40G",
        "mig 0 gi=2 ci=1 slices=3 compute=2 memory=40G",
        "process 0 pid=11 gi=2 ci=0 sm=20 mem=1G",
        "process 0 pid=12 gi=2 ci=1 sm=30 mem=1G",
    )
    device.instances(node.now())
    assert later(node, device) == [InstanceActivity(2, 3, 500_000)]
    assert {holder.mig for holder in device.holders(node.now()) or ()} == {
        "1c.3g.40gb/2",
        "2c.3g.40gb/2",
    }


def test_boards_before_hopper_have_no_such_signal_and_say_so(node: "Node") -> None:
    (device,) = node.open("gpu 0 arch=ga100", *TWO[1:])
    assert device.instances(node.now()) is None
    missing = {one.capability: one.reason for one in device.info.missing}
    assert "not_supported" in missing[CAPABILITY]
    before = node.world.calls()
    assert device.instances(node.now()) is None
    assert node.world.calls() == before  # asked once


@pytest.mark.fault("F19")
def test_the_layout_changes(node: "Node") -> None:
    (device,) = node.open(*TWO)
    device.instances(node.now())
    later(node, device)
    changed = (
        "gpu 0 arch=hopper",
        "mig 0 gi=9 slices=2 memory=20G",
        "process 0 pid=12 gi=9 ci=0 sm=40 mem=1G",
    )
    node.become(*changed)
    with pytest.raises(ReadFailed):  # instance 2 is gone, and nobody has listed them since
        later(node, device)
    assert later(node, device) == ()  # a new instance under an old number is another one
    assert later(node, device) == [InstanceActivity(9, 2, 400_000)]
    node.become("gpu 0 arch=hopper", "process 0 pid=11 sm=50 mem=1G")
    device.holders(node.now())
    assert device.instances(node.now()) is None
    node.become(*TWO)
    device.holders(node.now())
    assert device.instances(node.now()) == ()
    assert len(later(node, device) or ()) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, 137.0, float("nan"), float("inf")])
def test_nonsense_is_counted_and_not_believed(node: "Node", value: float) -> None:
    (device,) = node.open(*TWO)
    device.instances(node.now())
    (garbage,) = struct.unpack("Q", struct.pack("d", value))
    node.become(*TWO, f"fault call={METRICS} garbage={garbage}")
    with pytest.raises(ReadFailed):
        later(node, device)
    assert device.tally.errors == {(METRICS, "implausible"): 1}
    node.become(*TWO)
    assert later(node, device) == ()
    assert len(later(node, device) or ()) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("call", [SAMPLE, METRICS])
def test_half_an_answer_is_none(node: "Node", call: str) -> None:
    (device,) = node.open(*TWO)
    device.instances(node.now())
    node.become(*TWO, f"fault call={call} every=2 error=10")
    with pytest.raises(ReadFailed):
        later(node, device)
    assert device.tally.errors == {(call, "timeout"): 1}


@pytest.mark.parametrize("code", [3, 4, 13])
def test_gpm_that_is_refused_later_is_not_asked_again(node: "Node", code: int) -> None:
    (device,) = node.open(*TWO)
    device.instances(node.now())
    node.become(*TWO, f"fault call={SAMPLE} error={code}")
    assert later(node, device) is None
    before = node.world.calls()[SAMPLE]
    assert later(node, device) is None
    assert node.world.calls()[SAMPLE] == before
    assert CAPABILITY in {one.capability for one in device.info.missing}


def test_a_lost_gpu_is_lost_here_too(node: "Node") -> None:
    (device,) = node.open(*TWO)
    node.become(*TWO, "vanish gpu=0")
    with pytest.raises(DeviceLost):
        device.instances(node.now())


def test_the_driver_gets_its_buffers_back(node: "Node") -> None:
    (device,) = node.open(*TWO)
    device.instances(node.now())
    later(node, device)
    node.backend.close()
    calls = node.world.calls()
    assert calls["nvmlGpmSampleFree"] == calls["nvmlGpmSampleAlloc"] == 4
    assert node.world.offences() == {}
