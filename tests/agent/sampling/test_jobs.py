"""Deadlines: absolute, staggered, never caught up in a burst."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.clock import FakeClock
from submeter.sampling.jobs import Job, Lateness, count_missed, run_until, stagger_ns
from submeter.units import NS_PER_MS, NS_PER_S


def test_deadlines_stay_on_the_grid_whatever_a_run_takes() -> None:
    clock = FakeClock(0)
    started: list[int] = []

    def run(now_ns: int) -> None:
        started.append(now_ns)
        clock.advance(7 * NS_PER_MS)

    job = Job("sample", ("0",), 10 * NS_PER_MS, 0, run)
    run_until(clock, [job], 95 * NS_PER_MS)
    assert started == [n * 10 * NS_PER_MS for n in range(10)]
    assert job.missed == 0


@pytest.mark.fault("F57")
def test_a_late_run_skips_and_counts_instead_of_catching_up() -> None:
    clock = FakeClock(0)
    started: list[int] = []

    def run(now_ns: int) -> None:
        started.append(now_ns)
        clock.advance(35 * NS_PER_MS if len(started) == 1 else 0)

    job = Job("sample", ("0",), 10 * NS_PER_MS, 0, run)
    run_until(clock, [job], 60 * NS_PER_MS)
    assert started == [0, 40 * NS_PER_MS, 50 * NS_PER_MS, 60 * NS_PER_MS]
    assert count_missed([job]) == {"0": 3}


def test_lateness_is_counted_in_its_bucket() -> None:
    lateness = Lateness()
    lateness.observe(3 * NS_PER_MS)
    lateness.observe(60 * NS_PER_S)
    histogram = lateness.histogram()
    assert sum(histogram.counts) == 2
    assert histogram.counts[-1] == 1
    assert histogram.counts[histogram.bounds_ns.index(5 * NS_PER_MS)] == 1
    assert histogram.sum_ns == 60_003 * NS_PER_MS


@given(
    count=st.integers(1, 128),
    period_ns=st.integers(NS_PER_MS, 10 * NS_PER_S),
)
def test_stagger_spreads_evenly_and_stays_inside_the_period(count: int, period_ns: int) -> None:
    offsets = [stagger_ns(i, count, period_ns) for i in range(count)]
    assert all(0 <= offset < period_ns for offset in offsets)
    distinct = sorted(set(offsets))
    assert all(b - a >= 250 * NS_PER_MS - 1 for a, b in pairwise(distinct))
    sizes = [offsets.count(offset) for offset in distinct]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.fault("F57")
@given(
    periods=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    costs=st.lists(st.integers(0, 120), min_size=1, max_size=6),
)
def test_every_deadline_is_either_run_or_counted_as_missed(
    periods: list[int], costs: list[int]
) -> None:
    clock = FakeClock(0)
    runs = [0] * len(periods)

    def body(index: int) -> Job:
        def run(now_ns: int) -> None:
            runs[index] += 1
            clock.advance(costs[index % len(costs)])

        return Job("sample", (str(index),), periods[index], 0, run)

    jobs = [body(index) for index in range(len(periods))]
    run_until(clock, list(jobs), 2_000)
    for job, count, period_ns in zip(jobs, runs, periods, strict=True):
        assert (count + job.missed) * period_ns == job.next_ns
