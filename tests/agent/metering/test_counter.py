"""The counter's table of rules, where the meter's tests don't reach."""

import pytest

from submeter.metering.counter import Counter
from submeter.model import SuspectReason
from submeter.units import NS_PER_MS, NS_PER_S, PJ_PER_UJ, UJ_PER_J

KW = 1_000_000  # mW
BURST_UJ = KW * 350 * NS_PER_MS // PJ_PER_UJ


def counter(first_uj: int = 10**12) -> Counter:
    made = Counter(KW, 100 * NS_PER_MS)
    assert made.advance(0, first_uj) == 0
    return made


def test_a_step_is_believed_up_to_the_bound_and_not_beyond() -> None:
    bound_uj = BURST_UJ + 1_000 * UJ_PER_J
    assert counter().advance(NS_PER_S, 10**12 + bound_uj) == bound_uj
    too_far = counter()
    assert too_far.advance(NS_PER_S, 10**12 + bound_uj + 1) == 0
    assert too_far.take_faults().suspect_uj == ((SuspectReason.JUMP, bound_uj + 1),)


def test_faults_are_told_once() -> None:
    jumpy = counter()
    jumpy.advance(NS_PER_S, 10**15)
    assert jumpy.take_faults().suspect_uj
    assert not jumpy.take_faults().suspect_uj


def test_a_spent_burst_fills_up_again_with_time() -> None:
    bursty = counter()
    value = 10**12 + BURST_UJ
    assert bursty.advance(1, value) == BURST_UJ
    assert bursty.advance(2, value + UJ_PER_J) == 0
    value += UJ_PER_J
    assert bursty.advance(2 + 350 * NS_PER_MS, value + BURST_UJ) == BURST_UJ


def test_bridged_energy_counts_against_what_the_counter_may_still_book() -> None:
    stalled = counter()
    stalled.bridge(900 * UJ_PER_J)
    assert stalled.advance(NS_PER_S, 10**12 + 1_000 * UJ_PER_J) == 100 * UJ_PER_J
    assert stalled.advance(NS_PER_S + 1, 10**12 + 1_000 * UJ_PER_J + BURST_UJ + 2 * UJ_PER_J) == 0


def test_energy_dates_from_the_value_that_was_believed_last() -> None:
    odd = counter()
    odd.advance(NS_PER_S, 10**12 + UJ_PER_J)
    odd.advance(2 * NS_PER_S, 10**15)
    odd.advance(3 * NS_PER_S, 10**12 + 3 * UJ_PER_J)
    assert odd.since_ns == NS_PER_S


@pytest.mark.fault("F11")
def test_a_small_step_back_at_a_mark_is_jitter_there() -> None:
    """22 MJ, 200 J, 22 MJ less one joule: the old base stays the one to pass."""
    odd = counter()
    odd.advance(NS_PER_S, 200 * UJ_PER_J)
    assert odd.advance(2 * NS_PER_S, 10**12 - UJ_PER_J) == 0
    assert odd.advance(3 * NS_PER_S, 10**12 + 300 * UJ_PER_J) == 100 * UJ_PER_J
    assert odd.epoch == 1


def test_near_zero_a_small_fall_is_a_restart() -> None:
    young = counter(9 * UJ_PER_J)
    assert young.advance(NS_PER_S, 2 * UJ_PER_J) == 2 * UJ_PER_J
    assert young.epoch == 1
    assert young.advance(2 * NS_PER_S, 4 * UJ_PER_J) == 2 * UJ_PER_J


@pytest.mark.parametrize(
    ("base_j", "value_j", "restarts"),
    [(20, 10, 0), (21, 10, 1), (10, 9, 1), (5, 5, 0), (100, 90, 0), (100, 89, 1)],
)
def test_how_far_a_counter_may_fall_and_from_where_on(
    base_j: int, value_j: int, restarts: int
) -> None:
    """Ten joules, and not below ten: there, whatever it shows can be all it counted since."""
    fallen = counter(base_j * UJ_PER_J)
    fallen.advance(1, 10**15)  # impossible: the base left behind is a mark
    fallen.advance(2, base_j * UJ_PER_J)
    fallen.take_faults()
    fallen.advance(10 * NS_PER_S, value_j * UJ_PER_J)
    assert fallen.take_faults().resets == restarts


@pytest.mark.fault("F12")
def test_two_falls_in_a_row_are_repaid_in_full() -> None:
    """What the first one left owing is still owed after the second."""
    odd, tick = counter(), 100 * NS_PER_MS
    shown_j = [200, 10**6 + 50, 200, 10**6 + 100, *(10**6 + 150 + 50 * i for i in range(10))]
    booked = [odd.advance((i + 1) * tick, shown * UJ_PER_J) for i, shown in enumerate(shown_j)]
    assert sum(booked) == 600 * UJ_PER_J
    assert max(booked) <= 200 * UJ_PER_J


def test_a_restart_of_a_young_counter_is_no_return_once_it_has_grown_past_the_old_value() -> None:
    young = counter(300 * UJ_PER_J)
    young.advance(NS_PER_S, 20 * UJ_PER_J)
    young.advance(2 * NS_PER_S, 900 * UJ_PER_J)
    assert young.advance(3 * NS_PER_S, 310 * UJ_PER_J) == 310 * UJ_PER_J
    assert young.epoch == 2


def test_what_is_suspect_is_not_booked_and_takes_nothing_off() -> None:
    """Not one microjoule either way, where a jump and where a restart can't be believed."""
    for value_uj in (10**15, 10**13 // 2):
        counter = Counter(1_400_000, 100_000_000)
        counter.advance(10**9, 10**13)
        assert counter.advance(2 * 10**9, value_uj) == 0
        ((_, suspect_uj),) = counter.take_faults().suspect_uj
        assert suspect_uj == (value_uj - 10**13 if value_uj > 10**13 else value_uj)


@pytest.mark.parametrize("odd_first", [False, True])
def test_the_bucket_is_filled_by_time_and_emptied_by_what_is_booked(odd_first: bool) -> None:
    """1 kW is believed, and 350 ms of it at once: whichever way a value is looked at, what may be
    booked until then is the same."""
    made, value_uj = counter(), 10**12
    if odd_first:
        made.advance(1, value_uj - UJ_PER_J)  # jitter: from here on every rule is gone through
    full = BURST_UJ * PJ_PER_UJ

    def left() -> int:
        state = made.state()
        assert state is not None
        return state.bucket_pj

    assert left() == full
    value_uj += 100 * UJ_PER_J
    assert made.advance(50 * NS_PER_MS, value_uj) == 100 * UJ_PER_J
    assert left() == full - 50 * UJ_PER_J * PJ_PER_UJ
    value_uj += UJ_PER_J
    assert made.advance(60 * NS_PER_MS, value_uj) == UJ_PER_J
    assert left() == full - 41 * UJ_PER_J * PJ_PER_UJ
    value_uj += UJ_PER_J
    made.advance(NS_PER_S, value_uj)
    assert left() == full, "never more than it holds"
    assert made.since_ns == 60 * NS_PER_MS


def test_what_is_pending_is_known_until_it_is_taken() -> None:
    made = counter()
    pending = [made.pending]
    made.advance(NS_PER_S, 10**15)
    pending.append(made.pending)
    made.take_faults()
    pending.append(made.pending)
    assert pending == [False, True, False]
    state = made.state()
    assert state is not None
    rebooted = Counter(KW, 100 * NS_PER_MS)
    rebooted.resume_rebooted(state, 5)
    pending = [rebooted.pending]  # whether it began anew is not known before its first value
    rebooted.advance(NS_PER_S, UJ_PER_J)
    assert rebooted.take_faults().resets == 1
    pending.append(rebooted.pending)
    assert pending == [True, False]


def test_after_a_reboot_a_counter_may_stand_where_it_stood() -> None:
    """A machine that was off for a minute, and a board that kept its count and used nothing."""
    before = counter(5 * 10**12)
    state = before.state()
    assert state is not None
    made = Counter(KW, 100 * NS_PER_MS)
    made.resume_rebooted(state, 60 * NS_PER_S)
    assert made.raw_uj is None
    assert made.advance(NS_PER_S, 5 * 10**12) == 0
    assert made.take_faults() == ((), 0, 0)
    assert made.epoch == 0
    assert made.since_ns == -60 * NS_PER_S
    assert made.advance(2 * NS_PER_S, 5 * 10**12 + UJ_PER_J) == UJ_PER_J


def test_at_most_four_values_that_it_left_are_remembered() -> None:
    made = counter()
    for number in range(6):
        made.advance((number + 1) * NS_PER_S, 10**13 + number * 10**12)
    state = made.state()
    assert state is not None
    assert [mark[0] for mark in state.marks] == [10**13 + number * 10**12 for number in range(1, 5)]
    assert [mark[1] for mark in state.marks] == [NS_PER_S * (number + 1) for number in range(1, 5)]


def test_a_mark_is_returned_to_for_ten_minutes_and_not_a_moment_longer() -> None:
    for late_ns, gained_uj in ((0, 5 * UJ_PER_J), (1, 0)):
        made = counter()
        made.advance(NS_PER_S, 10**15)  # left at 0 ns
        value_uj = 10**12 + 5 * UJ_PER_J
        assert made.advance(600 * NS_PER_S + late_ns, value_uj) == gained_uj
        faults = made.take_faults()
        assert faults.resets == (1 if late_ns else 0)


def test_a_state_is_resumed_as_it_was_and_its_bucket_within_bounds() -> None:
    odd = counter()
    odd.advance(NS_PER_S, 10**12 + 7 * UJ_PER_J)
    odd.bridge(3)
    odd.advance(2 * NS_PER_S, 200 * UJ_PER_J)
    odd.take_faults()
    state = odd.state()
    assert state is not None
    again = Counter(KW, 100 * NS_PER_MS)
    again.resume(state)
    assert again.state() == state
    assert again.since_ns == again.at_ns == 2 * NS_PER_S
    for value_uj in (10**12 + 20 * UJ_PER_J, 10**12 + 30 * UJ_PER_J):
        assert odd.advance(3 * NS_PER_S, value_uj) == again.advance(3 * NS_PER_S, value_uj)
    assert again.state() == odd.state()
    for stored, kept in ((-5, 0), (1 << 70, BURST_UJ * PJ_PER_UJ)):
        again.resume(state._replace(bucket_pj=stored))
        resumed = again.state()
        assert resumed is not None
        assert resumed.bucket_pj == kept


def test_a_fresh_one_has_nothing_to_say() -> None:
    made = Counter(KW, 100 * NS_PER_MS)
    assert made.state() is None
    assert (made.raw_uj, made.epoch, made.at_ns, made.since_ns) == (None, 0, 0, 0)
    made.advance(7, 10**12)
    state = made.state()
    assert state == (10**12, 10**12, 7, BURST_UJ * PJ_PER_UJ, 0, 0, 0, 0, ())


def test_the_bound_is_the_same_where_every_rule_is_gone_through() -> None:
    bound_uj = BURST_UJ + 1_000 * UJ_PER_J
    for more_uj, booked_uj in ((0, bound_uj), (1, 0)):
        made = counter()
        assert made.advance(1, 10**12 - UJ_PER_J) == 0
        assert made.advance(NS_PER_S, 10**12 + bound_uj + more_uj) == booked_uj
