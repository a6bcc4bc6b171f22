"""GPUs polled in real time by lanes, in Python and in C: the same answers, faults and hangs."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from submeter.backends.nvml import create
from submeter.clock import SystemClock
from submeter.model import Reading
from submeter.runtime.lanes import Lanes
from submeter.sampling import node as sampling
from submeter.sampling.jobs import count_missed
from submeter.sampling.watch import GpuWatch
from submeter.ticking import Library
from submeter.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

    from submeter.ticking import Library

pytestmark = pytest.mark.slow

FIELDS = "nvmlDeviceGetFieldValues"
PERIOD_NS = 10 * NS_PER_MS
BOARDS = tuple(
    f"gpu {n} uuid=GPU-{n} refresh_ms=10 counter_refresh_ms=10 energy_start_mj=1000000"
    for n in range(4)
)
LOADS = tuple(
    f"load {n} sine mean_mw=200000 amplitude_mw=100000 period_ms=300" for n in range(len(BOARDS))
)


class Metered:
    """The stand-in's boards under lanes: what was read, and what they know."""

    def __init__(self, node: "Node", functions: Library | None) -> None:
        self.world = node
        if functions is not None:
            options = {"sysfs": node.sysfs, "compiled": functions}
            node.backend = create(node.clock, options)
        self.readings: dict[str, list[Reading]] = {}
        self.node = sampling.Node(
            node.backend,
            node.clock,
            period_ns=PERIOD_NS,
            settle_ns=NS_PER_S,
            on_reading=lambda uuid, reading: self.readings.setdefault(uuid, []).append(reading),
            ticking=functions is not None,
        )
        self._crashes: list[BaseException] = []
        self.lanes = Lanes(node.clock, self._crashes.append, functions)

    def start(self, *lines: str) -> dict[str, GpuWatch]:
        """Opens them and waits until all are past finding out their sensors' refresh."""
        self.world.world.write((*BOARDS, *LOADS, *lines))
        self.node.open()
        fast, _ = self.node.jobs()
        self.lanes.start(sample=fast)
        watches = {watch.info.uuid: watch for watch in self.node.watches()}
        self.wait(lambda: not any(watch.probing for watch in watches.values()))
        return watches

    def wait(self, condition: Callable[[], bool]) -> None:
        clock = SystemClock()
        deadline_ns = clock.boottime_ns() + 30 * NS_PER_S
        while not condition():
            assert not self._crashes, self._crashes
            assert clock.boottime_ns() < deadline_ns, "waited in vain"
            clock.sleep_until(clock.boottime_ns() + 5 * NS_PER_MS)

    def more(self, watches: dict[str, GpuWatch], ticks: int, *uuids: str) -> None:
        """Until each of those GPUs was read so many times more."""
        before = {uuid: watches[uuid].samples for uuid in uuids or watches}
        self.wait(lambda: all(watches[uuid].samples >= n + ticks for uuid, n in before.items()))

    def stop(self) -> None:
        self.lanes.stop(5.0)
        self.node.close()


@pytest.fixture(params=["python", "compiled"])
def metered(request: pytest.FixtureRequest, node: "Node") -> Iterator[Metered]:
    compiled = request.param == "compiled"
    functions = request.getfixturevalue("ticking_functions") if compiled else None
    made = Metered(node, functions)
    yield made
    made.stop()


def _ticking(metered: Metered) -> int:
    return sum(job.ticks is not None for job in metered.lanes.jobs())


def test_every_gpu_is_read_at_every_tick(metered: Metered) -> None:
    watches = metered.start()
    metered.more(watches, 150)
    asked = metered.world.world.calls()[FIELDS]
    told = sum(watch.tally().calls[FIELDS] for watch in watches.values())
    waiting = len(BOARDS) * 150
    assert 0 <= asked - told <= waiting + len(BOARDS) * 4  # asked, and not taken yet; probing
    for readings in metered.readings.values():
        assert all(a.at_ns < b.at_ns for a, b in pairwise(readings))
        gaps = sorted(b.at_ns - a.at_ns for a, b in pairwise(readings[-100:]))
        assert gaps[len(gaps) // 2] == pytest.approx(PERIOD_NS, rel=0.3)
    assert _ticking(metered) == (1 if metered.node._rounds.ticking else 0)


def test_what_is_metered_is_what_the_counter_counted(metered: Metered) -> None:
    watches = metered.start()
    metered.more(watches, 220)
    metered.lanes.stop(5.0)
    for uuid, watch in watches.items():
        watch.sample(metered.world.now(), 0)
        watch.finish(metered.world.now())
        booked_uj = sum(closed.interval.energy_uj for closed in watch.closed)
        counted = [r.energy_uj for r in metered.readings[uuid] if r.energy_uj is not None]
        assert booked_uj == counted[-1] - counted[0]
        assert not any(closed.interval.resets for closed in watch.closed)


@pytest.mark.parametrize("stuck", [0, 3])
def test_a_gpu_that_hangs_holds_up_nobody_and_comes_back(metered: Metered, stuck: int) -> None:
    watches = metered.start()
    metered.more(watches, 30)
    uuid = f"GPU-{stuck}"
    others = [other for other in watches if other != uuid]
    begin = metered.world.world.seconds(metered.world.now())
    fault = f"fault call={FIELDS} gpu={stuck} hang=2.7 from={begin} nth=1"
    metered.world.world.write((*BOARDS, *LOADS, fault))
    metered.wait(lambda: uuid in metered.lanes.hung(metered.world.now()))
    metered.more(watches, 120, *others)
    assert set(count_missed(metered.lanes.jobs())) == set(watches)
    for other in others:
        gaps = [b.at_ns - a.at_ns for a, b in pairwise(metered.readings[other])]
        assert max(gaps) < 2.5 * NS_PER_S  # none of them waited for the one that hangs
    metered.wait(lambda: not metered.lanes.hung(metered.world.now()))
    metered.more(watches, 30)
    assert all(watch.up for watch in watches.values())
    late_ns = max(b.at_ns - a.at_ns for a, b in pairwise(metered.readings[uuid]))
    assert late_ns > 2 * NS_PER_S


def test_a_lost_gpu_goes_down_alone_and_is_found_again(metered: Metered) -> None:
    watches = metered.start()
    begin = metered.world.world.seconds(metered.world.now())
    lost = f"fault call=* gpu=1 error=15 from={begin} to={begin + 2}"
    metered.world.world.write((*BOARDS, *LOADS, lost))
    metered.wait(lambda: not watches["GPU-1"].up)
    metered.more(watches, 50, "GPU-0", "GPU-2", "GPU-3")
    metered.wait(lambda: watches["GPU-1"].up)
    metered.more(watches, 30)


def test_an_error_now_and_then_is_counted_and_nothing_else(metered: Metered) -> None:
    watches = metered.start()
    fault = f"fault call={FIELDS} gpu=2 error=999 every=5"
    metered.world.world.write((*BOARDS, *LOADS, fault))
    metered.more(watches, 120)
    tally = watches["GPU-2"].tally()
    assert tally.errors[FIELDS, "unknown"] >= 10
    assert watches["GPU-2"].up
    assert all(not watches[f"GPU-{n}"].tally().errors for n in (0, 1, 3))


def test_a_driver_that_goes_away_is_noticed(metered: Metered) -> None:
    watches = metered.start()
    metered.world.world.write((*BOARDS, *LOADS, "fault call=* error=9"))
    metered.wait(lambda: all(watch.driver_error is not None for watch in watches.values()))


def test_closing_the_driver_under_it_ends_every_call(metered: Metered) -> None:
    watches = metered.start()
    metered.world.backend.close()
    metered.wait(lambda: all(watch.driver_error is not None for watch in watches.values()))
    asked = metered.world.world.calls()[FIELDS]
    metered.world.settle()
    assert metered.world.world.calls()[FIELDS] == asked


def test_a_change_of_holders_is_metered_at_once(metered: Metered) -> None:
    watches = metered.start()
    metered.more(watches, 120)
    watch = watches["GPU-0"]
    metered.wait(lambda: bool(watch.closed))
    watch.closed.clear()
    now_ns = metered.world.now()
    watch._list_holders(now_ns)  # the first listing is a change
    metered.wait(lambda: bool(watch.closed))
    assert watch.closed[0].interval.end_ns - now_ns < 700 * NS_PER_MS
