"""A job that hangs holds up nobody else; deadlines are missed rather than caught up."""

import threading
from collections.abc import Callable, Iterator

import pytest

from submeter.clock import SystemClock
from submeter.runtime.lanes import Lane, Lanes
from submeter.sampling.jobs import Job
from submeter.units import NS_PER_MS, NS_PER_S

PERIOD_NS = 10 * NS_PER_MS


def _never(error: BaseException) -> None:
    raise AssertionError(error)


class Counter:
    """A job body that says when it has run often enough."""

    def __init__(self, enough: int) -> None:
        self.runs: list[int] = []
        self.reached = threading.Event()
        self._enough = enough

    def __call__(self, now_ns: int) -> None:
        self.runs.append(now_ns)
        if len(self.runs) >= self._enough:
            self.reached.set()


@pytest.fixture
def lanes() -> Iterator[Callable[..., Lanes]]:
    started: list[Lanes] = []

    def start(jobs: list[Job]) -> Lanes:
        group = Lanes(SystemClock(), _never)
        started.append(group)
        group.start(sample=jobs)
        return group

    yield start
    for group in started:
        group.stop(5.0)


def _job(owner: str, run: Callable[[int], None]) -> Job:
    return Job("sample", (owner,), PERIOD_NS, SystemClock().boottime_ns(), run)


@pytest.mark.fault("F5")
def test_a_hung_job_moves_the_others_to_a_lane_of_their_own(
    lanes: Callable[..., Lanes],
) -> None:
    release = threading.Event()
    hangs = threading.Event()

    def hang(now_ns: int) -> None:
        hangs.set()
        release.wait(30)

    others = [Counter(30) for _ in range(3)]
    group = lanes(
        [_job("0", others[0]), _job("1", hang), _job("2", others[1]), _job("3", others[2])]
    )
    assert hangs.wait(10)
    for other in others:
        assert other.reached.wait(10), "a healthy GPU was held up by the hung one"
    assert group.busy_owners() >= {"1"}
    assert len([lane for lane in group.lanes() if lane.jobs()]) == 2
    release.set()


def test_a_job_that_comes_back_goes_on_alone(lanes: Callable[..., Lanes]) -> None:
    release = threading.Event()
    counter = Counter(5)

    def slow_once(now_ns: int) -> None:
        if not counter.runs:
            release.wait(30)
        counter(now_ns)

    other = Counter(20)
    lanes([_job("slow", slow_once), _job("other", other)])
    assert other.reached.wait(10)
    release.set()
    assert counter.reached.wait(10)


def test_every_job_survives_the_split_once() -> None:
    """Jobs with equal deadlines are neither lost nor doubled when a lane is split."""
    clock = SystemClock()
    release = threading.Event()
    stuck = threading.Event()

    def hang(now_ns: int) -> None:
        stuck.set()
        release.wait(30)

    start_ns = clock.boottime_ns()
    jobs = [Job("sample", (str(i % 4),), PERIOD_NS, start_ns, lambda now: None) for i in range(12)]
    jobs.append(Job("hang", ("0",), PERIOD_NS, start_ns - 1, hang))
    lane = Lane("sample", clock, jobs, _never)
    lane.start()
    assert stuck.wait(10)
    others = lane.give_up_others("0")
    lane.stop()
    release.set()
    assert lane.join(10)
    assert sorted(map(id, others + lane.jobs())) == sorted(map(id, jobs))
    assert all(job.owners == ("0",) for job in lane.jobs())


def test_only_the_one_who_holds_the_lane_up_splits_it() -> None:
    lane = Lane("sample", SystemClock(), [_job("0", lambda now: None)], _never)
    assert lane.give_up_others("1") == []
    assert len(lane.jobs()) == 1


def _regrouped(group: Lanes, *, fast: bool = True) -> list[str]:
    group.part(5.0, fast=fast)
    return sorted(group.collect(fast=fast))


def test_whoever_was_parted_shares_a_lane_again(lanes: Callable[..., Lanes]) -> None:
    clock, release = SystemClock(), threading.Event()

    def hang_once(now_ns: int) -> None:
        release.wait(30)

    other = Counter(20)
    group = lanes([_job("slow", hang_once), _job("other", other)])
    assert group.calm_for_ns(clock.boottime_ns()) == 0
    assert other.reached.wait(10)
    release.set()
    assert group.calm_for_ns(clock.boottime_ns() + NS_PER_S) >= NS_PER_S
    group.add(look=[Job("look", ("slow",), PERIOD_NS, clock.boottime_ns(), lambda now: None)])
    assert _regrouped(group) == ["other", "slow"]
    assert group.collect(fast=True) == []  # nobody is told twice
    assert [lane.name for lane in group.lanes()] == ["look"]
    runs, missed = group.runs(), group.missed()
    assert runs >= 20
    assert missed["slow"] > 0
    again = Counter(20)
    group.add(sample=[_job("slow", again), _job("other", again)])
    assert again.reached.wait(10)
    assert len(group.lanes()) == 2
    assert group.runs() > runs  # counts never fall
    assert all(group.missed()[owner] >= count for owner, count in missed.items())
    assert group.calm_for_ns(clock.boottime_ns()) == 0  # nobody is parted any more


def test_a_job_that_is_stuck_while_lanes_are_gathered_is_told_when_it_is_back() -> None:
    release, stuck = threading.Event(), threading.Event()

    def hang(now_ns: int) -> None:
        stuck.set()
        release.wait(30)

    group = Lanes(SystemClock(), _never)
    group.add(sample=[_job("0", hang)])
    group.add(sample=[_job("1", lambda now: None)])
    assert stuck.wait(10)
    group.part(0.05, fast=True)
    assert "0" not in group.collect(fast=True)
    assert group.busy_owners() == {"0"}  # it is still seen to hang
    release.set()
    assert _within(10, lambda: "0" in group.collect(fast=True))
    assert group.lanes() == []
    assert group.stop(1.0)


def test_a_lane_that_is_added_when_all_have_been_stopped_does_not_start() -> None:
    group = Lanes(SystemClock(), _never)
    assert group.stop(1.0)
    counter = Counter(1)
    group.add(sample=[_job("0", counter)])
    assert group.lanes() == []


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    clock = SystemClock()
    until_ns = clock.boottime_ns() + int(seconds * NS_PER_S)
    while not condition():
        if clock.boottime_ns() > until_ns:
            return False
        clock.sleep_until(clock.boottime_ns() + NS_PER_MS)
    return True
