"""The utilisation ring: one PID a sample, and in the long run everybody's own SM time."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.backends.mock.device import by_pid
from submeter.backends.mock.plan import PPM
from submeter.backends.mock.ring import RING_SAMPLES, Sample, newest_sample, sample_ns
from submeter.units import NS_PER_S, NS_PER_US

TWO = """
seed = {seed}
[[gpu]]
model = "H100"
[[process]]
name = "a"
gpu = 0
pid = 10
watts = 300
utilisation = {a}
shape = {{ kind = "training-step", step_ms = 310 }}
[[process]]
name = "b"
gpu = 0
pid = 20
watts = 90
utilisation = {b}
shape = {{ kind = "square", period_ms = 177 }}
"""


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.2, 0.6, 1.0]), st.sampled_from([0.3, 1.0]))
def test_shares_converge_to_sm_time(
    node: Callable[[str], Any], seed: int, a: float, b: float
) -> None:
    world = node(TWO.format(seed=seed, a=a, b=b))
    seconds = {10: 0.0, 20: 0.0}
    for _ in range(60):
        for sample in world.devices[0].utilisation(world.run(10)):
            seconds[sample.pid] += sample.sm_percent / 10
    true = {row["pid"]: row["sm_ns"] / NS_PER_S for row in world.gpu()["processes"].values()}
    # 4320 samples: a standard error of at most 0.76 % of the time.
    for pid, expected in true.items():
        assert seconds[pid] == pytest.approx(expected, abs=600 * 0.04)


def test_one_sample_names_one_pid(node: Callable[[str], Any]) -> None:
    world = node(TWO.format(seed=1, a=1, b=1))
    device = world.devices[0]
    named = [
        [sample.pid for sample in device.utilisation(world.run(10 / RING_SAMPLES))]
        for _ in range(RING_SAMPLES)
    ]
    assert all(len(pids) <= 1 for pids in named)
    assert {pid for pids in named for pid in pids} == {10, 20}


def test_samples_are_given_once_with_the_drivers_time(node: Callable[[str], Any]) -> None:
    world = node(TWO.format(seed=1, a=1, b=1))
    device = world.devices[0]
    first = device.utilisation(world.run(5))
    assert first
    assert device.utilisation(world.run(0)) == []
    wall_us = world.clock.wall_ns() // NS_PER_US
    assert all(wall_us - 5_000_000 <= sample.at_us <= wall_us for sample in first)
    later = device.utilisation(world.run(5))
    assert min(s.at_us for s in later) > max(s.at_us for s in first)


def test_the_ring_forgets_after_ten_seconds(node: Callable[[str], Any]) -> None:
    text = TWO.format(seed=1, a=1, b=1)
    world = node(text.replace('name = "a"', 'name = "a"\nend_s = 12'))
    seen = world.devices[0].utilisation(world.run(30))
    assert [sample.pid for sample in seen] == [20]


def test_percents_of_all_add_up_to_what_the_device_did(node: Callable[[str], Any]) -> None:
    world = node(TWO.format(seed=1, a=0.4, b=0.2))
    device = world.devices[0]
    now_ns = world.run(10)
    total = sum(sample.sm_percent for sample in device.utilisation(now_ns))
    true_ns = sum(row["sm_ns"] for row in world.gpu()["processes"].values())
    assert total == pytest.approx(true_ns / NS_PER_S * 10, abs=3)


def test_no_process_utilisation_under_mig(node: Callable[[str], Any]) -> None:
    world = node(
        '[[gpu]]\nmodel = "A100"\nmig = ["3g.40gb", "1g.10gb", "1g.10gb"]\n'
        '[[process]]\nname = "a"\ngpu = 0\nmig_instance = 2\npid = 1\ncharacter = "tensor"\n'
        '[[process]]\nname = "b"\ngpu = 0\nmig_instance = 0\npid = 2\ncharacter = "tensor"\n'
    )
    device = world.devices[0]
    now_ns = world.run(7)
    assert device.info.mig
    assert device.utilisation(now_ns) is None
    assert device.activity(now_ns).utilization_percent is None
    assert [(h.pid, h.gpu_instance, h.compute_instance, h.mig) for h in device.holders(now_ns)] == [
        (1, 8, 0, "1g.10gb/8"),
        (2, 1, 0, "3g.40gb/1"),
    ]
    a, b = world.gpu()["processes"].values()
    assert (a["mig"], b["mig"]) == ("1g.10gb/8", "3g.40gb/1")
    assert (a["sm_ns"], b["sm_ns"]) == (pytest.approx(1e9, abs=1e4), pytest.approx(3e9, abs=1e4))
    assert b["dynamic_uj"] == pytest.approx(3 * a["dynamic_uj"], rel=1e-4)


def test_percent_is_the_sum_over_all_samples() -> None:
    samples = [Sample(1, 5, PPM), Sample(2, 0, 0), Sample(3, 7, PPM // 2), Sample(4, 5, PPM // 2)]
    assert by_pid(samples) == {5: (4, 38), 7: (3, 13)}
    assert by_pid([]) == {}


@given(st.integers(0, 10**15))
def test_the_newest_sample_is_the_last_not_in_the_future(now_ns: int) -> None:
    number = newest_sample(now_ns)
    assert sample_ns(number) <= now_ns < sample_ns(number + 1)
