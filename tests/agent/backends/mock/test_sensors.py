"""The instruments: windows, refresh, gain, offset, noise; and what a board doesn't have."""

import itertools
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

import pytest

from submeter.backends.mock.presets import PRESETS
from submeter.model import EnergySource
from submeter.units import NS_PER_MS, NS_PER_S, NS_PER_US

BOARD = """
[[gpu]]
idle_watts = 100
limit_watts = 1000
memory_gib = 80
leakage_watts_per_c = 0
"""


def readings(world: Any, seconds: float, every_ms: int = 1) -> list[Any]:
    """What GPU 0 says, one reading every so often."""
    seen = []
    for _ in range(round(seconds * 1000 / every_ms)):
        world.clock.advance(every_ms * NS_PER_MS)
        seen += world.devices[0].readings(world.clock.boottime_ns())
    return seen


def changes(seen: list[Any], field: str) -> list[int]:
    """Timestamps (µs) of a value, each once."""
    return list(dict.fromkeys(getattr(reading, field) for reading in seen))


@pytest.mark.parametrize(
    ("model", "refresh_ms", "window", "average"),
    [
        ("V100", 20, "10ms", False),
        ("A100", 100, "25ms", False),
        ("H100", 100, "25ms", True),
        ("H200", 100, "25ms", True),
        ("L40S", 100, "100ms", True),
        ("RTX 4090", 100, "100ms", True),
    ],
)
def test_presets_have_the_published_refresh_and_window(
    node: Callable[[str], Any], model: str, refresh_ms: int, window: str, average: bool
) -> None:
    world = node(f'[[gpu]]\nmodel = "{model}"\n')
    info = world.devices[0].info
    assert (info.refresh_ns, info.power_window) == (refresh_ms * NS_PER_MS, window)
    assert info.energy_source is EnergySource.COUNTER
    seen = readings(world, 1)
    assert len(changes(seen, "instant_at_us")) == 1000 // refresh_ms + 1
    assert (seen[-1].average_mw is not None) is average


def test_every_preset_can_be_opened_and_idles_at_its_floor(node: Callable[[str], Any]) -> None:
    for model, preset in PRESETS.items():
        world = node(f'[[gpu]]\nmodel = "{model}"\n')
        seen = readings(world, 0.5, 100)
        assert seen[-1].instant_mw == round(preset.idle_watts * 1000)
        assert world.devices[0].info.name == preset.name


def test_values_only_change_at_their_refresh_and_carry_its_time(
    node: Callable[[str], Any],
) -> None:
    world = node(
        BOARD + "noise_watts = 2\nrefresh_ms = 50\ncounter_refresh_ms = 20\n"
        '[[process]]\nname = "a"\ngpu = 0\npid = 1\nwatts = 300\nshape = { kind = "ramp" }\n'
    )
    seen = readings(world, 2)
    for value, stamp, step_ms in (
        ("instant_mw", "instant_at_us", 50),
        ("average_mw", "average_at_us", 50),
        ("energy_uj", "energy_at_us", 20),
    ):
        stamps = changes(seen, stamp)
        assert {b - a for a, b in itertools.pairwise(stamps)} == {step_ms * 1000}
        assert len({(getattr(r, value), getattr(r, stamp)) for r in seen}) == len(stamps)
    wall_us = world.clock.wall_ns() // NS_PER_US
    assert wall_us - 50_000 <= seen[-1].instant_at_us <= wall_us


def test_instant_is_the_mean_of_its_window_and_average_that_of_a_second(
    node: Callable[[str], Any],
) -> None:
    # Off at 2 s: 300 W less. Refreshes fall on multiples of 100 ms after a seeded phase.
    world = node(
        BOARD + "counter_start_j = 0\n"
        '[[process]]\nname = "a"\ngpu = 0\npid = 1\nend_s = 2\nwatts = 300\n'
    )
    origin_ns = world.clock.boottime_ns()
    offset_us = (world.clock.wall_ns() - origin_ns) // NS_PER_US
    for reading in readings(world, 4):
        end_ns = (reading.instant_at_us - offset_us) * NS_PER_US - origin_ns
        for shown_mw, window_ns in (
            (reading.instant_mw, 25 * NS_PER_MS),
            (reading.average_mw, NS_PER_S),
        ):
            worked_ns = max(0, min(end_ns, 2 * NS_PER_S) - max(end_ns - window_ns, 0))
            expected_mw = 100_000 + 300_000 * worked_ns / window_ns
            assert shown_mw == pytest.approx(expected_mw, abs=15)


@pytest.mark.fault("F15")
def test_the_window_of_a_quarter_misses_what_happens_outside_it(
    node: Callable[[str], Any],
) -> None:
    # A square wave locked to the refresh: the instant gauge always sees the same quarter.
    world = node(
        BOARD + '[[process]]\nname = "a"\ngpu = 0\npid = 1\nwatts = 300\n'
        'shape = { kind = "square", period_ms = 100 }\n'
    )
    seen = readings(world, 3)[1200:]
    assert len({reading.instant_mw for reading in seen}) == 1
    assert abs(seen[0].instant_mw - 250_000) > 50_000
    assert all(abs(reading.average_mw - 250_000) < 1500 for reading in seen)


def test_gain_and_offset_and_noise(node: Callable[[str], Any]) -> None:
    world = node(BOARD + "gain = 1.05\noffset_watts = -7\nnoise_watts = 3\ncounter_start_j = 0\n")
    seen = readings(world, 120, 100)
    values = [reading.instant_mw for reading in seen]
    assert mean(values) == pytest.approx(98_000, abs=300)
    assert stdev(values) == pytest.approx(3000, rel=0.1)
    # The counter has the gain, neither offset nor noise.
    assert seen[-1].energy_uj - seen[9].energy_uj == pytest.approx(119 * 105e6, abs=21e6)
    steps = {b.energy_uj - a.energy_uj for a, b in itertools.pairwise(seen)}
    assert steps == {10_500_000}


def test_the_counter_steps_in_its_unit(node: Callable[[str], Any]) -> None:
    world = node(BOARD + "counter_step_mj = 4000\ncounter_start_j = 400\n")
    seen = [reading.energy_uj for reading in readings(world, 5, 100)]
    assert all(energy_uj % 4_000_000 == 0 for energy_uj in seen)
    # 10 J in each refresh of 100 ms
    assert {b - a for a, b in itertools.pairwise(seen)} == {8_000_000, 12_000_000}


@pytest.mark.parametrize(
    ("text", "source", "lacking"),
    [
        ("", EnergySource.COUNTER, []),
        ("energy_counter = false\n", EnergySource.AVERAGE, ["energy counter"]),
        (
            "energy_counter = false\naverage_ms = 0\n",
            EnergySource.INSTANT,
            ["energy counter", "average power"],
        ),
        (
            "energy_counter = false\naverage_ms = 0\ninstant = false\n",
            EnergySource.NONE,
            ["energy counter", "average power", "instantaneous power"],
        ),
    ],
)
def test_what_a_board_lacks_is_none_and_named(
    node: Callable[[str], Any], text: str, source: EnergySource, lacking: list[str]
) -> None:
    world = node(BOARD + text)
    device = world.devices[0]
    assert device.info.energy_source is source
    assert [missing.capability for missing in device.info.missing] == lacking
    (reading,) = device.readings(world.run(5))
    for name, values in (
        ("energy counter", (reading.energy_uj, reading.energy_at_us)),
        ("average power", (reading.average_mw, reading.average_at_us)),
        ("instantaneous power", (reading.instant_mw, reading.instant_at_us)),
    ):
        assert (values == (None, None)) is (name in lacking)


@pytest.mark.fault("F50")
def test_timestamps_follow_a_step_of_the_wall_clock(node: Callable[[str], Any]) -> None:
    world = node(BOARD)
    (before,) = world.devices[0].readings(world.run(5))
    world.clock.step_wall(-3600 * NS_PER_S)
    (after,) = world.devices[0].readings(world.run(0))
    assert before.instant_at_us - after.instant_at_us == 3_600_000_000
    assert after.instant_mw == before.instant_mw


def test_activity_clocks_and_memory(node: Callable[[str], Any]) -> None:
    world = node(
        '[[gpu]]\nmodel = "H100"\nlimit_watts = 300\n'
        '[[process]]\nname = "a"\ngpu = 0\npid = 1\nstart_s = 2\nend_s = 4\nmemory_gib = 2\n'
        "utilisation = 0.5\nwatts = 600\n"
    )
    device = world.devices[0]
    seen = [(device.activity(now), device.gauges(now)) for now in map(world.run, (1, 2.5, 2.5))]
    assert [activity.utilization_percent for activity, _ in seen] == [0, 50, 0]
    assert [activity.memory_used_bytes for activity, _ in seen] == [0, 2 << 30, 0]
    clocks = [dict(gauges.clocks_hz)["sm"] for _, gauges in seen]
    assert clocks[0] == clocks[2] < clocks[1] < 1_980_000_000
    assert seen[1][1].power_limit_mw == 300_000
