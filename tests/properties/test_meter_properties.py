"""What a meter can never do, whatever the sensors say."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from submeter.metering import Limits, Meter
from submeter.model import EnergySource, Interval, Reading
from submeter.units import NS_PER_MS, NS_PER_S, PJ_PER_UJ

LIMIT_MW = 700_000
REFRESH_NS = 100 * NS_PER_MS
LIMITS = Limits()
CEILING_MW = LIMITS.headroom * LIMIT_MW
BURST_PJ = CEILING_MW * (LIMITS.burst_ns + REFRESH_NS)

U64 = st.integers(0, 2**64 - 1)
NEAR = st.integers(-(10**9), 10**9)  # 1 kJ either way of the last value
PAUSES = st.one_of(
    st.integers(1, NS_PER_S),
    st.sampled_from(
        [NS_PER_MS, REFRESH_NS, 2 * NS_PER_S, 6 * NS_PER_S, 11 * NS_PER_S, 700 * NS_PER_S]
    ),
)
POWERS = st.one_of(st.none(), st.integers(0, LIMIT_MW), st.integers(-(2**31), 2**32))


def assert_tiled(intervals: Sequence[Interval]) -> None:
    for one, following in pairwise(intervals):
        assert one.end_ns == following.start_ns
    assert all(one.start_ns < one.end_ns for one in intervals)


class Garbage(RuleBasedStateMachine):
    """Any counter, any power, any pauses. Two meters get the same readings; one is settled now and
    then, the other only at the end: where time is cut can change no sum."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = Meter("GPU-1", EnergySource.COUNTER, LIMIT_MW, REFRESH_NS)
        self.uncut = Meter("GPU-1", EnergySource.COUNTER, LIMIT_MW, REFRESH_NS)
        self.at_ns = 1
        self.value_uj = 10**13
        self.first_ns: int | None = None
        self.intervals: list[Interval] = []

    def read(self, pause_ns: int, energy_uj: int | None, power_mw: int | None) -> None:
        self.at_ns += pause_ns
        if self.first_ns is None:
            self.first_ns = self.at_ns
        reading = Reading(self.at_ns, energy_uj, None, power_mw, None, None, None)
        self.meter.observe(reading)
        self.uncut.observe(reading)

    @rule(pause_ns=PAUSES, value_uj=U64, power_mw=POWERS)
    def anything(self, pause_ns: int, value_uj: int, power_mw: int | None) -> None:
        self.value_uj = value_uj
        self.read(pause_ns, value_uj, power_mw)

    @rule(pause_ns=PAUSES, change_uj=NEAR, power_mw=POWERS)
    def something_near(self, pause_ns: int, change_uj: int, power_mw: int | None) -> None:
        self.value_uj = max(0, self.value_uj + change_uj)
        self.read(pause_ns, self.value_uj, power_mw)

    @rule(pause_ns=PAUSES, spike_uj=U64)
    def a_spike(self, pause_ns: int, spike_uj: int) -> None:
        self.read(pause_ns, spike_uj, None)
        self.read(REFRESH_NS, self.value_uj, None)

    @rule(pause_ns=PAUSES, power_mw=POWERS)
    def no_value(self, pause_ns: int, power_mw: int | None) -> None:
        self.read(pause_ns, None, power_mw)

    @rule(power_mw=st.integers(0, LIMIT_MW), ticks=st.integers(1, 40), gone=st.booleans())
    def a_standstill(self, power_mw: int, ticks: int, gone: bool) -> None:
        for _ in range(ticks):
            self.read(500 * NS_PER_MS, None if gone else self.value_uj, power_mw)

    @rule(ticks=st.integers(2, 12), step_uj=st.integers(10**6, 5 * 10**8))
    def a_burst(self, ticks: int, step_uj: int) -> None:
        for _ in range(ticks):
            self.value_uj += step_uj
            self.read(NS_PER_MS, self.value_uj, None)

    @rule()
    def lost(self) -> None:
        self.meter.lost(self.at_ns)
        self.uncut.lost(self.at_ns)

    @rule(pause_ns=PAUSES)
    def settle(self, pause_ns: int) -> None:
        self.at_ns += pause_ns
        self.take(self.meter.close(self.at_ns))

    @rule()
    def settle_at_once(self) -> None:
        self.take(self.meter.close(self.at_ns))

    def take(self, intervals: Sequence[Interval]) -> None:
        self.intervals.extend(intervals)

    @invariant()
    def nothing_is_negative(self) -> None:
        for interval in self.intervals:
            assert interval.energy_uj >= 0
            assert all(amount_uj > 0 for _, amount_uj in interval.suspect_uj)
            assert all(duration_ns > 0 for _, duration_ns in interval.unmetered_ns)

    @invariant()
    def time_is_tiled(self) -> None:
        assert_tiled(self.intervals)
        if self.intervals:
            assert self.intervals[0].start_ns == self.first_ns

    @precondition(lambda self: self.first_ns is not None)
    @invariant()
    def no_more_than_the_board_can_draw(self) -> None:
        assert self.first_ns is not None
        booked_uj = sum(interval.energy_uj for interval in self.intervals)
        believable_pj = CEILING_MW * (self.at_ns - self.first_ns) + BURST_PJ
        assert booked_uj * PJ_PER_UJ <= believable_pj

    def teardown(self) -> None:
        self.take(self.meter.close(self.at_ns + 1))
        whole = self.uncut.close(self.at_ns + 1)
        assert_tiled(whole)
        assert sum(i.energy_uj for i in self.intervals) == sum(i.energy_uj for i in whole)
        assert sum(i.resets for i in self.intervals) == sum(i.resets for i in whole)
        assert sum(i.stalls for i in self.intervals) == sum(i.stalls for i in whole)
        if self.first_ns is not None:
            self.no_more_than_the_board_can_draw()


TestGarbage = Garbage.TestCase
TestGarbage.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class Point(NamedTuple):
    pause_ns: int
    power_mw: int | None
    lost: bool
    settled: bool


POINTS = st.lists(
    st.builds(Point, PAUSES, st.none() | st.integers(0, LIMIT_MW), st.booleans(), st.booleans()),
    max_size=60,
)


@given(points=POINTS, source=st.sampled_from([EnergySource.AVERAGE, EnergySource.INSTANT]))
def test_the_sum_of_intervals_is_the_exact_integral(
    points: list[Point], source: EnergySource
) -> None:
    """Against a rational trapezoid over the same points, after every settlement. What isn't
    integrated is unmetered, to the nanosecond."""
    meter = Meter("GPU-1", source, LIMIT_MW, REFRESH_NS)
    first_ns = at_ns = 10**12
    meter.observe(Reading(at_ns, 0, None, None, None, None, None))
    last: tuple[int, int] | None = None
    exact_pj = Fraction(0)
    joined_ns = booked_uj = unmetered_ns = 0
    for point in [*points, Point(1, LIMIT_MW, lost=False, settled=True)]:
        if point.lost:
            meter.lost(at_ns)
            last = None
        at_ns += point.pause_ns
        power_mw = point.power_mw
        meter.observe(Reading(at_ns, 0, None, power_mw, None, power_mw, None))
        if power_mw is not None:
            if last is not None and at_ns - last[0] <= 2 * NS_PER_S:
                exact_pj += Fraction(power_mw + last[1], 2) * (at_ns - last[0])
                joined_ns += at_ns - last[0]
            last = (at_ns, power_mw)
        if point.settled:
            intervals = meter.close(at_ns)
            booked_uj += sum(interval.energy_uj for interval in intervals)
            unmetered_ns += sum(ns for interval in intervals for _, ns in interval.unmetered_ns)
            assert booked_uj == exact_pj // PJ_PER_UJ
    assert joined_ns + unmetered_ns == at_ns - first_ns
