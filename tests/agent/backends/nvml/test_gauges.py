"""The slow signals, and that none of them takes another one down."""

from dataclasses import astuple
from typing import TYPE_CHECKING

import pytest

from submeter.errors import DeviceLost
from submeter.model import Activity

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

GIB = 1 << 30
FIELDS = "nvmlDeviceGetFieldValues"
EVERYTHING = "gpu 0 temp_c=61 mem_temp_c=80 limit_mw=600000 max_limit_mw=700000 sm_mhz=1500"


def test_gauges_of_a_board_that_has_all(node: "Node") -> None:
    (device,) = node.open(
        EVERYTHING, "process 0 pid=11 sm=100", "throttle 0 reason=sw_power from=0 to=0.01"
    )
    node.settle()
    gauges = device.gauges(node.now())
    assert gauges.temperature_core_c == 61
    assert gauges.temperature_memory_c == 80
    assert gauges.power_limit_mw == 600_000
    assert device.info.power_limit_max_mw == 700_000
    assert dict(gauges.clocks_hz)["sm"] == 1_500_000_000
    assert dict(gauges.throttle_ns)["sw_power_cap"] == 10_000_000
    assert set(dict(gauges.clocks_hz)) == {"sm", "memory", "graphics", "video"}
    assert set(dict(gauges.throttle_ns)) == {
        "sw_power_cap",
        "sw_thermal",
        "hw_thermal",
        "hw_power_brake",
        "board_limit",
    }


def test_memory_that_the_driver_reserves_is_not_used(node: "Node") -> None:
    script = ("gpu 0 mem_total=80G mem_reserved=1G", "process 0 pid=11 mem=4G")
    (device,) = node.open(*script)
    assert device.info.memory_total_bytes == 80 * GIB
    assert device.activity(node.now()).memory_used_bytes == 4 * GIB


def test_the_older_memory_call_where_the_newer_is_unknown(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0 mem_total=80G mem_reserved=1G",
        "process 0 pid=11 mem=4G",
        "fault call=nvmlDeviceGetMemoryInfo_v2 error=25",
    )
    assert device.info.memory_total_bytes == 80 * GIB
    assert device.activity(node.now()).memory_used_bytes == 5 * GIB


def test_a_board_without_memory_information(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0",
        "fault call=nvmlDeviceGetMemoryInfo error=3",
        "fault call=nvmlDeviceGetMemoryInfo_v2 error=3",
    )
    assert device.info.memory_total_bytes is None
    assert device.activity(node.now()).memory_used_bytes is None
    assert [missing.capability for missing in device.info.missing] == ["memory"]


def test_the_older_temperature_call_where_the_newer_is_unknown(node: "Node") -> None:
    (device,) = node.open("gpu 0 temp_c=61", "fault call=nvmlDeviceGetTemperatureV error=13")
    assert device.gauges(node.now()).temperature_core_c == 61
    assert device.info.missing == ()


def test_signals_a_board_lacks_are_named(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0 mem_temp_c=-2",
        f"fault call={FIELDS} field=269 error=3",
        "fault call=nvmlDeviceGetUtilizationRates error=3",
    )
    gauges = device.gauges(node.now())
    assert gauges.temperature_memory_c is None
    assert "sw_thermal" not in dict(gauges.throttle_ns)
    assert len(gauges.throttle_ns) == 4
    assert {missing.capability for missing in device.info.missing} == {
        "memory temperature",
        "throttle sw_thermal",
        "utilisation",
    }


def test_memory_at_0_degrees_has_no_sensor(node: "Node") -> None:
    (device,) = node.open("gpu 0", f"fault call={FIELDS} field=82 garbage=0")
    assert device.gauges(node.now()).temperature_memory_c is None
    assert [missing.capability for missing in device.info.missing] == ["memory temperature"]


@pytest.mark.fault("F30")
@pytest.mark.parametrize(
    "call",
    [
        f"{FIELDS} field=82",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetMemoryInfo_v2",
        FIELDS,
    ],
)
@pytest.mark.parametrize("what", ["error=999", "error=3", "garbage=4294967295"])
def test_a_signal_that_fails_takes_no_other_with_it(node: "Node", call: str, what: str) -> None:
    (device,) = node.open(EVERYTHING, "process 0 pid=11 mem=1G sm=50")
    whole = (device.gauges(node.now()), device.activity(node.now()))
    node.become(EVERYTHING, "process 0 pid=11 mem=1G sm=50", f"fault call={call} {what}")
    now_ns = whole[0].at_ns
    gauges, activity = device.gauges(now_ns), device.activity(now_ns)
    got, had = (astuple(gauges) + astuple(activity), astuple(whole[0]) + astuple(whole[1]))
    lost = [old for new, old in zip(got, had, strict=True) if new in (None, ()) and old != new]
    assert len(lost) <= (4 if call == FIELDS else 1)
    assert activity.utilization_percent is None or 0 <= activity.utilization_percent <= 100


def test_a_lost_gpu_is_lost_here_too(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    node.become("gpu 0", "vanish gpu=0")
    for ask in (device.gauges, device.activity):
        with pytest.raises(DeviceLost):
            ask(node.now())


def test_activity_of_an_idle_board(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    assert device.activity(5) == Activity(5, 0, 0)
