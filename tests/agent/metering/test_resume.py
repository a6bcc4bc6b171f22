"""A meter that goes on where an agent before it stopped: nothing is lost, doubled or invented."""

import pytest

from submeter.attribution import split
from submeter.attribution.split import AGENT_DOWN
from submeter.metering import Meter, resume
from submeter.model import (
    Checkpoint,
    CounterState,
    EnergySource,
    Floors,
    Interval,
    MeterState,
    Reading,
    SuspectReason,
    UnmeteredReason,
    Usage,
)
from submeter.units import NS_PER_S, UJ_PER_J

S = NS_PER_S
LIMIT_MW = 700_000
WALL = 1_767_225_600 * S
SET_FROM = 1_735_689_600 * S  # 2025
BASE = 5_000_000 * UJ_PER_J


def meter(source: EnergySource = EnergySource.COUNTER) -> Meter:
    return Meter("GPU-1", source, LIMIT_MW, S // 10)


def reading(at_ns: int, energy_uj: int | None, power_mw: int | None = None) -> Reading:
    return Reading(at_ns, energy_uj, None, power_mw, None, power_mw, None)


def checkpoint(at_ns: int, value_uj: int = BASE, boot_id: str = "this") -> Checkpoint:
    counter = CounterState(value_uj, value_uj, at_ns, 0, value_uj, 0, 0, 3)
    return Checkpoint(MeterState(at_ns, at_ns, at_ns, counter), boot_id, WALL)


def first(
    at: Checkpoint, now_ns: int, value_uj: int | None, wall_ns: int, power_mw: int | None = None
) -> list[Interval]:
    made = meter(EnergySource.AVERAGE if value_uj is None else EnergySource.COUNTER)
    assert resume(made, at, "this", now_ns, wall_ns)
    made.observe(reading(now_ns, value_uj, power_mw))
    return list(made.close(now_ns + S))


def test_what_the_counter_gained_is_the_agents_absence() -> None:
    now_ns = 1_000 * S
    done = first(checkpoint(900 * S), now_ns, BASE + 300 * UJ_PER_J, WALL + 100 * S)
    assert [(i.energy_uj, i.agent_down) for i in done] == [(300 * UJ_PER_J, True), (0, False)]
    assert (done[0].start_ns, done[0].end_ns, done[0].epoch) == (900 * S, now_ns, 3)
    assert not any(i.unmetered_ns or i.suspect_uj for i in done)
    (posting,) = split(done[0], Usage(()), Floors())
    assert posting.account.owner == AGENT_DOWN


@pytest.mark.fault("F68")
def test_more_than_it_can_have_used_is_suspect() -> None:
    done = first(checkpoint(990 * S), 1_000 * S, BASE + 10**6 * UJ_PER_J, WALL + 10 * S)
    assert sum(i.energy_uj for i in done) == 0
    assert done[0].suspect_uj == ((SuspectReason.JUMP, 10**6 * UJ_PER_J),)


def test_a_driver_restarted_meanwhile_counts_from_zero_and_says_what_is_missing() -> None:
    done = first(checkpoint(900 * S), 1_000 * S, 40 * UJ_PER_J, WALL + 100 * S)
    assert sum(i.energy_uj for i in done) == 40 * UJ_PER_J
    assert {i.epoch for i in done if i.energy_uj} == {4}
    unmetered = dict(pair for i in done for pair in i.unmetered_ns)
    assert unmetered == {UnmeteredReason.RESET: 100 * S}


@pytest.mark.parametrize("value_j", [500, 4_999_000, 5_000_100])
def test_after_a_reboot_the_counter_began_anew_where_that_can_be(value_j: int) -> None:
    """Booted 3 h ago: up to 2·700 W·3 h can have been used, from zero."""
    now_ns = 3 * 3_600 * S
    at = checkpoint(10**6 * S, boot_id="before")
    wall_ns = WALL + now_ns + 60 * S  # 60 s between the last agent and the boot
    done = first(at, now_ns, value_j * UJ_PER_J, wall_ns)
    assert sum(i.energy_uj for i in done) == value_j * UJ_PER_J
    assert done[-1].epoch == 4
    assert all(i.agent_down for i in done if i.energy_uj)
    assert dict(pair for i in done for pair in i.unmetered_ns) == {UnmeteredReason.RESET: 60 * S}


def test_after_a_reboot_a_counter_that_can_not_have_begun_anew_went_on() -> None:
    now_ns = 60 * S  # 84 kJ at most since then, and it shows 5 GJ
    at = checkpoint(10**6 * S, boot_id="before")
    done = first(at, now_ns, BASE + 2_000 * UJ_PER_J, WALL + now_ns + 60 * S)
    assert sum(i.energy_uj for i in done) == 2_000 * UJ_PER_J
    assert done[-1].epoch == 3
    assert not any(i.unmetered_ns for i in done)


def test_after_a_reboot_what_is_neither_is_suspect() -> None:
    at = checkpoint(10**6 * S, boot_id="before")
    done = first(at, 60 * S, 2 * BASE, WALL + 120 * S)
    assert sum(i.energy_uj for i in done) == 0
    assert sum(uj for i in done for _, uj in i.suspect_uj) == 2 * BASE


@pytest.mark.parametrize(
    ("last_wall_ns", "wall_ns", "before_s"),
    [
        (WALL, WALL + 120 * S, 60),
        (SET_FROM, SET_FROM + 120 * S, 60),  # the first moment that a clock is taken to be set
        (SET_FROM - 1, SET_FROM + 120 * S, 0),
        (1_000 * S, WALL, 0),
        (WALL, 1_000 * S, 0),
        (WALL, WALL + 50 * S, 0),
    ],
)
def test_how_long_the_machine_was_off_is_told_by_clocks_that_are_set(
    last_wall_ns: int, wall_ns: int, before_s: int
) -> None:
    at = checkpoint(10**6 * S, boot_id="before")._replace(wall_ns=last_wall_ns)
    done = first(at, 60 * S, 40 * UJ_PER_J, wall_ns)
    unmetered = dict(pair for i in done for pair in i.unmetered_ns)
    assert unmetered == ({UnmeteredReason.RESET: before_s * S} if before_s else {})


def test_without_a_counter_the_absence_is_unmetered() -> None:
    state = MeterState(900 * S, 900 * S, 900 * S)
    done = first(Checkpoint(state, "this", WALL), 1_000 * S, None, WALL + 100 * S, 200_000)
    assert sum(i.energy_uj for i in done) == 0
    assert dict(pair for i in done for pair in i.unmetered_ns) == {UnmeteredReason.GAP: 100 * S}


@pytest.mark.fault("F68")
def test_a_checkpoint_of_the_future_books_no_more_than_a_moments_worth() -> None:
    """A virtual machine was put back to an earlier moment of the same boot."""
    made = meter()
    assert "later" in resume(made, checkpoint(5_000 * S), "this", 1_000 * S, WALL)
    made.observe(reading(1_001 * S, BASE + 9_000 * UJ_PER_J))
    done = made.close(1_002 * S)
    assert sum(i.energy_uj for i in done) == 0
    assert done[0].suspect_uj == ((SuspectReason.JUMP, 9_000 * UJ_PER_J),)


def test_a_checkpoint_of_this_very_moment_is_not_of_the_future() -> None:
    assert resume(meter(), checkpoint(1_000 * S), "this", 1_000 * S, WALL) == "no agent for 0 s"


def test_a_simulation_begins_anew() -> None:
    made = meter()
    assert resume(made, checkpoint(900 * S), "", 1_000 * S, WALL) == ""
    assert resume(made, checkpoint(900 * S, boot_id=""), "this", 1_000 * S, WALL) == ""
    assert resume(made, None, "this", 1_000 * S, WALL) == ""
    made.observe(reading(1_000 * S, BASE))
    assert made.close(1_001 * S)[0].energy_uj == 0


@pytest.mark.parametrize("cuts", range(1, 9))
def test_wherever_it_is_cut_the_sum_is_the_same(cuts: int) -> None:
    """A history with a jitter, a dip and a restart, metered by one meter or by several in turn."""
    rises = [5, 5, -3, 4, 30, -4_000_000, 4_000_020, 7, 9, -4_000_050, 3, 20, 20, 11]
    value_uj, at_ns = BASE, 1_000 * S
    total_uj = suspect_uj = 0
    one, state = meter(), None
    for step, rise in enumerate(rises):
        at_ns += S
        value_uj += rise * UJ_PER_J
        if step and step % cuts == 0 and state is not None:
            one = meter()
            resume(one, Checkpoint(state, "this", WALL), "this", at_ns, WALL)
        one.observe(reading(at_ns, max(value_uj, 0)))
        for interval in one.close(at_ns):
            total_uj += interval.energy_uj
            suspect_uj += sum(uj for _, uj in interval.suspect_uj)
            state = interval.state or state
    whole = meter()
    value_uj, at_ns, expected_uj = BASE, 1_000 * S, 0
    for rise in rises:
        at_ns += S
        value_uj += rise * UJ_PER_J
        whole.observe(reading(at_ns, max(value_uj, 0)))
        expected_uj += sum(i.energy_uj for i in whole.close(at_ns))
    assert total_uj == expected_uj


def test_of_several_intervals_only_the_last_says_where_the_next_begins() -> None:
    """Who went on from an earlier one would book the later ones twice."""
    made = meter()
    for at_ns, value_uj in ((10 * S, 0), (11 * S, 100), (31 * S, 900), (32 * S, 1_000)):
        made.observe(reading(at_ns, BASE + value_uj * UJ_PER_J))
    done = made.close(33 * S)
    assert len(done) > 1
    assert [each.state is not None for each in done] == [False] * (len(done) - 1) + [True]
    state = done[-1].state
    assert state is not None
    assert state.end_ns == done[-1].end_ns == 33 * S


def test_an_agent_that_never_read_the_counter_left_nothing_to_compare_with() -> None:
    """Its GPU was lost from the first reading on: only its time goes on."""
    now_ns = 1_000 * S
    before = Checkpoint(MeterState(900 * S, 900 * S, 900 * S, None), "this", WALL)
    done = first(before, now_ns, BASE, WALL + 100 * S)
    assert [each.energy_uj for each in done] == [0, 0]
    assert done[0].start_ns == 900 * S
    assert not any(each.suspect_uj or each.resets for each in done)


def test_a_board_that_is_lost_before_its_counter_was_read_is_not_waited_for() -> None:
    """Somebody said that it is gone: the seconds are counted, and not kept for its counter."""
    made = meter()
    assert resume(made, checkpoint(900 * S), "this", 1_000 * S, WALL + 100 * S)
    assert not any(i.unmetered_ns for i in made.close(1_000 * S))
    made.lost(1_001 * S)
    done = [interval for at in (1_030, 1_060) for interval in made.close(at * S)]
    assert sum(ns for i in done for _, ns in i.unmetered_ns) > 0


@pytest.mark.parametrize("energy_uj", [BASE, None])
def test_where_no_agent_was_before_none_was_down(energy_uj: int | None) -> None:
    made = meter(EnergySource.AVERAGE if energy_uj is None else EnergySource.COUNTER)
    for second in (1, 2):
        made.observe(reading(second * S, energy_uj, 50_000))
    assert [interval.agent_down for interval in made.close(2 * S)] == [False]


@pytest.mark.fault("F68")
def test_after_a_return_to_an_earlier_moment_a_moments_worth_is_booked() -> None:
    made = meter()
    assert resume(made, checkpoint(5_000 * S), "this", 1_000 * S, WALL)
    made.observe(reading(1_001 * S, BASE + 1_000 * UJ_PER_J))  # in a second, at 700 W and twice
    done = made.close(1_002 * S)
    assert sum(each.energy_uj for each in done) == 1_000 * UJ_PER_J
    assert done[0].start_ns == 1_000 * S


def test_after_a_reboot_the_time_since_is_the_agents_absence_from_zero_on() -> None:
    made = meter()
    state = checkpoint(10**6 * S, boot_id="before")
    assert resume(made, state, "this", 100 * S, WALL) == (
        "the machine was restarted, 0 s after the last agent by the wall clock, 100 s ago"
    )
    (waiting,) = made.close(101 * S)
    assert (waiting.start_ns, waiting.end_ns) == (0, 101 * S)
    assert (waiting.agent_down, waiting.observed, waiting.energy_uj) == (True, False, 0)
    assert waiting.state is None, "its energy is yet to be found out"


@pytest.mark.parametrize(
    ("last_s", "now_s", "before_s"),
    [(0, 100, 40), (0, 59, 0), (-(1 << 30), 100, 0)],  # a clock that was set back, one never set
)
def test_how_long_before_the_boot_it_was_is_said_by_clocks_that_are_set(
    last_s: int, now_s: int, before_s: int
) -> None:
    made = meter()
    before = checkpoint(10**6 * S, boot_id="before")._replace(wall_ns=WALL + last_s * S)
    said = resume(made, before, "this", 60 * S, WALL + now_s * S)
    assert said.startswith(f"the machine was restarted, {before_s} s after")
    assert said.endswith(", 60 s ago")


def test_the_first_moment_of_2025_is_a_clock_that_is_set() -> None:
    set_ns = 1_735_689_600 * S
    for last_ns, now_ns, before_s in (
        (set_ns, set_ns + 100 * S, 40),
        (set_ns - 1, set_ns + 100 * S, 0),
        (set_ns - 200 * S, set_ns - 100 * S, 0),
    ):
        before = checkpoint(10**6 * S, boot_id="before")._replace(wall_ns=last_ns)
        assert f", {before_s} s after" in resume(meter(), before, "this", 60 * S, now_ns)
    assert resume(meter(), checkpoint(900 * S), "this", 900 * S, WALL) == "no agent for 0 s"
    assert resume(meter(), checkpoint(900 * S), "this", 900 * S + 1, WALL) == "no agent for 0 s"
    assert resume(meter(), checkpoint(900 * S), "this", 902 * S, WALL) == "no agent for 2 s"


def test_a_board_that_has_no_counter_any_more_leaves_its_absence_unmetered() -> None:
    """The last agent read one: what it showed then says nothing to power."""
    for boot_id, missing_s in (("before", 40 + 60), ("this", 60)):
        made = meter(EnergySource.AVERAGE)
        before = checkpoint(0 if boot_id == "this" else 10**6 * S, boot_id=boot_id)
        assert resume(made, before, "this", 60 * S, WALL + 100 * S)
        for second in (60, 61):
            made.observe(reading(second * S, None, 200_000))
        done = made.close(61 * S)
        assert sum(each.energy_uj for each in done) == 200 * UJ_PER_J
        missing = sum(ns for each in done for _, ns in each.unmetered_ns)
        assert missing == missing_s * S
        assert {each.epoch for each in done} == {0}
