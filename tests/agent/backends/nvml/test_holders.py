"""Who holds a GPU, from the driver's three lists."""

from typing import TYPE_CHECKING

import pytest

from submeter.errors import DeviceLost, ReadFailed
from submeter.model import Holder

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

GIB = 1 << 30
COMPUTE = "nvmlDeviceGetComputeRunningProcesses"
GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses"
MPS = "nvmlDeviceGetMPSComputeRunningProcesses"


def test_each_process_once_whatever_lists_it_is_in(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0",
        "process 0 pid=11 mem=1G type=compute",
        "process 0 pid=12 mem=2G type=graphics",
        "process 0 pid=13 mem=3G type=compute+graphics",
        "process 0 pid=14 mem=none type=compute+mps",
    )
    holders = device.holders(node.now())
    assert holders is not None
    assert set(holders) == {
        Holder(11, "compute", 1 * GIB),
        Holder(12, "graphics", 2 * GIB),
        Holder(13, "compute", 3 * GIB),
        Holder(14, "mps", None),
    }
    assert len(holders) == 4


def test_nobody_is_an_empty_list(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    assert device.holders(node.now()) == ()


def test_one_call_a_list(node: "Node") -> None:
    (device,) = node.open("gpu 0", *(f"process 0 pid={pid} mem=1M" for pid in range(100, 150)))
    before = node.world.calls()
    holders = device.holders(node.now())
    assert holders is not None
    assert len(holders) == 50
    after = node.world.calls()
    for name in (COMPUTE, GRAPHICS, MPS):
        assert after[f"{name}_v3"] - before[f"{name}_v3"] == 1


@pytest.mark.fault("F24")
def test_the_buffer_grows_with_the_list(node: "Node") -> None:
    pids = range(1_000, 1_000 + 300)
    (device,) = node.open("gpu 0", *(f"process 0 pid={pid} mem=1M" for pid in pids))
    holders = device.holders(node.now())
    assert holders is not None
    assert sorted(holder.pid for holder in holders) == list(pids)


@pytest.mark.fault("F24")
def test_a_list_that_outgrows_its_buffer_leaves_the_last_one(node: "Node") -> None:
    script = ("gpu 0", "process 0 pid=11 mem=1G")
    (device,) = node.open(*script)
    held = device.holders(node.now())
    node.become(*script, f"fault call={COMPUTE}_v3 error=7")
    before = node.world.calls()[f"{COMPUTE}_v3"]
    assert device.holders(node.now()) == held
    assert node.world.calls()[f"{COMPUTE}_v3"] - before == 5
    assert device.tally.errors == {(COMPUTE, "insufficient_size"): 1}


def test_half_a_list_is_no_list(node: "Node") -> None:
    script = ("gpu 0", "process 0 pid=11 mem=1G", "process 0 pid=12 mem=1G type=graphics")
    (device,) = node.open(*script)
    node.become(*script, f"fault call={GRAPHICS}_v3 error=999")
    with pytest.raises(ReadFailed):
        device.holders(node.now())
    node.become(*script)
    assert len(device.holders(node.now()) or ()) == 2


def test_a_lost_gpu_is_lost_here_too(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    node.become("gpu 0", "vanish gpu=0")
    with pytest.raises(DeviceLost) as caught:
        device.holders(node.now())
    assert caught.value.reason == "gpu_is_lost"


@pytest.mark.parametrize(("code", "word"), [(3, "not_supported"), (4, "no_permission")])
def test_a_refused_list_is_unknown_and_not_asked_for_again(
    node: "Node", code: int, word: str
) -> None:
    (device,) = node.open("gpu 0", f"fault call={COMPUTE}_v3 error={code}")
    reasons = {missing.capability: missing.reason for missing in device.info.missing}
    assert word in reasons["compute processes"]
    before = node.world.calls()
    assert device.holders(node.now()) is None
    assert node.world.calls()[f"{COMPUTE}_v3"] == before[f"{COMPUTE}_v3"]


def test_permission_that_is_withdrawn_later_is_told(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    told = [list(device.info.missing)]
    node.become("gpu 0", f"fault call={COMPUTE}_v3 error=4")
    assert device.holders(node.now()) is None
    told.append(list(device.info.missing))
    assert [[missing.capability for missing in each] for each in told] == [
        [],
        ["compute processes"],
    ]


def test_a_board_without_the_lesser_lists_still_has_holders(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0",
        "process 0 pid=11 mem=1G",
        f"fault call={MPS}_v3 error=3",
        f"fault call={GRAPHICS}_v3 error=3",
    )
    assert device.holders(node.now()) == (Holder(11, "compute", GIB),)
    assert {missing.capability for missing in device.info.missing} == {
        "mps processes",
        "graphics processes",
    }


@pytest.mark.parametrize("pid", [0, 4_194_305, 0xFFFFFFFF])
def test_made_up_processes_are_left_out(node: "Node", pid: int) -> None:
    (device,) = node.open("gpu 0", "process 0 pid=11 mem=1G", f"process 0 pid={pid} mem=1G")
    assert device.holders(node.now()) == (Holder(11, "compute", GIB),)
    assert (COMPUTE, "implausible") in device.tally.errors


@pytest.mark.fault("F26")
@pytest.mark.parametrize("garbage", [0xFFFFFFFFFFFFFFFF, 9223372036854775794, 2**63])
def test_memory_that_is_not_known_is_none(node: "Node", garbage: int) -> None:
    script = ("gpu 0", "process 0 pid=11 mem=1G")
    (device,) = node.open(*script, f"fault call={COMPUTE}_v3 garbage={garbage}")
    assert device.holders(node.now()) == (Holder(11, "compute", None),)


def test_partitioned_holders_know_their_instance(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0 arch=ga100",
        "mig 0 gi=7 ci=0 slices=1 memory=10G",
        "mig 0 gi=9 ci=0 slices=3 memory=40G",
        "process 0 pid=11 mem=1G gi=7 ci=0",
        "process 0 pid=12 mem=2G gi=9 ci=0",
        "process 0 pid=11 mem=1G gi=9 ci=0",
    )
    assert device.info.mig
    holders = device.holders(node.now())
    assert holders is not None
    found = {(holder.pid, holder.gpu_instance, holder.compute_instance) for holder in holders}
    assert found == {(11, 7, 0), (12, 9, 0), (11, 9, 0)}
    assert all(holder.mig.endswith(f"/{holder.gpu_instance}") for holder in holders)
    assert all(holder.mig[0].isdigit() for holder in holders)


@pytest.mark.fault("F19")
def test_a_layout_that_changes_is_seen(node: "Node") -> None:
    whole = ("gpu 0 arch=ga100", "process 0 pid=11 mem=1G")
    (device,) = node.open(*whole)
    partitioned = [device.info.mig]
    node.become(
        "gpu 0 arch=ga100",
        "mig 0 gi=7 ci=0 slices=1 memory=10G",
        "process 0 pid=11 mem=1G gi=7 ci=0",
    )
    (holder,) = device.holders(node.now()) or ()
    partitioned.append(device.info.mig)
    assert holder.gpu_instance == 7
    node.become(*whole)
    (holder,) = device.holders(node.now()) or ()
    partitioned.append(device.info.mig)
    assert holder.gpu_instance is None
    assert partitioned == [False, True, False]


def test_what_a_partitioned_gpu_refuses_is_asked_again_of_a_whole_one(node: "Node") -> None:
    (device,) = node.open("gpu 0 arch=ga100", "mig 0 gi=7 ci=0 slices=1 memory=10G")
    refused = {missing.capability for missing in device.info.missing}
    assert {"utilisation", "process utilisation"} <= refused
    assert device.activity(node.now()).utilization_percent is None
    node.become("gpu 0 arch=ga100")
    device.holders(node.now())
    assert [missing.capability for missing in device.info.missing] == ["average power"]
    assert device.activity(node.now()).utilization_percent == 0
    assert device.utilisation(node.now()) == ()


def test_instances_that_may_not_be_listed_make_the_holders_unknown(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0 arch=ga100",
        "mig 0 gi=7 ci=0 slices=1 memory=10G",
        "process 0 pid=11 mem=1G gi=7 ci=0",
        "fault call=nvmlDeviceGetMigDeviceHandleByIndex error=4",
    )
    assert device.holders(node.now()) is None


def test_an_instance_that_fails_makes_the_list_fail(node: "Node") -> None:
    script = (
        "gpu 0 arch=ga100",
        "mig 0 gi=7 ci=0 slices=1 memory=10G",
        "process 0 pid=11 mem=1G gi=7 ci=0",
    )
    (device,) = node.open(*script)
    node.become(*script, "fault call=nvmlDeviceGetGpuInstanceId error=999")
    with pytest.raises(ReadFailed):
        device.holders(node.now())
