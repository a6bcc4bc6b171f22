"""Simulated sensors read by jittery loops: the estimate must find the sensor's period."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.metering.refresh import (
    _middle,
    assumed_refresh_ns,
    estimate_period_ns,
    estimate_refresh_ns,
)
from submeter.model import Reading
from submeter.units import NS_PER_MS

LONG_NS = 1_600 * NS_PER_MS

Points = list[tuple[int, int]]


def polled(
    period_ns: int,
    seed: int,
    *,
    fastest_ns: int = 2 * NS_PER_MS,
    slowest_ns: int = 5 * NS_PER_MS,
    late_share: float = 0.0,
    repeat_share: float = 0.0,
    duration_ns: int = LONG_NS,
) -> Points:
    """A sensor with a new value every ``period_ns``, read every ``fastest…slowest``."""
    dice = random.Random(seed)
    phase_ns = dice.randrange(period_ns)
    values: dict[int, int] = {}
    points: Points = []
    at_ns, value = 0, 1_000
    while at_ns < duration_ns:
        update = (at_ns + phase_ns) // period_ns
        if update not in values:
            if dice.random() >= repeat_share:
                value += dice.choice((-7, -3, 3, 7, 11))
            values[update] = value
        points.append((at_ns, values[update]))
        at_ns += dice.randrange(fastest_ns, slowest_ns + 1)
        if dice.random() < late_share:
            at_ns += dice.randrange(40 * NS_PER_MS)
    return points


def reading(at_ns: int, energy_uj: int | None, instant_mw: int | None) -> Reading:
    return Reading(at_ns, energy_uj, None, instant_mw, None, None, None)


@given(
    period_ns=st.integers(10 * NS_PER_MS, 500 * NS_PER_MS),
    seed=st.integers(0, 2**32),
)
def test_finds_the_period_through_jitter(period_ns: int, seed: int) -> None:
    estimate_ns = estimate_period_ns(polled(period_ns, seed))
    assert estimate_ns is not None
    assert abs(estimate_ns - period_ns) <= period_ns // 20


@given(
    period_ns=st.integers(15 * NS_PER_MS, 500 * NS_PER_MS),
    seed=st.integers(0, 2**32),
)
def test_late_reads_do_not_mislead(period_ns: int, seed: int) -> None:
    estimate_ns = estimate_period_ns(polled(period_ns, seed, late_share=0.02))
    assert estimate_ns is None or abs(estimate_ns - period_ns) <= period_ns // 20


@given(
    period_ns=st.integers(15 * NS_PER_MS, 50 * NS_PER_MS),
    seed=st.integers(0, 2**32),
)
def test_repeated_values_do_not_mislead_where_many_are_seen(period_ns: int, seed: int) -> None:
    estimate_ns = estimate_period_ns(polled(period_ns, seed, repeat_share=0.25))
    assert estimate_ns is None or abs(estimate_ns - period_ns) <= period_ns // 20


def test_loop_that_is_slower_than_the_sensor_tells_nothing() -> None:
    points = polled(2 * NS_PER_MS, 1, fastest_ns=4 * NS_PER_MS, slowest_ns=6 * NS_PER_MS)
    assert estimate_period_ns(points) is None


def test_irregular_changes_tell_nothing() -> None:
    dice = random.Random(3)
    times, at_ns = [], 0
    for _ in range(12):
        at_ns += dice.choice((13, 40, 71, 107, 170)) * NS_PER_MS
        times.append(at_ns)
    points = [(t, sum(t >= change for change in times)) for t in range(0, at_ns, 3 * NS_PER_MS)]
    assert estimate_period_ns(points) is None


@pytest.mark.parametrize("points", [[], [(0, 1)], [(n * NS_PER_MS, 5) for n in range(500)]])
def test_without_changes_there_is_no_estimate(points: Points) -> None:
    assert estimate_period_ns(points) is None


def test_fastest_signal_counts_and_a_constant_one_does_not_matter() -> None:
    energy = dict(polled(100 * NS_PER_MS, 5))
    readings = [reading(at_ns, value, 70_000) for at_ns, value in energy.items()]
    estimate_ns = estimate_refresh_ns(readings)
    assert estimate_ns is not None
    assert abs(estimate_ns - 100 * NS_PER_MS) <= 5 * NS_PER_MS


def test_of_two_signals_that_change_the_faster_one_is_the_refresh() -> None:
    energy, power_period_ns = dict(polled(100 * NS_PER_MS, 5)), 25 * NS_PER_MS
    readings = [
        reading(at_ns, value, 70_000 + at_ns // power_period_ns) for at_ns, value in energy.items()
    ]
    estimate_ns = estimate_refresh_ns(readings)
    assert estimate_ns is not None
    assert abs(estimate_ns - power_period_ns) <= 2 * NS_PER_MS


def test_signals_a_board_lacks_are_ignored() -> None:
    power = dict(polled(20 * NS_PER_MS, 6))
    readings = [reading(at_ns, None, value) for at_ns, value in power.items()]
    estimate_ns = estimate_refresh_ns(readings)
    assert estimate_ns is not None
    assert abs(estimate_ns - 20 * NS_PER_MS) <= NS_PER_MS


@pytest.mark.parametrize(
    ("arch", "ms"), [("volta", 20), ("pascal", 20), ("hopper", 100), ("", 100)]
)
def test_assumption_by_generation(arch: str, ms: int) -> None:
    assert assumed_refresh_ns(arch) == ms * NS_PER_MS


def test_a_value_that_changes_at_three_of_four_readings_still_has_a_period() -> None:
    points = [(at * 10 * NS_PER_MS, at - at // 4) for at in range(41)]
    assert len({value for _, value in points}) == 31  # where it changes more often, some are missed
    assert estimate_period_ns(points) is not None


@pytest.mark.parametrize(("changed", "told"), [(6, True), (7, False)])
def test_three_of_four_is_the_most(changed: int, told: bool) -> None:
    steps = (1, 1, 0, 1, 1, 1, 0, 1) if changed == 6 else (1,) * 7 + (0,)
    points = [(at * 10 * NS_PER_MS, sum(steps[:at])) for at in range(9)]
    assert (estimate_period_ns(points) is not None) is told


@pytest.mark.parametrize(
    ("odd_ms", "period_ms"), [([130], 103), ([130, 130], None), ([], 100), ([100, 100], 100)]
)
def test_one_gap_in_ten_may_be_no_whole_period(odd_ms: list[int], period_ms: int | None) -> None:
    gaps_ms = [100] * (10 - len(odd_ms)) + odd_ms
    times_ms = [10 + sum(gaps_ms[:n]) for n in range(11)]
    points = [(at * NS_PER_MS, sum(at >= time for time in times_ms)) for at in range(1_200)]
    assert estimate_period_ns(points) == (None if period_ms is None else period_ms * NS_PER_MS)


def test_gaps_may_be_off_by_as_much_as_the_readings_lay_apart() -> None:
    """Here 48 ms: so much sooner or later than what is seen of it each change may have been."""
    points: Points = []
    for change in range(11):
        at_ms = 24 + change * 100 + 48 * (change % 2)
        points += [((at_ms - 24) * NS_PER_MS, change), ((at_ms + 24) * NS_PER_MS, change + 1)]
    assert estimate_period_ns(points) == 100 * NS_PER_MS


@pytest.mark.parametrize(
    ("values", "middle"), [((1,), 1), ((1, 4), 2.5), ((1, 2, 9), 2), ((1, 2, 4, 9), 3)]
)
def test_the_middle_is_the_median(values: tuple[int, ...], middle: float) -> None:
    assert _middle(values) == middle
