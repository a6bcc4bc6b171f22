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
