"""What the driver's sample ring says of each process: newer samples, each once, no nonsense."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from submeter.backends.nvml import create
from submeter.backends.nvml.utilisation import CAPABILITY
from submeter.clock import FakeClock, SystemClock
from submeter.errors import ReadFailed
from submeter.units import NS_PER_S

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node
    from tests.standin import standin as standin_module

CALL = "nvmlDeviceGetProcessUtilization"
PAST = "time0_ns 1"  # the world began at boot: the ring is full of samples
TWO = ("gpu 0 util_period_us=2000", "process 0 pid=11 mem=1G sm=60", "process 0 pid=12 sm=40")


def test_names_both_and_their_shares_sum_to_the_gpus(node: "Node") -> None:
    (device,) = node.open(PAST, *TWO)
    node.settle()
    samples = device.utilisation(node.now())
    assert samples is not None
    assert {sample.pid for sample in samples} == {11, 12}
    assert 90 <= sum(sample.sm_percent for sample in samples) <= 101


@pytest.mark.fault("F17")
def test_each_sample_once(node: "Node") -> None:
    """Who did nothing since the previous call isn't named again."""
    end_s = node.now() / NS_PER_S + 0.1
    busy = "gpu 0 util_period_us=2000", "process 0 pid=11 sm=50"
    (device,) = node.open(PAST, *busy, f"process 0 pid=10 sm=50 to={end_s}")
    while node.now() / NS_PER_S < end_s:
        node.settle()
    first = device.utilisation(node.now())
    node.settle()
    second = device.utilisation(node.now())
    assert first is not None
    assert second is not None
    assert {sample.pid for sample in first} == {10, 11}
    assert {sample.pid for sample in second} == {11}
    assert min(s.at_us for s in second) > max(s.at_us for s in first)


@pytest.mark.fault("F17")
def test_the_first_call_and_that_after_a_pause_ask_for_the_last_second(node: "Node") -> None:
    """0 would bring the whole ring, the timestamp of before the pause means nothing."""
    boot_s = node.now() / NS_PER_S
    (device,) = node.open(
        PAST,
        "gpu 0 util_period_us=50000",  # a ring of 3.6 s
        f"process 0 pid=9 sm=100 to={boot_s - 2}",
        f"process 0 pid=10 sm=100 from={boot_s - 2} to={boot_s - 0.2}",
        f"process 0 pid=11 sm=100 from={boot_s - 0.2}",
    )
    device.utilisation(node.now())
    node.settle()
    samples = device.utilisation(node.now() + 11 * NS_PER_S)
    assert samples is not None
    assert {sample.pid for sample in samples} == {10, 11}


@pytest.mark.fault("F16")
def test_nothing_new_is_an_empty_answer_and_no_error(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    assert device.utilisation(node.now()) == ()
    assert device.tally.errors == {}


@pytest.mark.parametrize("code", [3, 4])
def test_a_refusal_is_remembered(node: "Node", code: int) -> None:
    (device,) = node.open("gpu 0", f"fault call={CALL} error={code}")
    before = node.world.calls()[CALL]
    assert device.utilisation(node.now()) is None
    assert node.world.calls()[CALL] == before
    assert [missing.capability for missing in device.info.missing] == [CAPABILITY]


@pytest.mark.fault("F27")
def test_a_failure_is_counted_and_over_next_time(node: "Node") -> None:
    (device,) = node.open(PAST, *TWO)
    node.become(PAST, *TWO, f"fault call={CALL} error=999")
    with pytest.raises(ReadFailed):
        device.utilisation(node.now())
    assert device.tally.errors == {(CALL, "unknown"): 1}
    node.become(PAST, *TWO)
    assert device.utilisation(node.now())


@pytest.mark.parametrize("garbage", [101, 37_100, 0xFFFFFFFF])
def test_nonsense_is_left_out_and_moves_nothing(node: "Node", garbage: int) -> None:
    (device,) = node.open(PAST, *TWO)
    device.utilisation(node.now())
    node.become(PAST, *TWO, f"fault call={CALL} garbage={garbage}")
    assert device.utilisation(node.now()) == ()
    assert device.tally.errors[(CALL, "implausible")] == 2
    node.become(PAST, *TWO)
    assert device.utilisation(node.now())


@pytest.mark.fault("F10")
@pytest.mark.parametrize("pid", [0, 4_194_305])
def test_made_up_processes_are_left_out(node: "Node", pid: int) -> None:
    (device,) = node.open(PAST, *TWO, f"process 0 pid={pid} sm=50")
    node.settle()
    samples = device.utilisation(node.now())
    assert samples is not None
    assert {sample.pid for sample in samples} == {11, 12}


def test_samples_from_the_future_are_not_believed(
    standin: "standin_module.Standin", tmp_path: Path
) -> None:
    """They would keep everything that is true from being seen until then."""
    standin.load()
    standin.write([PAST, *TWO])
    now = SystemClock()
    clock = FakeClock(now.boottime_ns(), now.wall_ns() - 3_600 * NS_PER_S)
    backend = create(clock, {"sysfs": tmp_path})
    (device,) = backend.open()
    assert device.utilisation(clock.boottime_ns()) == ()
    assert device.tally.errors[(CALL, "implausible")] >= 2
    clock.step_wall(3_600 * NS_PER_S)
    assert device.utilisation(clock.boottime_ns())
    backend.close()


def test_a_partitioned_gpu_is_not_asked(node: "Node") -> None:
    (device,) = node.open("gpu 0 arch=ga100", "mig 0 gi=7 ci=0 slices=1 memory=10G")
    assert device.utilisation(node.now()) is None
    assert CALL not in node.world.calls()
    assert CAPABILITY in {missing.capability for missing in device.info.missing}
