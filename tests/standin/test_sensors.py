"""Power, energy and their companions, compared with the truth of the script."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pynvml
import pytest

if TYPE_CHECKING:
    from tests.standin.conftest import Client


def test_field_values_carry_type_code_and_time(client: "Client") -> None:
    (gpu,) = client.start("gpu 0 idle_mw=100000 mem_temp_c=55 limit_mw=600000 max_limit_mw=700000")
    before_us = time.time_ns() // 1000
    energy, average, instant, temperature, limit, unknown, beyond = client.fields(
        gpu, 83, 185, (186, 0), 82, 190, 5, 9999
    )
    after_us = time.time_ns() // 1000
    assert energy.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    assert energy.value.ullVal >= 1_000_000
    assert average.valueType == instant.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    assert average.value.uiVal == instant.value.uiVal == 100000
    assert temperature.value.uiVal == 55
    assert limit.value.uiVal == 600000
    assert unknown.nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert beyond.nvmlReturn == pynvml.NVML_ERROR_INVALID_ARGUMENT
    assert all(before_us <= value.timestamp <= after_us for value in (energy, average, unknown))


def test_stamps_can_be_those_of_the_refresh(client: "Client") -> None:
    (gpu,) = client.start("gpu 0 stamp=refresh refresh_ms=60000 counter_refresh_ms=30000")
    first, power = client.fields(gpu, 83, 186)
    again = client.fields(gpu, 83)[0]
    assert first.timestamp == again.timestamp
    at_us = (
        time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + client.world.time0_ns
    ) // 1000
    assert abs(first.timestamp - at_us) < 2_000_000  # refreshed last at time 0
    assert abs(power.timestamp - at_us) < 2_000_000


@pytest.mark.parametrize(
    ("gpu_keys", "expected"),
    [
        ("arch=pascal", {"energy": 3, "average": 3, "instant": 0, "usage": 0}),
        ("arch=ga100", {"energy": 0, "average": 3, "instant": 0, "usage": 0}),
        ("arch=hopper", {"energy": 0, "average": 0, "instant": 0, "usage": 0}),
        ("energy=0 instant=0 power=0", {"energy": 3, "average": 0, "instant": 3, "usage": 3}),
    ],
)
def test_what_a_board_lacks(client: "Client", gpu_keys: str, expected: dict[str, int]) -> None:
    (gpu,) = client.start(f"gpu 0 {gpu_keys}")
    energy, twin, average, instant = client.fields(gpu, 83, 191, 185, 186)
    assert energy.nvmlReturn == twin.nvmlReturn == expected["energy"]
    assert client.error(pynvml.nvmlDeviceGetTotalEnergyConsumption, gpu) == expected["energy"]
    assert average.nvmlReturn == expected["average"]
    assert instant.nvmlReturn == expected["instant"]
    assert client.error(pynvml.nvmlDeviceGetPowerUsage, gpu) == expected["usage"]


def test_power_scopes(client: "Client") -> None:
    (gpu,) = client.start("gpu 0 idle_mw=100000 scopes=12 module_mw=50000 memory_mw=20000")
    values = client.fields(gpu, (186, 0), (186, 1), (186, 2), (186, 3))
    assert [value.nvmlReturn for value in values] == [3, 0, 0, 3]
    assert [value.value.uiVal for value in values[1:3]] == [150000, 20000]


LOADS = (
    "load 0 constant mw=1000 from=0.5 to=1e6",
    "load 0 constant mw=200000 from=-50 to=-20 pid=7",
    "load 0 square low_mw=10000 high_mw=300000 period_ms=170 duty=0.3 phase_ms=20 from=-60 pid=8",
    "load 0 ramp from_mw=0 to_mw=100000 from=-70 to=1000",
    "load 0 sine mean_mw=50000 amplitude_mw=40000 period_ms=333 from=-3",
    "process 0 pid=7 from=-50 to=-20",
    "process 0 pid=8 from=-30 to=1e6",
)


def test_the_counter_follows_the_truth(client: "Client", past: Callable[[float], None]) -> None:
    """The counter is the energy from time 0 to its last refresh, in whole millijoules."""
    past(3600)
    (gpu,) = client.start(
        "gpu 0 idle_mw=61000 context_mw=33000 energy_start_mj=5 counter_refresh_ms=20", *LOADS
    )
    for _ in range(20):
        before = client.world.now()
        counter = pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
        after = client.world.now()
        low = client.world.truth_uj(0, 0, before - 0.0201) // 1000 + 5
        high = client.world.truth_uj(0, 0, after) // 1000 + 6
        assert low <= counter <= high
        time.sleep(0.003)


def test_instant_and_average_power_are_means_of_the_truth(
    client: "Client", past: Callable[[float], None]
) -> None:
    past(100)
    (gpu,) = client.start("gpu 0 refresh_ms=100 window_ms=25", *LOADS)
    compared = 0
    while compared < 5:
        before = client.world.now()
        average, instant = client.fields(gpu, 185, 186)
        if int(before * 10) != int(client.world.now() * 10):
            continue  # refreshed in between
        compared += 1
        at = int(before * 10) / 10
        for value, window in ((average, 1.0), (instant, 0.025)):
            expected_mw = client.world.truth_uj(0, at - window, at) / 1000 / window
            assert value.value.uiVal == pytest.approx(expected_mw, abs=2)
        time.sleep(0.03)


def test_values_change_at_the_refresh_and_not_between(client: "Client") -> None:
    (gpu,) = client.start("gpu 0 refresh_ms=50", "load 0 ramp from_mw=0 to_mw=9e8 to=9000")
    started, reads = client.world.now(), 0
    seen: set[int] = set()
    while client.world.now() < started + 0.3 or len(seen) < 3:
        seen.add(client.fields(gpu, 186)[0].value.uiVal)
        reads += 1
    assert len(seen) <= (client.world.now() - started) / 0.05 + 2
    assert reads > len(seen)


def test_gain_errors(client: "Client", past: Callable[[float], None]) -> None:
    past(1000)
    (gpu,) = client.start(
        "gpu 0 idle_mw=100000 gain_ppm=-50000 counter_gain_ppm=20000 energy_start_mj=0"
    )
    assert client.fields(gpu, 186)[0].value.uiVal == 95000
    per_second = pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / client.world.now()
    assert per_second == pytest.approx(97000, rel=1e-3)


def test_the_counters_adventures(client: "Client", past: Callable[[float], None]) -> None:
    """Time 0 is 100 s ago and the board draws 1 W: a counter in whole joules tells the story."""
    past(100)
    calm = "counter_refresh_ms=60000"  # refreshed at 60 s and, next, at 120 s
    boards = [f"gpu {i} idle_mw=1000 energy_start_mj=500000 {calm}" for i in range(7)]
    events = (
        "counter_reset gpu=1 at=10 mj=40000",
        "counter_jump gpu=2 at=10 mj=10000000",
        "counter_back gpu=3 at=10 mj=7000",
        "counter_dip gpu=4 from=10 to=1000 mj=200",
        "counter_dip gpu=5 from=10 to=20 mj=200",
        "counter_stall gpu=6 from=10 to=1000",
    )
    handles = client.start(*boards, *events)
    counters = [pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles]
    assert counters == [560000, 90000, 10560000, 553000, 200, 560000, 500000]


def test_power_samples(client: "Client", past: Callable[[float], None]) -> None:
    past(100)
    (gpu,) = client.start("gpu 0 idle_mw=80000 refresh_ms=100")
    value_type, samples = pynvml.nvmlDeviceGetSamples(gpu, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    assert value_type == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    stamps = [sample.timeStamp for sample in samples]
    assert {b - a for a, b in pairwise(stamps)} == {100_000}
    assert {sample.sampleValue.uiVal for sample in samples} == {80000}
    future_us = stamps[-1] + 3_600_000_000
    not_found = pynvml.NVML_ERROR_NOT_FOUND
    assert client.error(pynvml.nvmlDeviceGetSamples, gpu, 0, future_us) == not_found


def test_throttling_in_bits_and_nanoseconds(
    client: "Client", past: Callable[[float], None]
) -> None:
    past(50)
    (gpu,) = client.start(
        "gpu 0",
        "throttle 0 reason=sw_power from=10 to=12.5",
        "throttle 0 reason=hw_thermal from=0",
        "throttle 0 reason=board_limit from=1e6",
    )
    bits = pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    idle = pynvml.nvmlClocksEventReasonGpuIdle
    assert bits == pynvml.nvmlClocksThrottleReasonHwThermalSlowdown | idle
    power, hot, board, brake = client.fields(gpu, 74, 270, 77, 271)
    assert (power.value.ullVal, board.value.ullVal, brake.value.ullVal) == (2_500_000_000, 0, 0)
    assert hot.value.ullVal >= 50 * 10**9
