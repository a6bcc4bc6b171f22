"""Rounds: polled at every tick, metered in time, split where one hangs, exact whatever waits."""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.backends import Device, load
from submeter.backends.turns import Poll
from submeter.clock import FakeClock, SystemClock
from submeter.model import Reading
from submeter.runtime.lanes import Lanes
from submeter.sampling.jobs import count_missed, run_until
from submeter.sampling.node import Node
from submeter.sampling.watch import GpuWatch
from submeter.units import NS_PER_MS, NS_PER_S


def _node(clock: FakeClock | SystemClock, period_ms: int, seen: bool = False) -> Node:
    node = Node(
        load("mock", clock, {}),
        clock,
        period_ns=period_ms * NS_PER_MS,
        settle_ns=NS_PER_S,
        seen=lambda: seen,
    )
    node.open()
    return node


def _taken(node: Node) -> dict[str, list[list[Reading]]]:
    """By GPU: the readings that were metered together."""
    taken: dict[str, list[list[Reading]]] = {}
    for watch in node.watches():
        device, batches = watch.device, taken.setdefault(watch.info.uuid, [])
        _tap(device, batches)
    return taken


def _tap(device: Device, batches: list[list[Reading]]) -> None:
    original = device.readings

    def readings(now_ns: int) -> Sequence[Reading]:
        got = original(now_ns)
        batches.append(list(got))
        return got

    device.readings = readings  # type: ignore[method-assign]


@pytest.mark.parametrize("period_ms", [5, 10, 100, 700])
def test_every_tick_is_a_reading_and_none_waits_long(period_ms: int) -> None:
    clock = FakeClock()
    node = _node(clock, period_ms)
    taken = _taken(node)
    jobs, _ = node.jobs()
    run_until(clock, jobs, clock.boottime_ns() + 10 * NS_PER_S)
    for batches in taken.values():
        times = [reading.at_ns for batch in batches for reading in batch]
        assert times == sorted(set(times))
        assert {b - a for a, b in pairwise(times)} == {period_ms * NS_PER_MS}
        assert max(batch[-1].at_ns - batch[0].at_ns for batch in batches) < 500 * NS_PER_MS
        assert max(map(len, batches)) <= 16
    assert {watch.samples for watch in node.watches()} == {
        len([r for batch in batches for r in batch]) for batches in taken.values()
    }


def test_a_mistake_of_a_backend_is_not_taken_for_a_round_cut_short() -> None:
    clock = FakeClock()
    node = _node(clock, 100)
    jobs, _ = node.jobs()
    run_until(clock, jobs, clock.boottime_ns() + NS_PER_S)

    def readings(now_ns: int) -> Sequence[Reading]:
        raise IndexError(f"no such field at {now_ns}")

    next(iter(node.watches())).device.readings = readings  # type: ignore[method-assign]
    with pytest.raises(IndexError, match="no such field"):
        run_until(clock, jobs, clock.boottime_ns() + NS_PER_S)


def test_while_somebody_follows_readings_wait_a_tenth_of_a_second() -> None:
    clock = FakeClock()
    node = _node(clock, 20, seen=True)
    taken = _taken(node)
    jobs, _ = node.jobs()
    run_until(clock, jobs, clock.boottime_ns() + 5 * NS_PER_S)
    for batches in taken.values():
        assert max(batch[-1].at_ns - batch[0].at_ns for batch in batches) <= 100 * NS_PER_MS


def test_a_change_of_holders_is_metered_at_the_next_tick() -> None:
    clock = FakeClock()
    node = _node(clock, 10)
    jobs, _ = node.jobs()
    run_until(clock, jobs, clock.boottime_ns() + 3 * NS_PER_S + 123 * NS_PER_MS)
    (watch, *_) = node.watches()
    watch.closed.clear()
    before_ns = clock.boottime_ns()
    watch._list_holders(before_ns)  # the first listing is a change
    run_until(clock, jobs, before_ns + 20 * NS_PER_MS)
    assert watch.closed
    assert watch.closed[-1].interval.end_ns - before_ns <= 10 * NS_PER_MS


@given(period_ms=st.sampled_from([7, 10, 33, 100, 250]), cut_ms=st.integers(1_100, 1_900))
def test_what_waits_changes_no_energy(period_ms: int, cut_ms: int) -> None:
    """Closed a moment after any tick, all energy read until then is in the intervals."""
    clock = FakeClock()
    node = _node(clock, period_ms)
    jobs, _ = node.jobs()
    run_until(clock, jobs, clock.boottime_ns() + cut_ms * NS_PER_MS)
    for watch in node.watches():
        watch.sample(clock.boottime_ns(), 0)
        watch.finish(clock.boottime_ns())
        booked_uj = sum(closed.interval.energy_uj for closed in watch.closed)
        device = watch.device
        (last,) = device.readings(clock.boottime_ns())
        assert last.energy_uj is not None
        assert watch.meter.counter_uj == last.energy_uj
        first_uj = last.energy_uj - booked_uj
        assert first_uj >= 0


class Hanging:
    """A mock backend one of whose GPUs doesn't come back from a poll."""

    def __init__(self, node: Node, uuid: str) -> None:
        self.release = threading.Event()
        self.hangs = threading.Event()
        self._uuid = uuid
        original: Callable[[Sequence[Device | None]], Poll] = node.backend.poller

        def poller(devices: Sequence[Device | None]) -> Poll:
            for device in devices:
                if device is not None and device.info.uuid == uuid:
                    device.poll = self._hang  # type: ignore[method-assign]
            return original(devices)

        node.backend.poller = poller  # type: ignore[method-assign]

    def _hang(self, now_ns: int) -> None:
        self.hangs.set()
        self.release.wait(30)


@pytest.fixture
def lanes() -> Iterator[Callable[[Node], Lanes]]:
    started: list[Lanes] = []

    def crash(error: BaseException) -> None:
        raise AssertionError(error)

    def start(node: Node) -> Lanes:
        group = Lanes(SystemClock(), crash)
        started.append(group)
        fast, _ = node.jobs()
        group.start(sample=fast)
        return group

    yield start
    for group in started:
        group.stop(5.0)


def _wait_for(condition: Callable[[], bool]) -> None:
    clock = SystemClock()
    deadline_ns = clock.boottime_ns() + 20 * NS_PER_S
    while not condition():
        assert clock.boottime_ns() < deadline_ns
        clock.sleep_until(clock.boottime_ns() + 10 * NS_PER_MS)


@pytest.mark.fault("F5")
@pytest.mark.parametrize("which", [0, 3, 7])
def test_a_gpu_that_hangs_in_its_turn_leaves_the_round(
    lanes: Callable[[Node], Lanes], which: int
) -> None:
    node = _node(SystemClock(), 10)
    watches = node.watches()
    stuck = watches[which]
    hanging = Hanging(node, stuck.info.uuid)
    group = lanes(node)
    assert hanging.hangs.wait(20)
    others: list[GpuWatch] = [watch for watch in watches if watch is not stuck]
    seen = [watch.samples for watch in others]
    _wait_for(
        lambda: all(watch.samples > before + 20 for watch, before in zip(others, seen, strict=True))
    )
    assert stuck.info.uuid in group.busy_owners()
    assert sorted(owner for job in group.jobs() for owner in job.owners) == sorted(
        watch.info.uuid for watch in watches
    )
    before = stuck.samples
    hanging.release.set()
    _wait_for(lambda: stuck.samples > before + 5)
    assert set(count_missed(group.jobs())) == {watch.info.uuid for watch in watches}
