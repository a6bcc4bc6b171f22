"""Every way to go wrong does what the protocol of a device says, and nothing to its neighbours."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.backends.mock.faults import CALLS, ERRORS
from submeter.backends.nvml import codes
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.units import NS_PER_S

TWO_GPUS = """
[[gpu]]
model = "H100"
count = 2
counter_start_j = 1000
counter_refresh_ms = 1
leakage_watts_per_c = 0
idle_watts = 100
[[process]]
name = "a"
gpu = [0, 1]
pid = 4
watts = 255
"""
WATTS_UJ = 400_000_000  # a second of idle 100 W + context 45 W + 255 W


def broken(node: Callable[[str], Any], fault: str) -> Any:
    """Two GPUs; on GPU 0 something goes wrong."""
    return node(f"{TWO_GPUS}[[fault]]\ngpu = 0\n{fault}\n")


def energy_j(world: Any, seconds: float, gpu: int = 0) -> float | None:
    """The counter after that long."""
    (reading,) = world.devices[gpu].readings(world.run(seconds))
    return None if reading.energy_uj is None else reading.energy_uj / 1e6


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call not in ("energy", "average", "instances")]
)
def test_every_error_code_on_every_call(node: Callable[[str], Any], call: str, number: int) -> None:
    world = broken(node, f'kind = "error"\ncall = "{call}"\ncode = {number}\nfrom_s = 1\nto_s = 2')
    broke, fine = world.devices
    now_ns = world.run(1.5)
    method = "readings" if call == "instant" else call
    means = ERRORS[number].means
    answers: dict[str, dict[int, Any]] = {"holders": {3: None}, "utilisation": {3: None, 6: ()}}
    empty = answers.get(call, {})
    if means == "lost":
        with pytest.raises(DeviceLost):
            getattr(broke, method)(now_ns)
    elif means != "value":
        with pytest.raises(DriverUnavailable) as caught:
            getattr(broke, method)(now_ns)
        assert caught.value.reason == means
    elif call == "instant":
        (reading,) = broke.readings(now_ns)
        assert reading.instant_mw is reading.instant_at_us is None
        assert reading.energy_uj is not None
        assert reading.average_mw is not None
    elif number in empty:
        assert getattr(broke, method)(now_ns) == empty[number]
    else:
        with pytest.raises(ReadFailed):
            getattr(broke, method)(now_ns)
    assert broke.tally.errors == {(CALLS[call], ERRORS[number].name): 1}
    assert getattr(fine, method)(now_ns)
    assert fine.tally.errors == {}
    assert getattr(broke, method)(world.run(0.6))  # at 2.1 s it is over


def test_codes_mean_what_they_mean_to_the_real_backend() -> None:
    for number, error in ERRORS.items():
        real = codes.CODES[number]
        assert real.name == error.name
        assert (real.action is codes.Action.DEVICE_LOST) is (error.means == "lost")
        if real.action is codes.Action.DRIVER_LOST:
            fault = codes.unavailable(codes.Fault("call", number))
            assert fault.reason == error.means
    assert set(ERRORS) == set(codes.CODES)


def test_a_hang_blocks_that_call_of_that_gpu_only(node: Callable[[str], Any]) -> None:
    world = broken(node, 'kind = "hang"\ncall = "readings"\nhang_s = 45\nfrom_s = 1\nto_s = 2')
    now_ns = world.run(1)
    world.devices[0].activity(now_ns)
    world.devices[1].readings(now_ns)
    assert world.clock.boottime_ns() == now_ns
    (reading,) = world.devices[0].readings(now_ns)
    assert world.clock.boottime_ns() == now_ns + 45 * NS_PER_S == reading.at_ns
    assert reading.energy_uj == pytest.approx(1000e6 + 46 * WATTS_UJ, abs=WATTS_UJ / 1000)


def test_closing_ends_a_hang(node: Callable[[str], Any]) -> None:
    world = broken(node, 'kind = "hang"\nhang_s = 1e6')
    sleep_until = world.clock.sleep_until
    calls = []

    def close_after_a_while(until_ns: int) -> None:
        sleep_until(until_ns)
        calls.append(until_ns)
        if len(calls) == 50:
            world.backend.close()

    world.clock.sleep_until = close_after_a_while
    with pytest.raises(DeviceLost, match="closed"):
        world.devices[0].readings(world.run(1))
    assert len(calls) == 50


@pytest.mark.parametrize(
    ("call", "value", "seen"),
    [
        ("instant", 4294967295, None),
        ("instant", -1, None),
        ("instant", 650_000, 650_000),
        ("average", 2**63, None),
        ("energy", 18446744073709551615, None),
        ("energy", 9223372036854775794, None),  # DCGM's blank
        ("energy", 77, 77_000),
    ],
)
def test_garbage_in_readings(
    node: Callable[[str], Any], call: str, value: int, seen: int | None
) -> None:
    world = broken(node, f'kind = "garbage"\ncall = "{call}"\nvalue = {value}')
    (reading,) = world.devices[0].readings(world.run(2))
    field = {"instant": "instant_mw", "average": "average_mw", "energy": "energy_uj"}[call]
    assert getattr(reading, field) == seen
    counted = {} if seen is not None else {("nvmlDeviceGetFieldValues", "implausible"): 1}
    assert world.devices[0].tally.errors == counted


def test_garbage_elsewhere(node: Callable[[str], Any]) -> None:
    texts = [
        f'[[fault]]\nkind = "garbage"\ngpu = 0\ncall = "{call}"\nvalue = {value}\n'
        for call, value in (
            ("activity", 4294967295),
            ("gauges", -200),
            ("holders", 99_999),
            ("utilisation", 371),
            ("utilisation", 33),
        )
    ]
    world = node(TWO_GPUS + "".join(texts))
    device, now_ns = world.devices[0], world.run(5)
    assert device.activity(now_ns).utilization_percent is None
    assert device.gauges(now_ns).temperature_core_c is None
    assert [holder.pid for holder in device.holders(now_ns)] == [4, 99_999]
    assert {s.pid: s.sm_percent for s in device.utilisation(now_ns)} == {4: 100, 4_000_001: 33}
    assert set(device.tally.errors) == {
        (CALLS[call], "implausible") for call in ("activity", "gauges", "utilisation")
    }


def test_a_lost_gpu_comes_back_only_when_it_is_opened_again(node: Callable[[str], Any]) -> None:
    world = broken(node, 'kind = "vanish"\nfrom_s = 5\nto_s = 9')
    lost, fine = world.devices
    assert lost.readings(world.run(4.9))
    for wait in (0.1, 4, 5):
        now_ns = world.run(wait)
        for method in (lost.readings, lost.activity, lost.gauges, lost.holders, lost.utilisation):
            with pytest.raises(DeviceLost, match="gpu_is_lost"):
                method(now_ns)
        assert fine.readings(now_ns)
    again = world.backend.open()
    assert [device.info.uuid for device in again] == [lost.info.uuid, fine.info.uuid]
    assert again[0].readings(world.run(0))[0].energy_uj > 0


def test_while_it_is_lost_it_is_not_found(node: Callable[[str], Any]) -> None:
    world = broken(node, 'kind = "vanish"\nfrom_s = 5\nto_s = 9')
    world.run(6)
    (only,) = world.backend.open()
    assert only.info == world.devices[1].info
    with pytest.raises(DeviceLost, match="closed"):
        world.devices[1].readings(world.run(0))


@pytest.mark.parametrize("fault", ['kind = "vanish"', 'kind = "error"\ncode = "gpu_is_lost"'])
def test_one_gpu_alone_is_opened_again(node: Callable[[str], Any], fault: str) -> None:
    world = broken(node, f"{fault}\nfrom_s = 5\nto_s = 9")
    lost, fine = world.devices
    for wait in (5, 3.9):
        world.run(wait)
        with pytest.raises(DeviceLost, match="still gone"):
            world.backend.reopen(lost.info.uuid)
    now_ns = world.run(0.2)
    again = world.backend.reopen(lost.info.uuid)
    assert again.info == lost.info
    assert again.readings(now_ns)
    assert fine.readings(now_ns)  # was not disturbed
    with pytest.raises(DeviceLost, match="closed"):
        lost.readings(now_ns)
    world.backend.close()
    for device in (again, fine):
        with pytest.raises(DeviceLost, match="closed"):
            device.readings(now_ns)


def test_a_gpu_that_never_was(node: Callable[[str], Any]) -> None:
    with pytest.raises(DeviceLost):
        node(TWO_GPUS).backend.reopen("GPU-0")


def test_no_gpu_at_all(node: Callable[[str], Any]) -> None:
    world = node(f'{TWO_GPUS}[[fault]]\nkind = "vanish"\nfrom_s = 1\n')
    world.run(2)
    with pytest.raises(DriverUnavailable) as caught:
        world.backend.open()
    assert caught.value.reason == "no_gpu"


def test_without_a_driver_nothing_works_and_then_counters_begin_anew(
    node: Callable[[str], Any],
) -> None:
    world = broken(
        node, 'kind = "driver_unavailable"\nreason = "version_mismatch"\nfrom_s = 5\nto_s = 8'
    )
    before = energy_j(world, 4)
    assert before == pytest.approx(1000 + 4 * 400, abs=1)
    now_ns = world.run(2)
    for device in world.devices:
        with pytest.raises(DriverUnavailable):
            device.readings(now_ns)
    with pytest.raises(DriverUnavailable) as caught:
        world.backend.open()
    assert caught.value.reason == "version_mismatch"
    now_ns = world.run(4)
    (reading,) = world.backend.open()[0].readings(now_ns)
    assert reading.energy_uj == pytest.approx(2 * WATTS_UJ, abs=1e6)
    assert world.gpu()["energy_uj"] == 10 * WATTS_UJ


@pytest.mark.parametrize(
    ("fault", "at_4", "at_6", "at_9"),
    [
        ('kind = "counter_reset"\nfrom_s = 5', 2600, 400, 1600),
        ('kind = "counter_jump"\njoules = 5000\nfrom_s = 5', 2600, 8400, 9600),
        ('kind = "counter_jump"\njoules = 5000\nfrom_s = 5\nto_s = 8', 2600, 8400, 4600),
        ('kind = "counter_back"\njoules = 30\nfrom_s = 5\nto_s = 8', 2600, 3370, 4600),
        ('kind = "counter_stall"\nfrom_s = 5\nto_s = 8', 2600, 3000, 4600),
    ],
)
def test_what_counters_do(
    node: Callable[[str], Any], fault: str, at_4: float, at_6: float, at_9: float
) -> None:
    world = broken(node, fault)
    seen = [energy_j(world, wait) for wait in (4, 2, 3)]
    assert seen == [pytest.approx(value, abs=1) for value in (at_4, at_6, at_9)]
    assert energy_j(world, 0, gpu=1) == pytest.approx(1000 + 9 * 400, abs=1)
    assert world.gpu()["energy_uj"] == 9 * WATTS_UJ  # the truth is unimpressed


def test_a_reset_long_ago_is_still_exact(node: Callable[[str], Any]) -> None:
    world = broken(node, 'kind = "counter_reset"\nfrom_s = 5.5')
    assert energy_j(world, 1000) == pytest.approx((1000 - 5.5) * 400, abs=1)


def test_faults_without_a_gpu_hit_every_gpu(node: Callable[[str], Any]) -> None:
    world = node(f'{TWO_GPUS}[[fault]]\nkind = "error"\ncode = "NVML_ERROR_TIMEOUT"\n')
    now_ns = world.run(1)
    for device in world.devices:
        for method in ("readings", "activity", "gauges", "holders", "utilisation"):
            with pytest.raises(ReadFailed):
                getattr(device, method)(now_ns)
