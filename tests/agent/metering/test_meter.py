"""What a meter books for what it reads, rule by rule."""

from collections.abc import Iterable

import pytest

from submeter.metering import Meter
from submeter.model import EnergySource, Interval, Reading, SuspectReason, UnmeteredReason
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J

S = NS_PER_S
TICK = 100 * NS_PER_MS
LIFETIME = 22_000_000 * UJ_PER_J  # 22 MJ
WATTS = 1_000
JOULE = UJ_PER_J


def reading(
    at_ns: int,
    energy_uj: int | None = None,
    instant_mw: int | None = None,
    average_mw: int | None = None,
) -> Reading:
    return Reading(at_ns, energy_uj, None, instant_mw, None, average_mw, None)


def counter_meter(limit_mw: int | None = 700 * WATTS) -> Meter:
    return Meter("GPU-1", EnergySource.COUNTER, limit_mw, TICK)


def fed(meter: Meter, values: Iterable[tuple[float, int | None]]) -> Meter:
    """Counter values at seconds."""
    for second, energy_uj in values:
        meter.observe(reading(round(second * S), energy_uj))
    return meter


def energy(intervals: Iterable[Interval]) -> int:
    return sum(interval.energy_uj for interval in intervals)


def suspect(intervals: Iterable[Interval]) -> dict[SuspectReason, int]:
    return dict(pair for interval in intervals for pair in interval.suspect_uj)


def unmetered(intervals: Iterable[Interval]) -> dict[UnmeteredReason, int]:
    total: dict[UnmeteredReason, int] = {}
    for interval in intervals:
        for reason, duration_ns in interval.unmetered_ns:
            total[reason] = total.get(reason, 0) + duration_ns
    return total


class TestOrdinaryCounter:
    def test_the_first_value_is_a_base_and_no_energy(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME)])
        (interval,) = meter.close(2 * S)
        assert interval.energy_uj == 0
        assert (interval.start_ns, interval.end_ns, interval.readings) == (S, 2 * S, 1)

    def test_before_the_first_reading_nothing_is_metered(self) -> None:
        assert counter_meter().close(5 * S) == ()

    def test_energy_is_the_counters_difference(self) -> None:
        meter = fed(
            counter_meter(), [(1, 0), (1.1, 30 * JOULE), (1.2, 30 * JOULE), (1.3, 61 * JOULE)]
        )
        (interval,) = meter.close(2 * S)
        assert interval.energy_uj == interval.counter_uj == 61 * JOULE
        assert interval.source is EnergySource.COUNTER
        assert interval.observed

    def test_a_step_read_after_the_boundary_belongs_to_the_next_interval(self) -> None:
        meter = fed(counter_meter(), [(1, 0), (1.9, 100 * JOULE)])
        (first,) = meter.close(2 * S)
        fed(meter, [(2.05, 115 * JOULE)])
        (second,) = meter.close(3 * S)
        assert (first.energy_uj, second.energy_uj) == (100 * JOULE, 15 * JOULE)
        assert first.end_ns == second.start_ns == 2 * S

    def test_a_reading_taken_before_the_boundary_but_seen_after_it_is_not_lost(self) -> None:
        meter = fed(counter_meter(), [(1, 0)])
        meter.close(2 * S)
        fed(meter, [(1.9, 50 * JOULE)])
        assert energy(meter.close(3 * S)) == 50 * JOULE

    @pytest.mark.fault("F56")
    def test_a_reading_that_is_not_newer_leaves_its_energy_to_the_next(self) -> None:
        meter = fed(
            counter_meter(), [(1, 0), (1, 10 * JOULE), (0.5, 15 * JOULE), (1.1, 20 * JOULE)]
        )
        (interval,) = meter.close(2 * S)
        assert interval.energy_uj == 20 * JOULE
        assert interval.readings == 2

    def test_a_value_missing_this_time_is_skipped(self) -> None:
        meter = fed(counter_meter(), [(1, 0), (1.1, None), (1.2, 20 * JOULE)])
        assert energy(meter.close(2 * S)) == 20 * JOULE

    def test_closing_twice_at_the_same_time_gives_nothing_new(self) -> None:
        meter = fed(counter_meter(), [(1, 0)])
        assert len(meter.close(2 * S)) == 1
        assert meter.close(2 * S) == ()

    def test_extremes_are_of_instantaneous_power(self) -> None:
        meter = counter_meter()
        for i, watts in enumerate((300, 877, 120)):
            meter.observe(reading(S + i * TICK, i * 40 * JOULE, watts * WATTS, 400 * WATTS))
        (interval,) = meter.close(2 * S)
        assert (interval.power_min_mw, interval.power_max_mw) == (120 * WATTS, 877 * WATTS)
        peaks = meter.peaks(2 * S)
        assert peaks is not None
        assert (peaks.min_mw, peaks.max_mw) == (120 * WATTS, 877 * WATTS)


class TestImplausibleJumps:
    @pytest.mark.fault("F14")
    def test_ten_megajoules_in_a_tenth_of_a_second_are_suspect(self) -> None:
        jump = 10_000_000 * JOULE
        meter = fed(counter_meter(), [(1, 0), (1.1, jump), (1.2, jump + 50 * JOULE)])
        intervals = meter.close(2 * S)
        assert energy(intervals) == 50 * JOULE
        assert suspect(intervals) == {SuspectReason.JUMP: jump}

    def test_a_jump_that_comes_back_books_what_was_really_used(self) -> None:
        meter = fed(
            counter_meter(),
            [(1, 1_000 * JOULE), (1.1, 10**15), (1.2, 1_060 * JOULE), (1.3, 1_090 * JOULE)],
        )
        intervals = meter.close(2 * S)
        assert energy(intervals) == 90 * JOULE
        assert sum(interval.resets for interval in intervals) == 0

    def test_a_transient_above_the_limit_is_believed(self) -> None:
        step = 877 * JOULE // 10  # 877 W of a board of 700 W
        meter = fed(counter_meter(), [(1 + i / 10, i * step) for i in range(50)])
        assert energy(meter.close(6 * S)) == 49 * step

    def test_without_a_known_limit_two_kilowatts_are_assumed(self) -> None:
        meter = fed(counter_meter(None), [(1, 0), (1.1, 390 * JOULE), (1.2, 780 * JOULE)])
        assert energy(meter.close(2 * S)) == 780 * JOULE

    @pytest.mark.fault("F14")
    def test_bursts_can_not_be_repeated(self) -> None:
        """490 J at once pass on a board of 700 W, but not at every reading."""
        meter = fed(counter_meter(), [(1 + i / 100, i * 400 * JOULE) for i in range(100)])
        assert energy(meter.close(2 * S)) <= 2 * 700 * JOULE + 490 * JOULE


class TestBackwards:
    @pytest.mark.fault("F11")
    @pytest.mark.parametrize("fall_uj", [1_000, JOULE, 10 * JOULE])
    def test_jitter_books_nothing_until_the_old_value_is_passed(self, fall_uj: int) -> None:
        high = LIFETIME + 20 * JOULE
        meter = fed(
            counter_meter(),
            [
                (1, LIFETIME),
                (1.1, high),
                (1.2, high - fall_uj),
                (1.3, high),
                (1.4, high + 5 * JOULE),
            ],
        )
        (interval,) = meter.close(2 * S)
        assert interval.energy_uj == 25 * JOULE
        assert (interval.jitters, interval.resets) == (1, 0)

    @pytest.mark.fault("F3")
    def test_a_driver_reload_starts_a_new_epoch_and_books_from_zero(self) -> None:
        meter = fed(counter_meter(), [(1, 4_990 * JOULE), (1.1, 5_000 * JOULE), (1.2, 40 * JOULE)])
        before, after = meter.close(2 * S)
        assert (before.epoch, before.energy_uj) == (0, 10 * JOULE)
        assert (after.epoch, after.energy_uj, after.resets) == (1, 40 * JOULE, 1)
        assert before.end_ns == after.start_ns == round(1.1 * S)
        assert unmetered([before, after]) == {UnmeteredReason.RESET: TICK}

    def test_a_restart_at_an_impossible_value_is_suspect_and_a_new_base(self) -> None:
        meter = fed(
            counter_meter(), [(1, LIFETIME), (1.1, LIFETIME // 2), (1.2, LIFETIME // 2 + JOULE)]
        )
        intervals = meter.close(2 * S)
        assert energy(intervals) == JOULE
        assert suspect(intervals) == {SuspectReason.RESET: LIFETIME // 2}

    @pytest.mark.fault("F12")
    def test_a_counter_that_falls_and_comes_back_has_used_the_difference(self) -> None:
        meter = fed(
            counter_meter(),
            [(1, LIFETIME), (1.1, 200 * JOULE), (1.2, LIFETIME + 100 * JOULE)],
        )
        intervals = meter.close(2 * S)
        assert energy(intervals) == 200 * JOULE  # 200 J were booked already; totals never decrease
        fed(meter, [(2.1, LIFETIME + 150 * JOULE), (2.2, LIFETIME + 250 * JOULE)])
        assert energy(meter.close(3 * S)) == 50 * JOULE
        fed(meter, [(3.1, LIFETIME + 300 * JOULE)])
        assert energy(meter.close(4 * S)) == 50 * JOULE

    @pytest.mark.fault("F12")
    def test_what_was_booked_while_it_was_low_is_not_booked_again(self) -> None:
        low = [(1 + i / 10, 40 * JOULE * i) for i in range(1, 21)]
        meter = fed(counter_meter(), [(1, LIFETIME), *low, (3.1, LIFETIME + 900 * JOULE)])
        assert energy(meter.close(4 * S)) == 900 * JOULE

    def test_a_young_counter_that_glitches_is_not_counted_twice(self) -> None:
        meter = fed(
            counter_meter(), [(1, 200 * JOULE), (1.1, 300 * JOULE), (1.2, 0), (1.3, 301 * JOULE)]
        )
        assert energy(meter.close(2 * S)) == 101 * JOULE

    def test_garbage_inside_a_fall_comes_back_to_the_newest_value_believed(self) -> None:
        meter = fed(
            counter_meter(),
            [(1, LIFETIME), (1.1, 10 * JOULE), (1.2, 10**15), (1.3, 40 * JOULE), (1.4, 60 * JOULE)],
        )
        assert energy(meter.close(2 * S)) == 60 * JOULE

    def test_a_fall_is_forgotten_after_ten_minutes(self) -> None:
        values = [(1.0, 300_000 * JOULE), *((2.0 + i, 10 * JOULE * i) for i in range(700))]
        meter = fed(counter_meter(), values)
        fed(meter, [(702.1, 301_000 * JOULE)])
        intervals = meter.close(703 * S)
        assert energy(intervals) == 6_990 * JOULE
        assert suspect(intervals) == {SuspectReason.JUMP: (301_000 - 6_990) * JOULE}


class TestNobodyWatching:
    @pytest.mark.fault("F51", "F52")
    def test_sigstop_for_a_minute(self) -> None:
        meter = fed(
            counter_meter(),
            [(1, 0), (1.5, 100 * JOULE), (61.5, 18_100 * JOULE), (61.6, 18_130 * JOULE)],
        )
        before, dark, after = meter.close(62 * S)
        assert (before.energy_uj, before.observed, before.end_ns) == (100 * JOULE, True, 1.5 * S)
        assert (dark.energy_uj, dark.observed, dark.end_ns) == (18_000 * JOULE, False, 61.5 * S)
        assert (after.energy_uj, after.observed, after.start_ns) == (30 * JOULE, True, 61.5 * S)
        assert unmetered([before, dark, after]) == {}

    @pytest.mark.parametrize("source", [EnergySource.COUNTER, EnergySource.INSTANT])
    def test_a_silence_that_no_closing_fell_into(self, source: EnergySource) -> None:
        """Whoever used what in it was not seen, though the counter hardly moved."""
        meter = Meter("GPU-1", source, 700 * WATTS, TICK)
        for second in (1, 2, 12, 13):
            meter.observe(reading(second * S, JOULE, 100))
        done = meter.close(13 * S)
        assert [(i.start_ns // S, i.end_ns // S, i.observed) for i in done] == [
            (1, 2, True), (2, 12, False), (12, 13, True),
        ]  # fmt: skip

    def test_closing_goes_on_while_the_device_is_lost(self) -> None:
        meter = fed(counter_meter(), [(1, 0), (1.5, 100 * JOULE)])
        meter.lost(round(1.6 * S))
        observed, dark = meter.close(2 * S)
        assert (observed.energy_uj, observed.observed, observed.end_ns) == (
            100 * JOULE,
            True,
            1.5 * S,
        )
        assert (dark.energy_uj, dark.observed) == (0, False)
        (still,) = meter.close(3 * S)
        assert (still.energy_uj, still.observed) == (0, False)
        fed(meter, [(3.5, 700 * JOULE), (3.6, 710 * JOULE)])
        gained, after = meter.close(4 * S)
        assert (gained.energy_uj, gained.observed) == (600 * JOULE, False)
        assert (after.energy_uj, after.observed) == (10 * JOULE, True)

    def test_what_was_gained_unseen_stays_unseen_when_the_boundary_is_later(self) -> None:
        meter = fed(counter_meter(), [(1, 0)])
        meter.lost(round(1.1 * S))
        meter.close(3 * S)
        fed(meter, [(2.9, 700 * JOULE), (3.1, 760 * JOULE)])  # read before the close, seen after
        assert [(i.energy_uj, i.observed) for i in meter.close(4 * S)] == [
            (700 * JOULE, False), (60 * JOULE, True),
        ]  # fmt: skip

    def test_a_silence_is_noticed_by_closing(self) -> None:
        meter = fed(counter_meter(), [(1, 0)])
        kinds = [i.observed for second in range(2, 9) for i in meter.close(second * S)]
        assert kinds == [True] * 5 + [False] * 2

    @pytest.mark.fault("F3")
    def test_a_lost_device_that_returns_restarted_was_unmetered(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME)])
        meter.lost(2 * S)
        meter.close(2 * S)
        fed(meter, [(31, 5_000 * JOULE)])
        intervals = meter.close(32 * S)
        assert unmetered(intervals) == {UnmeteredReason.RESET: 30 * S}
        assert [(i.energy_uj, i.observed) for i in intervals] == [(5_000 * JOULE, False), (0, True)]

    def test_a_device_lost_for_long_leaves_unmetered_seconds(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME)])
        meter.lost(2 * S)
        intervals = [i for second in range(2, 101) for i in meter.close(second * S)]
        assert unmetered(intervals) == {UnmeteredReason.LOST: 99 * S}

    def test_a_counter_that_was_silent_catches_up_for_nobody(self) -> None:
        meter = fed(counter_meter(), [(1, 0), *((1 + i, None) for i in range(1, 8))])
        fed(meter, [(9, 800 * JOULE)])
        intervals = meter.close(10 * S)
        assert [(i.energy_uj, i.observed) for i in intervals] == [
            (0, True), (800 * JOULE, False), (0, True),
        ]  # fmt: skip

    def test_a_sleeping_board_that_wakes_is_observed(self) -> None:
        meter = counter_meter()
        for second in range(1, 9):
            meter.observe(reading(second * S, LIFETIME, 0))
        meter.observe(reading(round(8.1 * S), LIFETIME + JOULE, 10 * WATTS))
        (interval,) = meter.close(9 * S)
        assert (interval.energy_uj, interval.observed) == (JOULE, True)


def stalled(meter: Meter, until_s: int, value: int | None = LIFETIME) -> list[Interval]:
    """A counter that doesn't move from 1 s on, while the board draws 300 W."""
    intervals: list[Interval] = []
    for tick in range(until_s * 10):
        at_ns = S + tick * TICK
        meter.observe(reading(at_ns, LIFETIME if tick == 0 else value, 310 * WATTS, 300 * WATTS))
        if at_ns % S == 0:
            intervals.extend(meter.close(at_ns))
    return intervals


class TestStandstill:
    @pytest.mark.fault("F13")
    @pytest.mark.parametrize("value", [LIFETIME, None])
    def test_power_stands_in_for_a_counter_that_stalls_or_vanishes(self, value: int | None) -> None:
        meter = counter_meter()
        intervals = [*stalled(meter, 60, value), *meter.close(61 * S)]
        assert energy(intervals) == 59_900_000 * 300  # 300 W from the counter's last movement on
        assert sum(interval.stalls for interval in intervals) == 1
        assert intervals[-1].source is meter.source is EnergySource.AVERAGE
        assert intervals[-1].energy_uj == 270 * JOULE
        late = [interval for interval in intervals if not interval.observed]
        assert [interval.energy_uj for interval in late] == [3_030 * JOULE]  # the first 10.1 s
        assert intervals[-1].counter_uj is None, "the counter says nothing of it"
        assert unmetered(intervals) == {}

    @pytest.mark.fault("F13")
    def test_when_it_moves_again_only_the_excess_is_booked(self) -> None:
        meter = counter_meter()
        intervals = stalled(meter, 60)
        meter.observe(reading(61 * S, LIFETIME + 18_100 * JOULE, 310 * WATTS, 300 * WATTS))
        meter.observe(reading(round(61.1 * S), LIFETIME + 18_130 * JOULE, 310 * WATTS, 300 * WATTS))
        intervals.extend(meter.close(62 * S))
        assert energy(intervals) == 18_130 * JOULE
        assert intervals[-1].source is EnergySource.COUNTER
        assert intervals[-1].energy_uj == 30 * JOULE

    def test_when_it_gained_less_what_was_posted_stays(self) -> None:
        meter = counter_meter()
        intervals = stalled(meter, 60)
        posted = 59_900_000 * 300
        meter.observe(reading(61 * S, LIFETIME + 1_000 * JOULE, 310 * WATTS, 300 * WATTS))
        meter.observe(reading(round(61.1 * S), LIFETIME + 1_030 * JOULE, 310 * WATTS, 300 * WATTS))
        intervals.extend(meter.close(62 * S))
        assert energy(intervals) == posted + 30 * JOULE

    def test_jitter_does_not_end_a_standstill(self) -> None:
        meter = counter_meter()
        intervals = stalled(meter, 30)
        meter.observe(reading(31 * S, LIFETIME - JOULE, 310 * WATTS, 300 * WATTS))
        meter.observe(reading(round(31.1 * S), LIFETIME, 310 * WATTS, 300 * WATTS))
        intervals.extend(meter.close(32 * S))
        assert energy(intervals) == 30_100_000 * 300
        assert sum(interval.stalls for interval in intervals) == 1

    @pytest.mark.fault("F13")
    def test_a_restart_after_a_standstill_books_nothing_twice(self) -> None:
        meter = counter_meter()
        intervals = stalled(meter, 30)
        posted = 29_900_000 * 300
        meter.observe(reading(31 * S, 2_000 * JOULE, 310 * WATTS, 300 * WATTS))
        meter.observe(reading(round(31.1 * S), 2_030 * JOULE, 310 * WATTS, 300 * WATTS))
        intervals.extend(meter.close(32 * S))
        assert energy(intervals) == posted + 30 * JOULE
        assert unmetered(intervals) == {UnmeteredReason.RESET: TICK}

    def test_a_counter_that_appears_late_is_preceded_by_power(self) -> None:
        meter = counter_meter()
        for tick in range(200):
            meter.observe(reading(S + tick * TICK, None, 300 * WATTS))
        meter.observe(reading(21 * S, LIFETIME, 300 * WATTS))
        meter.observe(reading(round(21.1 * S), LIFETIME + 30 * JOULE, 300 * WATTS))
        intervals = meter.close(22 * S)
        assert energy(intervals) == 6_030 * JOULE
        assert [i.source for i in intervals] == [EnergySource.INSTANT, EnergySource.COUNTER]

    def test_an_idle_board_that_draws_nothing_has_not_stalled(self) -> None:
        meter = counter_meter()
        for second in range(1, 3_600):
            meter.observe(reading(second * S, LIFETIME, 0))
        (interval,) = meter.close(3_600 * S)
        assert (interval.stalls, interval.energy_uj) == (0, 0)


class TestPower:
    @pytest.mark.fault("F7")
    def test_the_integral_is_a_trapezoid(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        meter.observe(reading(S, None, 100 * WATTS))
        meter.observe(reading(2 * S, None, 300 * WATTS))
        (interval,) = meter.close(2 * S)
        assert interval.energy_uj == 200 * JOULE
        assert interval.counter_uj is None
        assert interval.source is EnergySource.INSTANT

    def test_falling_and_flat_power_count_as_well(self) -> None:
        meter = Meter("GPU-1", EnergySource.AVERAGE, 700 * WATTS, TICK)
        for second, watts in ((1, 300), (2, 300), (3, 100)):
            meter.observe(reading(second * S, None, None, watts * WATTS))
        assert energy(meter.close(3 * S)) == 500 * JOULE

    @pytest.mark.fault("F7")
    def test_each_source_integrates_its_own_gauge(self) -> None:
        for source, joules in ((EnergySource.INSTANT, 400), (EnergySource.AVERAGE, 300)):
            meter = Meter("GPU-1", source, 700 * WATTS, TICK)
            for second in (1, 2):
                meter.observe(reading(second * S, 7, 400 * WATTS, 300 * WATTS))
            assert energy(meter.close(2 * S)) == joules * JOULE

    @pytest.mark.fault("F8")
    def test_a_missing_point_is_no_zero(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        for tick, power in enumerate((300 * WATTS, None, 300 * WATTS)):
            meter.observe(reading(S + tick * TICK, None, power))
        intervals = meter.close(2 * S)
        assert energy(intervals) == 60 * JOULE
        assert unmetered(intervals) == {}

    @pytest.mark.fault("F51")
    def test_gaps_are_unmetered_not_interpolated(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        for second in (1, 2, 5, 6):
            meter.observe(reading(second * S, None, 300 * WATTS))
        intervals = meter.close(6 * S)
        assert energy(intervals) == 600 * JOULE
        assert unmetered(intervals) == {UnmeteredReason.GAP: 3 * S}

    def test_a_running_gap_is_counted_as_it_grows_and_only_once(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        meter.observe(reading(S, None, 300 * WATTS))
        growing = [unmetered(meter.close(s * S)).get(UnmeteredReason.GAP, 0) for s in range(2, 11)]
        assert growing == [0, 0, 3 * S, S, S, S, S, S, S]
        meter.observe(reading(round(10.5 * S), None, 300 * WATTS))
        assert unmetered(meter.close(11 * S)) == {UnmeteredReason.GAP: S // 2}

    def test_a_lost_board_is_unmetered_as_lost(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        meter.observe(reading(S, None, 300 * WATTS))
        meter.lost(round(1.1 * S))
        meter.observe(reading(2 * S, None, 300 * WATTS))
        intervals = meter.close(3 * S)
        assert energy(intervals) == 0
        assert unmetered(intervals) == {UnmeteredReason.LOST: S}

    @pytest.mark.fault("F9")
    def test_impossible_power_is_no_power(self) -> None:
        """593 kW at idle were seen on a mobile board (g-helper issue 5819)."""
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        for tick, watts in enumerate((300, 593_000, -5, 300)):
            meter.observe(reading(S + tick * TICK, None, watts * WATTS))
        (interval,) = meter.close(2 * S)
        assert interval.energy_uj == 90 * JOULE
        assert (interval.power_min_mw, interval.power_max_mw) == (300 * WATTS, 300 * WATTS)

    def test_slow_recordings_are_joined_by_their_own_pace(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, 10 * S)
        for second in (10, 20, 30):
            meter.observe(reading(second * S, None, 300 * WATTS))
        intervals = meter.close(30 * S)
        assert energy(intervals) == 6_000 * JOULE
        assert unmetered(intervals) == {}

    @pytest.mark.fault("F8")
    def test_no_source_is_unmetered_never_zero(self) -> None:
        meter = Meter("GPU-1", EnergySource.NONE, None, TICK)
        for second in range(1, 10):
            meter.observe(reading(second * S))
        (interval,) = meter.close(10 * S)
        assert interval.source is EnergySource.NONE
        assert unmetered([interval]) == {UnmeteredReason.GAP: 9 * S}


class TestCrossCheckFigures:
    def test_both_figures_of_the_same_time(self) -> None:
        meter = counter_meter()
        for tick in range(21):
            meter.observe(reading(S + tick * TICK, tick * 30 * JOULE, None, 300 * WATTS))
            if tick == 10:
                meter.close(2 * S)  # before its first point the integral has a hole
        (interval,) = meter.close(3 * S)
        assert (interval.integral_uj, interval.counter_uj) == (300 * JOULE, 300 * JOULE)

    def test_no_integral_without_power_or_with_a_hole_in_it(self) -> None:
        meter = fed(counter_meter(), [(1, 0), (1.1, 30 * JOULE)])
        assert meter.close(2 * S)[0].integral_uj is None
        for second in (2, 5):
            meter.observe(reading(second * S, second * 100 * JOULE, 300 * WATTS))
        assert meter.close(6 * S)[0].integral_uj is None


class TestBounds:
    """Each bound where it is: at it, and a nanosecond or a microjoule beyond."""

    @pytest.mark.parametrize(("more_ns", "observed"), [(0, True), (1, False)])
    @pytest.mark.parametrize(("refresh_ns", "gap_ns"), [(TICK, 5 * S), (2 * S, 6 * S)])
    def test_a_silence_of_five_seconds_or_three_refreshes_is_watched(
        self, more_ns: int, observed: bool, refresh_ns: int, gap_ns: int
    ) -> None:
        meter = Meter("GPU-1", EnergySource.COUNTER, 700 * WATTS, refresh_ns)
        meter.observe(reading(S, 0))
        meter.observe(reading(S + gap_ns + more_ns, 100 * JOULE))
        intervals = meter.close(S + gap_ns + more_ns)
        assert [i.observed for i in intervals if i.energy_uj] == [observed]
        silent = Meter("GPU-1", EnergySource.COUNTER, 700 * WATTS, refresh_ns)
        silent.observe(reading(S, 0))
        assert silent.close(S + gap_ns + more_ns)[-1].observed is observed

    @pytest.mark.parametrize(("more_ns", "joined"), [(0, True), (1, False)])
    @pytest.mark.parametrize(("refresh_ns", "join_ns"), [(TICK, 2 * S), (S, 3 * S)])
    def test_points_of_power_two_seconds_or_three_refreshes_apart_are_joined(
        self, more_ns: int, joined: bool, refresh_ns: int, join_ns: int
    ) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, refresh_ns)
        for at_ns in (S, S + join_ns + more_ns):
            meter.observe(reading(at_ns, None, 100 * WATTS))
        intervals = meter.close(S + join_ns + more_ns)
        assert energy(intervals) == (join_ns // S * 100 * JOULE if joined else 0)
        gap = {} if joined else {UnmeteredReason.GAP: join_ns + more_ns}
        assert unmetered(intervals) == gap

    @pytest.mark.parametrize(("more_ns", "missing_ns"), [(0, 0), (1, 60 * S + 1)])
    def test_a_counter_may_be_silent_for_a_minute(self, more_ns: int, missing_ns: int) -> None:
        meter = fed(counter_meter(), [(1, 0)])
        intervals = meter.close(61 * S + more_ns)
        assert unmetered(intervals).get(UnmeteredReason.GAP, 0) == missing_ns

    @pytest.mark.parametrize(("last_mw", "stalls"), [(4_000, 0), (4_001, 1)])
    def test_a_counter_that_stands_while_fifty_joules_are_drawn_has_not_stalled(
        self, last_mw: int, stalls: int
    ) -> None:
        """4 W for 12.5 s, and half a milliwatt-second more."""
        meter = counter_meter()
        for step in range(11):
            power_mw = last_mw if step == 10 else 4_000
            meter.observe(reading(S + step * 1_250 * NS_PER_MS, LIFETIME, power_mw))
        intervals = meter.close(14 * S)
        assert sum(interval.stalls for interval in intervals) == stalls
        assert energy(intervals) == (50_000_625 if stalls else 0)

    @pytest.mark.parametrize(("refresh_ns", "stall_ns"), [(TICK, 10 * S), (4 * S, 12 * S)])
    def test_nor_one_that_stands_for_ten_seconds_or_three_refreshes(
        self, refresh_ns: int, stall_ns: int
    ) -> None:
        for more_ns, source in ((0, EnergySource.COUNTER), (1, EnergySource.INSTANT)):
            meter = Meter("GPU-1", EnergySource.COUNTER, 700 * WATTS, refresh_ns)
            for second in range(stall_ns // S):
                meter.observe(reading(S + second * S, LIFETIME, 300 * WATTS))
            meter.observe(reading(S + stall_ns + more_ns, LIFETIME, 300 * WATTS))
            assert meter.source is source

    def test_without_a_known_limit_two_kilowatts_and_headroom_are_believed(self) -> None:
        for power_mw, peak in ((4_000_000, 4_000_000), (4_000_001, None)):
            meter = Meter("GPU-1", EnergySource.INSTANT, None, TICK)
            meter.observe(reading(S, None, power_mw))
            assert meter.close(2 * S)[0].power_max_mw == peak


class TestWhyItIsNotKnown:
    def test_who_was_lost_before_anything_was_read_is_not_lost_any_more(self) -> None:
        meter = Meter("GPU-1", EnergySource.INSTANT, 700 * WATTS, TICK)
        meter.lost(S // 2)
        assert meter.close(S) == ()
        for second in (1, 5):
            meter.observe(reading(second * S, None, 300 * WATTS))
        assert unmetered(meter.close(6 * S)) == {UnmeteredReason.GAP: 4 * S}

    def test_who_came_back_is_not_lost_any_more(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME)])
        meter.lost(2 * S)
        fed(meter, [(3, LIFETIME + JOULE)])
        meter.close(4 * S)
        assert unmetered(meter.close(103 * S)) == {UnmeteredReason.GAP: 100 * S}

    def test_a_reset_and_the_seconds_before_it_are_counted_once(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME)])
        first = [meter.close(second * S) for second in range(2, 100)]
        fed(meter, [(100, 5_000 * JOULE)])
        intervals = [i for done in first for i in done] + list(meter.close(101 * S))
        # those that were counted as they passed are not counted again
        assert sum(unmetered(intervals).values()) == 99 * S
        assert unmetered(intervals) == {UnmeteredReason.GAP: 98 * S, UnmeteredReason.RESET: S}


class TestState:
    def test_it_says_from_where_another_meter_goes_on(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME), (1.9, LIFETIME + JOULE)])
        (interval,) = meter.close(2 * S)
        state = interval.state
        assert state is not None
        assert state[:3] == (2 * S, 1_900_000_000, 1_900_000_000)
        assert state.counter is not None
        assert (state.counter.raw_uj, state.counter.at_ns) == (LIFETIME + JOULE, 1_900_000_000)
        assert meter.counter_uj == LIFETIME + JOULE
        # where seconds were counted as unmetered, what is known ends there
        later = [meter.close(second * S) for second in (70, 71)]
        last = later[-1][-1].state
        assert last is not None
        assert last[:3] == (71 * S, 1_900_000_000, 71 * S)

    def test_of_energy_that_is_booked_for_the_next_interval_it_says_nothing(self) -> None:
        meter = fed(counter_meter(), [(1, LIFETIME)])
        meter.close(2 * S)
        fed(meter, [(2.5, LIFETIME + JOULE)])
        intervals = meter.close(2 * S)  # a boundary that was before that reading
        assert intervals == ()
        (interval,) = meter.close(3 * S)
        assert interval.state is not None
        assert interval.energy_uj == JOULE
