"""Energy is exact, conserved, and the same however often anybody looks."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.units import NS_PER_MS, NS_PER_S

PLAIN = """
seed = {seed}
[[gpu]]
idle_watts = 50
context_watts = 20
limit_watts = {limit}
memory_gib = 80
leakage_watts_per_c = 0
"""

SHAPES = (
    '{ kind = "constant" }',
    '{ kind = "square", period_ms = 130, duty = 0.3, low = 0.1 }',
    '{ kind = "training-step", step_ms = 210, checkpoint_every_s = 2, checkpoint_s = 0.7 }',
    '{ kind = "inference-poisson", rate_hz = 6, swing = 0.9, swing_period_s = 5, decode_ms = 300 }',
    '{ kind = "ramp", from = 0.2, to = 0.9, over_s = 3 }',
)


@st.composite
def scenarios(draw: st.DrawFn) -> str:
    """One GPU, some processes that come, go and perhaps come back, perhaps a tight limit."""
    text = f"""
seed = {draw(st.integers(0, 9))}
[[gpu]]
model = "{draw(st.sampled_from(["V100", "A100", "H100", "B200", "L40S", "RTX 4090"]))}"
gain = {draw(st.sampled_from([0.93, 1.0, 1.07]))}
noise_watts = {draw(st.sampled_from([0, 3]))}
limit_watts = {draw(st.sampled_from([230, 400, 2000]))}
leakage_watts_per_c = {draw(st.sampled_from([0, 0.3]))}
"""
    for index in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, 60)) / 10
        lasts = draw(st.integers(1, 50)) / 10
        again = draw(st.sampled_from(["", f"every_s = {lasts + 0.3}\n"]))
        text += f"""
[[process]]
name = "p{index}"
gpu = 0
pid = {1000 * (index + 1)}
start_s = {start}
end_s = {start + lasts}
{again}utilisation = {draw(st.sampled_from([0.1, 0.5, 0.9, 1.0]))}
watts = {draw(st.sampled_from([5, 120.5, 333.333]))}
shape = {draw(st.sampled_from(SHAPES))}
"""
    return text


def test_a_constant_load_costs_what_arithmetic_says(node: Callable[[str], Any]) -> None:
    world = node(
        PLAIN.format(seed=0, limit=500)
        + '[[process]]\nname = "a"\ngpu = 0\npid = 7\nstart_s = 2\nend_s = 5\nwatts = 100\n'
        + '[[process]]\nname = "b"\ngpu = 0\npid = 8\nstart_s = 4\nwatts = 30\nutilisation = 0\n'
    )
    world.run(10)
    truth = world.gpu()
    a, b = truth["processes"].values()
    assert (a["workload"], a["dynamic_uj"], a["sm_ns"]) == ("a", 300_000_000, 3 * NS_PER_S)
    assert (b["workload"], b["dynamic_uj"]) == ("b", 180_000_000)
    assert truth["idle_uj"] == 500_000_000
    assert truth["idle_unheld_uj"] == 100_000_000
    assert truth["context_uj"] == 160_000_000  # somebody held it from 2 s to 10 s
    assert (a["context_uj"], b["context_uj"]) == (50_000_000, 110_000_000)
    assert (a["idle_uj"], b["idle_uj"]) == (125_000_000, 275_000_000)
    assert truth["energy_uj"] == 1_140_000_000


@pytest.mark.parametrize(
    ("shape", "mean_level"),
    [
        ('{ kind = "square", period_ms = 130, duty = 0.3, low = 0.1 }', 0.3 + 0.7 * 0.1),
        ('{ kind = "ramp", from = 0.5, to = 1.0, over_s = 13, step_ms = 650 }', 0.7375),
        (
            '{ kind = "training-step", step_ms = 130, jitter = 0, sync = 0.2, sync_power = 0.5,'
            " stall = 0.1 }",
            0.8,
        ),
    ],
)
def test_shapes_take_what_their_parameters_say(
    node: Callable[[str], Any], shape: str, mean_level: float
) -> None:
    world = node(
        PLAIN.format(seed=0, limit=500)
        + f'[[process]]\nname = "a"\ngpu = 0\npid = 7\nwatts = 100\nshape = {shape}\n'
    )
    world.run(13)
    assert world.gpu()["dynamic_uj"] == pytest.approx(1_300_000_000 * mean_level, abs=100)


def test_a_level_changes_at_its_very_nanosecond(node: Callable[[str], Any]) -> None:
    world = node(
        PLAIN.format(seed=0, limit=500)
        + '[[process]]\nname = "a"\ngpu = 0\npid = 7\nwatts = 100\n'
        + 'shape = { kind = "square", period_ms = 130, duty = 0.3, low = 0.1 }\n'
    )
    world.run(0.1)
    assert world.gpu()["dynamic_uj"] == 100 * 39_000 + 10 * 61_000


def test_requests_arrive_as_often_as_said(node: Callable[[str], Any]) -> None:
    world = node(
        PLAIN.format(seed=0, limit=500)
        + '[[process]]\nname = "a"\ngpu = 0\npid = 7\nwatts = 100\n'
        + 'shape = { kind = "inference-poisson", rate_hz = 0.5, prefill_ms = 100,'
        + " decode_ms = 1, base = 0, batch = 10000 }\n"
    )
    world.run(4000)
    # 2000 ± 45 prefills of 100 ms at 100 W; a few overlap in time and queue up.
    assert world.gpu()["dynamic_uj"] == pytest.approx(20_000_000_000, rel=0.1)


def test_asking_for_more_than_there_is_shares_time_and_power(node: Callable[[str], Any]) -> None:
    world = node(
        PLAIN.format(seed=0, limit=500)
        + '[[process]]\nname = "a"\ngpu = 0\npid = 7\nwatts = 300\n'
        + '[[process]]\nname = "b"\ngpu = 0\npid = 8\nwatts = 100\n'
    )
    world.run(10)
    a, b = world.gpu()["processes"].values()
    assert (a["dynamic_uj"], b["dynamic_uj"]) == (1_500_000_000, 500_000_000)
    assert a["sm_ns"] == b["sm_ns"] == 5 * NS_PER_S


def test_the_limit_scales_dynamic_power_down_and_counts_the_time(
    node: Callable[[str], Any],
) -> None:
    world = node(
        PLAIN.format(seed=0, limit=170)
        + '[[process]]\nname = "a"\ngpu = 0\npid = 7\nstart_s = 1\nend_s = 4\nwatts = 400\n'
    )
    now_ns = world.run(10)
    (a,) = world.gpu()["processes"].values()
    assert a["dynamic_uj"] == 300_000_000
    gauges = world.devices[0].gauges(now_ns)
    assert gauges.throttle_ns == (("sw_power_cap", 3 * NS_PER_S),)


def test_one_job_on_several_gpus_works_in_step(node: Callable[[str], Any]) -> None:
    world = node(
        '[[gpu]]\nmodel = "H100"\ncount = 2\n[[process]]\nname = "a"\ngpu = [0, 1]\npid = 7\n'
        'character = "tensor"\nshape = { kind = "training-step" }\n'
    )
    world.run(33.3)
    first, second = world.gpu(0), world.gpu(1)
    assert first["dynamic_uj"] > 0
    assert first["processes"] == second["processes"]


def test_temperature_follows_power_with_a_lag(node: Callable[[str], Any]) -> None:
    world = node(
        PLAIN.format(seed=0, limit=500)
        + "ambient_c = 20\nkelvin_per_watt = 0.1\nthermal_lag_s = 10\n"
        + '[[process]]\nname = "a"\ngpu = 0\npid = 7\nstart_s = 10\nwatts = 330\n'
    )
    device = world.devices[0]
    seen = [device.gauges(world.run(wait)).temperature_core_c for wait in (9, 11, 100)]
    # 50 W rest at 25 °C; 400 W settle at 60 °C; after one lag 1 − 1/e of the way.
    assert seen[0] in (24, 25)
    assert 45 <= seen[1] <= 48
    assert seen[2] in (59, 60)


def test_leakage_makes_a_warm_board_draw_more(node: Callable[[str], Any]) -> None:
    text = (
        '[[gpu]]\nmodel = "H100"\nleakage_watts_per_c = {}\n'
        '[[process]]\nname = "a"\ngpu = 0\npid = 7\nend_s = 60\nwatts = 400\n'
    )
    worlds = [node(text.format(leak)) for leak in (0, 0.2)]
    for world in worlds:
        world.run(60)
    cold, warm = [world.gpu() for world in worlds]
    assert warm["dynamic_uj"] == cold["dynamic_uj"]
    # 22 °C above rest in the end, half of that on the way: 60 s · 0.2 W/K · ~13 K.
    assert warm["idle_uj"] - cold["idle_uj"] == pytest.approx(160_000_000, rel=0.3)


@settings(max_examples=60, deadline=None)
@given(scenarios(), st.lists(st.integers(1, 3 * NS_PER_S), min_size=1, max_size=8))
def test_parts_add_up_and_never_shrink(
    node: Callable[[str], Any], text: str, waits: list[int]
) -> None:
    world = node(text)
    before: dict[str, int] = {}
    for wait_ns in waits:
        world.clock.advance(wait_ns)
        truth = world.gpu()
        elapsed_ns = world.backend.truth()["elapsed_ns"]
        rows = truth["processes"]
        dynamic_uj = sum(row["dynamic_uj"] for row in rows.values())
        assert truth["energy_uj"] == truth["idle_uj"] + truth["context_uj"] + dynamic_uj
        assert truth["context_uj"] == sum(row["context_uj"] for row in rows.values())
        held_uj = sum(row["idle_uj"] for row in rows.values())
        assert truth["idle_uj"] == truth["idle_unheld_uj"] + held_uj
        instruments = world.backend._instruments[0]
        total_uj = instruments.board.history.energy_pj(elapsed_ns) // 1_000_000
        assert 0 <= total_uj - truth["energy_uj"] <= 1 + 3 * len(rows)
        now = {name: value for name, value in truth.items() if name.endswith("_uj")}
        now |= {f"{pid}.{k}": row[k] for pid, row in rows.items() for k in row if k[-3:] == "_uj"}
        assert all(value >= before.get(name, 0) for name, value in now.items())
        assert before.keys() <= now.keys()
        before = now


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1 << 30))
def test_how_often_anybody_looks_changes_nothing(
    node: Callable[[str], Any], text: str, habit: int
) -> None:
    often, seldom = node(text), node(text)
    step_ns = 10 * NS_PER_MS
    for tick in range(1, 801):
        for world in (often, seldom):
            world.clock.advance(step_ns)
        now_ns = often.clock.boottime_ns()
        seen = often.devices[0].readings(now_ns)
        if tick % 97 == 0:
            often.devices[0].utilisation(now_ns)
            often.devices[0].activity(now_ns)
        if tick % 10 == 0 and habit >> (tick // 10 % 30) & 1:
            assert seldom.devices[0].readings(now_ns) == seen
    assert often.devices[0].activity(now_ns) == seldom.devices[0].activity(now_ns)
    assert often.devices[0].gauges(now_ns) == seldom.devices[0].gauges(now_ns)
    assert often.backend.truth() == seldom.backend.truth()


@settings(max_examples=60, deadline=None)
@given(scenarios(), st.lists(st.integers(1, 2 * NS_PER_S), min_size=1, max_size=10))
def test_the_counter_is_the_truth_times_gain_within_one_step(
    node: Callable[[str], Any], text: str, waits: list[int]
) -> None:
    world = node(text)
    board = world.backend.scenario.boards[0]
    device = world.devices[0]
    start_uj = device.readings(world.run(0))[0].energy_uj
    last_uj = start_uj
    refresh_ns, most_mw = board.sensors.counter_refresh_ns, board.limit_mw
    for wait_ns in waits:
        world.clock.advance(wait_ns)
        shown_uj = device.readings(world.clock.boottime_ns())[0].energy_uj
        true_uj = world.gpu()["energy_uj"]
        assert shown_uj >= last_uj
        behind_uj = true_uj * board.sensors.gain_ppm // 1_000_000 - (shown_uj - start_uj)
        # One refresh behind at most at both ends, one step of rounding.
        slack_uj = refresh_ns * most_mw * 11 // 10 // 1_000_000 + 2 * board.sensors.counter_step_uj
        assert -slack_uj <= behind_uj <= slack_uj
        last_uj = shown_uj


@settings(max_examples=30, deadline=None)
@given(scenarios())
def test_no_board_draws_more_than_its_limit_or_less_than_its_floor(
    node: Callable[[str], Any], text: str
) -> None:
    world = node(text)
    plan = world.backend.scenario.boards[0]
    board = world.backend._instruments[0].board
    last_uj = 0
    for _ in range(400):
        world.clock.advance(20 * NS_PER_MS)
        energy_uj = world.gpu()["energy_uj"]
        assert plan.idle_mw * 20 - 6 <= energy_uj - last_uj <= plan.limit_mw * 20 + 6
        assert plan.idle_mw <= board.power_mw <= plan.limit_mw
        last_uj = energy_uj
