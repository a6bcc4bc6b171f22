"""Energy and power of the stand-in's boards, through the real binding: source, faults, nonsense."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.backends.nvml.codes import Action, code_of
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.model import EnergySource, Reading

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

FIELDS = "nvmlDeviceGetFieldValues"


def only(readings: object) -> Reading:
    assert isinstance(readings, tuple)
    (reading,) = readings
    assert isinstance(reading, Reading)
    return reading


@pytest.mark.fault("F7")
@pytest.mark.parametrize(
    ("board", "source", "window"),
    [
        ("arch=hopper", EnergySource.COUNTER, "25ms"),
        ("arch=volta", EnergySource.COUNTER, "10ms"),
        ("arch=ga100", EnergySource.COUNTER, "25ms"),
        ("arch=blackwell", EnergySource.COUNTER, ""),
        ("arch=ada energy=0", EnergySource.AVERAGE, "100ms"),
        ("arch=ada energy=0 instant=0", EnergySource.AVERAGE, "1s"),
        ("arch=ga100 energy=0", EnergySource.INSTANT, "25ms"),
        ("arch=pascal", EnergySource.INSTANT, "10ms"),
        ("arch=hopper energy=0 average=0", EnergySource.INSTANT, "25ms"),
        ("arch=hopper energy=0 average=0 instant=0 power=0", EnergySource.NONE, ""),
    ],
)
def test_best_source_that_the_board_has(
    node: "Node", board: str, source: EnergySource, window: str
) -> None:
    (device,) = node.open(f"gpu 0 {board} refresh_ms=1 counter_refresh_ms=1")
    assert (device.info.energy_source, device.info.power_window) == (source, window)
    reading = only(device.readings(node.now()))
    has = (reading.energy_uj, reading.average_mw, reading.instant_mw)
    missing = {missing.capability for missing in device.info.missing}
    for value, sensor in zip(
        has, ("energy counter", "average power", "instant power"), strict=True
    ):
        assert (value is None) == (sensor in missing)
    assert all(missing.reason for missing in device.info.missing)


def test_values_timestamps_and_units(node: "Node") -> None:
    (device,) = node.open("gpu 0 idle_mw=123456 energy_start_mj=42 refresh_ms=100000")
    reading = only(device.readings(node.now()))
    assert reading.energy_uj == 42_000
    assert reading.instant_mw == reading.average_mw == 123_456
    wall_us = node.clock.wall_ns() // 1_000
    for at_us in (reading.energy_at_us, reading.instant_at_us, reading.average_at_us):
        assert at_us is not None
        assert abs(wall_us - at_us) < 10_000_000


def test_counter_agrees_with_the_truth(node: "Node") -> None:
    (device,) = node.open(
        "gpu 0 idle_mw=80000 counter_refresh_ms=1",
        "load 0 square low_mw=0 high_mw=500000 period_ms=40",
    )
    first_ns = node.now()
    first = only(device.readings(first_ns))
    for _ in range(5):
        node.settle()
    last_ns = node.now()
    last = only(device.readings(last_ns))
    assert first.energy_uj is not None
    assert last.energy_uj is not None
    truth_uj = node.world.truth_uj(0, node.world.seconds(first_ns), node.world.seconds(last_ns))
    assert last.energy_uj - first.energy_uj == pytest.approx(truth_uj, abs=2 * 580_000 * 3)


def test_a_reading_is_of_the_end_of_its_call(node: "Node") -> None:
    """A call may hang for 45 s; what it then says isn't of the time before."""
    (device,) = node.open("gpu 0")
    node.become("gpu 0", f"latency_us call={FIELDS} value=30000 mode=sleep")
    before_ns = node.now()
    reading = only(device.readings(before_ns))
    assert before_ns + 30_000_000 <= reading.at_ns <= node.now()


def test_one_driver_call_a_reading(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    before = node.world.calls()
    for _ in range(10):
        device.readings(node.now())
    after = node.world.calls()
    gained = {name: after[name] - before.get(name, 0) for name in after}
    assert {name: count for name, count in gained.items() if count} == {FIELDS: 10}
    assert device.tally.calls[FIELDS] == 10
    assert device.tally.call_ns[FIELDS] > 0


@pytest.mark.parametrize(
    ("board", "instant", "average"),
    [
        ("arch=ampere", False, True),
        ("arch=hopper", False, True),
        ("arch=ga100", True, False),
        ("arch=volta", True, False),
    ],
)
def test_older_calls_where_there_are_no_fields(
    node: "Node", board: str, instant: bool, average: bool
) -> None:
    """A driver without field values: the plain power call means what the generation says."""
    (device,) = node.open(f"gpu 0 {board}", f"fault call={FIELDS} error=13")
    assert device.info.energy_source is EnergySource.COUNTER
    assert device.info.power_limit_max_mw == 700_000
    reading = only(device.readings(node.now()))
    assert reading.energy_uj is not None
    assert reading.energy_at_us is None
    assert (reading.instant_mw is not None, reading.average_mw is not None) == (instant, average)
    assert device.gauges(node.now()).power_limit_mw == 700_000


def test_a_driver_that_refuses_the_lot_is_asked_field_by_field(node: "Node") -> None:
    (device,) = node.open("gpu 0", f"fault call={FIELDS} error=2 nth=1")
    assert device.info.energy_source is EnergySource.COUNTER
    assert device.info.missing == ()


def test_a_hiccup_at_the_start_costs_no_sensor(node: "Node") -> None:
    (device,) = node.open("gpu 0", f"fault call={FIELDS} field=186 error=10 first=4")
    assert device.info.missing == ()
    assert only(device.readings(node.now())).instant_mw is not None


def test_a_superchip_that_only_speaks_of_its_module(node: "Node") -> None:
    (device,) = node.open("gpu 0 scopes=1 module_mw=100000 idle_mw=70000")
    assert device.info.scope == "module"
    assert only(device.readings(node.now())).instant_mw == 170_000


def test_a_counter_of_the_module_goes_with_power_of_the_module(node: "Node") -> None:
    (device,) = node.open(
        'gpu 0 name="NVIDIA GH200 480GB" scopes=01 module_mw=100000 idle_mw=70000'
    )
    assert device.info.scope == "module"
    assert only(device.readings(node.now())).instant_mw == 170_000


@pytest.mark.fault("F30")
def test_one_value_failing_leaves_the_others(node: "Node") -> None:
    (device,) = node.open("gpu 0")
    node.become("gpu 0", f"fault call={FIELDS} field=186 error=3")
    reading = only(device.readings(node.now()))
    assert reading.instant_mw is None
    assert reading.instant_at_us is None
    assert reading.energy_uj is not None
    assert reading.average_mw is not None
    assert device.tally.errors == {(FIELDS, "not_supported"): 1}
    node.become("gpu 0")
    assert only(device.readings(node.now())).instant_mw is not None


def test_no_value_at_all_is_a_failed_read(node: "Node") -> None:
    (device,) = node.open("gpu 0 average=0 instant=0 power=0")
    node.become("gpu 0 average=0 instant=0 power=0", f"fault call={FIELDS} field=83 error=999")
    with pytest.raises(ReadFailed):
        device.readings(node.now())
    assert device.tally.errors == {(FIELDS, "unknown"): 1}


@pytest.mark.parametrize("place", ["", "field=83"])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (15, DeviceLost),
        (16, DeviceLost),
        (9, DriverUnavailable),
        (18, DriverUnavailable),
        (1, DriverUnavailable),
    ],
)
def test_losses_are_told_apart(node: "Node", place: str, code: int, error: type[Exception]) -> None:
    (device,) = node.open("gpu 0")
    node.become("gpu 0", f"fault call={FIELDS} {place} error={code}")
    with pytest.raises(error):
        device.readings(node.now())
    assert sum(device.tally.errors.values()) == 1


@pytest.mark.parametrize("code", [2, 4, 6, 7, 10, 17, 20, 29, 999, 77])
def test_other_codes_fail_this_reading_only(node: "Node", code: int) -> None:
    (device,) = node.open("gpu 0")
    node.become("gpu 0", f"fault call={FIELDS} error={code}")
    with pytest.raises(ReadFailed):
        device.readings(node.now())
    node.become("gpu 0")
    assert only(device.readings(node.now())).energy_uj is not None


@pytest.mark.fault("F9", "F10")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        (83, 0xFFFFFFFF),
        (83, 0xFFFFFFFFFFFFFFFF),
        (83, 9223372036854775794),
        (186, 0xFFFFFFFF),
        (186, 0),
        (186, 1_050_001),
        (185, 3_700_000),
    ],
)
def test_nonsense_is_no_value(node: "Node", field: int, value: int) -> None:
    (device,) = node.open("gpu 0 limit_mw=700000")
    node.become("gpu 0 limit_mw=700000", f"fault call={FIELDS} field={field} garbage={value}")
    reading = only(device.readings(node.now()))
    got = {83: reading.energy_uj, 186: reading.instant_mw, 185: reading.average_mw}
    assert [number for number, value in got.items() if value is None] == [field]
    assert device.tally.errors == {(FIELDS, "implausible"): 1}


def test_power_up_to_half_above_the_limit_is_believed(node: "Node") -> None:
    (device,) = node.open("gpu 0 limit_mw=700000")
    node.become("gpu 0 limit_mw=700000", f"fault call={FIELDS} field=186 garbage=1050000")
    assert only(device.readings(node.now())).instant_mw == 1_050_000


@pytest.mark.fault("F9")
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=st.integers(0, 2**64 - 1), field=st.sampled_from([83, 185, 186]))
def test_whatever_the_driver_says_stays_in_range(node: "Node", value: int, field: int) -> None:
    (device,) = node.open("gpu 0")
    node.become("gpu 0", f"fault call={FIELDS} field={field} garbage={value}")
    reading = only(device.readings(node.now()))
    assert reading.energy_uj is None or 0 <= reading.energy_uj < 2**63 * 1_000
    for power_mw in (reading.instant_mw, reading.average_mw):
        assert power_mw is None or 0 < power_mw <= 1_050_000


@pytest.mark.fault("F6")
@pytest.mark.parametrize("code", [*range(1, 31), 999, 4711])
def test_every_code_at_the_start_leaves_a_board_or_says_why(node: "Node", code: int) -> None:
    """The other GPU is not touched by what the first one's driver says."""
    script = ("gpu 0", "gpu 1", f"fault call={FIELDS} gpu=0 error={code}")
    if code_of(code).action is Action.DRIVER_LOST:
        with pytest.raises(DriverUnavailable):
            node.open(*script)
        return
    devices = node.open(*script)
    by_uuid = {device.info.uuid[-1]: device for device in devices}
    assert only(by_uuid["1"].readings(node.now())).energy_uj is not None
    if "0" in by_uuid:
        assert by_uuid["0"].info.energy_source is EnergySource.COUNTER  # by the older calls
    else:
        assert [gpu.gpu for gpu in node.backend.unopened] == ["GPU 0"]
