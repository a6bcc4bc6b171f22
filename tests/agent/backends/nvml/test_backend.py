"""Finding GPUs, losing them, finding them again, and letting those that sleep sleep."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from submeter.backends import load
from submeter.backends.nvml import create
from submeter.clock import SystemClock
from submeter.errors import DeviceLost, DriverUnavailable, InputError
from submeter.model import Activity, Gauges
from submeter.units import NS_PER_S

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

FOUR = ("gpu 0", "gpu 1", "gpu 2", "gpu 3")


def uuid(number: int) -> str:
    return f"GPU-00000000-0000-4000-8000-{number:012d}"


def device_file(sysfs: Path, address: str, status: str, control: str = "auto") -> Path:
    place = sysfs / "bus/pci/devices" / address
    (place / "power").mkdir(parents=True, exist_ok=True)
    (place / "power/runtime_status").write_text(f"{status}\n")
    (place / "power/control").write_text(f"{control}\n")
    (place / "vendor").write_text("0x10de\n")
    (place / "class").write_text("0x030200\n")
    return place / "power/runtime_status"


def test_every_gpu_by_uuid_with_its_particulars(node: "Node") -> None:
    devices = node.open(
        "driver 580.95.05",
        'gpu 0 name="NVIDIA H200" arch=hopper pci=00000000:1B:00.0 max_limit_mw=700000',
        'gpu 1 name="NVIDIA L40S" arch=ada uuid=GPU-other',
    )
    first, second = (device.info for device in devices)
    assert (first.uuid, first.index, first.name) == (uuid(0), 0, "NVIDIA H200")
    assert (first.driver, first.pci_bus_id) == ("580.95.05", "00000000:1B:00.0")
    assert (first.arch, second.arch) == ("hopper", "ada")
    assert (first.power_limit_max_mw, first.mig, first.scope) == (700_000, False, "gpu")
    assert not first.refresh_measured
    assert (second.uuid, second.index) == ("GPU-other", 1)


@pytest.mark.fault("F9")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", ["nvmlDeviceGetCount_v2", "nvmlDeviceGetMaxMigDeviceCount"])
def test_a_count_that_can_not_be_does_not_keep_it_busy_for_ever(node: "Node", call: str) -> None:
    world = ["gpu 0", "mig 0 gi=7 ci=0 slices=1 memory=10G", "gpu 1"]
    devices = node.open(*world, f"fault call={call} garbage=4294967295")
    assert len(devices) == 2
    assert devices[0].holders(node.now()) is not None


@pytest.mark.fault("F20")
def test_without_an_index_its_place_is_the_label(node: "Node") -> None:
    """Two GPUs under one number would be one to whoever sums by it."""
    devices = node.open("gpu 0", "gpu 1", "fault call=nvmlDeviceGetIndex error=13")
    assert [device.info.index for device in devices] == [0, 1]
    again = node.backend.reopen(devices[1].info.uuid)
    assert again.info.index == 1


@pytest.mark.fault("F20")
def test_the_index_is_only_a_label(node: "Node") -> None:
    before = {device.info.uuid: device.info.index for device in node.open("gpu 0", "gpu 1")}
    after = {
        device.info.uuid: device.info.index
        for device in node.open("gpu 0 index=1", "gpu 1 index=0")
    }
    assert before == {uuid(0): 0, uuid(1): 1}
    assert after == {uuid(0): 1, uuid(1): 0}


@pytest.mark.parametrize("code", [4, 8, 11, 15, 17, 19, 999])
def test_a_gpu_that_cannot_be_opened_leaves_the_others(node: "Node", code: int) -> None:
    fault = f"fault call=nvmlDeviceGetUUID gpu=2 error={code}"
    devices = node.open(*FOUR, fault)
    assert [device.info.index for device in devices] == [0, 1, 3]
    (unopened,) = node.backend.unopened
    assert unopened.gpu == "GPU 2"
    assert unopened.reason
    node.become(*FOUR)
    (found,) = node.backend.rescan()
    assert found.info.index == 2
    assert node.backend.unopened == ()
    assert node.backend.rescan() == []


@pytest.mark.fault("F4")
def test_a_lost_gpu_leaves_the_others_and_comes_back(node: "Node") -> None:
    devices = node.open(*FOUR)
    node.become(*FOUR, "vanish gpu=1")
    for device in devices:
        if device.info.index != 1:
            assert device.readings(node.now())
    with pytest.raises(DeviceLost) as lost:
        devices[1].readings(node.now())
    assert lost.value.reason == "gpu_is_lost"
    with pytest.raises(DeviceLost):
        node.backend.reopen(uuid(1))
    node.become(*FOUR)
    again = node.backend.reopen(uuid(1))
    assert again.readings(node.now())
    assert again.info.uuid == uuid(1)
    calls = node.world.calls()
    assert calls["nvmlInitWithFlags"] - calls["nvmlShutdown"] == 1


def test_what_calls_have_cost_goes_on_when_a_gpu_is_opened_again(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    device.readings(node.now())
    assert node.backend.reopen(uuid(0)).tally is device.tally
    node.backend.close()
    (device_again,) = node.open("gpu 0")
    assert device_again.tally is device.tally


def test_a_gpu_that_was_never_there_is_lost(node: "Node") -> None:
    node.open("gpu 0")
    with pytest.raises(DeviceLost):
        node.backend.reopen("GPU-nobody")


def test_when_the_driver_goes_reopening_says_so(node: "Node") -> None:
    node.open("gpu 0")
    node.become("gpu 0", "fault call=nvmlDeviceGetHandleByUUID error=9")
    with pytest.raises(DriverUnavailable) as gone:
        node.backend.reopen(uuid(0))
    assert gone.value.reason == "driver_not_loaded"


def test_closed_it_opens_nothing(node: "Node") -> None:
    with pytest.raises(DriverUnavailable):
        node.backend.reopen(uuid(0))
    with pytest.raises(DriverUnavailable):
        node.backend.rescan()


def test_sleeping_gpus_are_not_touched_when_opening(node: "Node") -> None:
    device_file(node.sysfs, "0000:1b:00.0", "active")
    asleep = device_file(node.sysfs, "0000:1c:00.0", "suspended")
    script = ("gpu 0 pci=00000000:1B:00.0", "gpu 1 pci=00000000:1C:00.0")
    devices = node.open(*script, "fault call=* gpu=1 segv=1")
    assert [device.info.uuid for device in devices] == [uuid(0)]
    assert [(gpu.gpu, gpu.code) for gpu in node.backend.unopened] == [("0000:1c:00.0", "suspended")]
    asleep.write_text("active\n")
    node.become(*script)
    assert [device.info.uuid for device in node.backend.rescan()] == [uuid(1)]


def test_where_all_sleep_the_driver_is_not_touched(node: "Node") -> None:
    device_file(node.sysfs, "0000:1b:00.0", "suspended")
    with pytest.raises(DriverUnavailable) as unavailable:
        node.open("gpu 0")
    assert "suspended" in str(unavailable.value)
    assert node.world.calls() == {}


def test_a_gpu_that_falls_asleep_is_left_alone(node: "Node") -> None:
    status = device_file(node.sysfs, "0000:1b:00.0", "active")
    (device,) = node.open("gpu 0 pci=00000000:1B:00.0", "process 0 pid=11 mem=1G")
    held = device.holders(1 * NS_PER_S)
    assert device.readings(1 * NS_PER_S)
    status.write_text("suspended\n")
    before = node.world.calls()
    assert device.readings(2 * NS_PER_S) == ()
    assert device.activity(2 * NS_PER_S) == Activity(2 * NS_PER_S)
    assert device.gauges(2 * NS_PER_S) == Gauges(2 * NS_PER_S)
    assert device.holders(2 * NS_PER_S) == held
    assert device.utilisation(2 * NS_PER_S) == ()
    with pytest.raises(DeviceLost) as asleep:
        node.backend.reopen(uuid(0))
    assert asleep.value.reason == "suspended"
    assert node.world.calls() == before
    status.write_text("active\n")
    assert device.readings(3 * NS_PER_S)


def test_boards_that_are_kept_on_are_not_watched(node: "Node") -> None:
    status = device_file(node.sysfs, "0000:1b:00.0", "active", control="on")
    (device,) = node.open("gpu 0 pci=00000000:1B:00.0")
    status.write_text("suspended\n")
    assert device.readings(1 * NS_PER_S)


def test_is_loaded_by_name_with_its_options(tmp_path: Path) -> None:
    backend = load("nvml", SystemClock(), {"sysfs": tmp_path})
    assert (backend.name, backend.notice) == ("nvml", "")
    assert backend.processes.identify(1) is None


@pytest.mark.parametrize("options", [{"speed": 2}, {"processes": 5}, {"compiled": 5}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        create(SystemClock(), options)
