"""A node and its settlement in, a living agent out: threads, recovery of the driver, the end.

    main thread      waits for a signal or a crash
    driver           opens the backend, starts the lanes, starts over when the driver goes away
    sample, look     lanes: read the GPUs (fast, slow); see `submeter.runtime.lanes`
    guard            splits a lane that one hung GPU holds up
    settlement       books, publishes the snapshot

Whatever NVML does, the settlement goes on: /metrics stays up and says which GPUs it can't see.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import psutil

from submeter.clock import Clock, process_cpu_ns
from submeter.errors import DriverUnavailable
from submeter.model import AgentUse, ExporterState, Histogram, ProcessView, Snapshot
from submeter.runtime.ending import Ending
from submeter.runtime.lanes import Lanes
from submeter.runtime.notify import STARTING
from submeter.sampling.jobs import SAMPLE, added
from submeter.sampling.node import Node
from submeter.settlement import Health, Settlement
from submeter.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from submeter.ticking import Library

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_THIS: Final = psutil.Process()

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
RESCAN_S: Final = 10.0
CALM_NS: Final = 600 * NS_PER_S
"""So long after the last slow call to a GPU all share their threads again, the first time."""
_BLIND_NS: Final = 30 * NS_PER_S
LOOK_AFTER_NS: Final = 3 * NS_PER_MS
"""Looks come right after intervals are closed, and before these are settled: what they bring is of
just that time."""
_TAKEN_NS: Final = 5 * NS_PER_MS
_TAKEN_EACH_NS: Final = 250_000
"""How long after their ticks the GPUs' intervals are closed, and each of them: while the processor
still has the interpreter in its caches, a settlement costs a tenth less than at another time."""
_CLOSING_NS: Final = 30 * NS_PER_MS
"""The same where one of them is late."""
_STOP_LANES_S: Final = 2.0
_STOP_CLOSING_S: Final = 0.5


class Agent:
    """Owns every thread that measures. `start` returns at once; `stop` ends within seconds."""

    def __init__(
        self,
        clock: Clock,
        node: Node,
        settlement: Settlement,
        settle_ns: int,
        *,
        ledger_up: Callable[[], bool] = lambda: True,
        on_settled: Callable[[], None] = lambda: None,
        label_requests: Callable[[], Mapping[tuple[str, str], int]] = dict,
        exporters: Callable[[], tuple[ExporterState, ...]] = lambda: (),
        others_up: Callable[[], Mapping[str, bool]] = dict,
        ticking: "Library | None" = None,
    ) -> None:
        self._ticking = ticking
        self._others_up = others_up
        self.crashed: BaseException | None = None
        self.driver_error: DriverUnavailable | None = None
        self.gave_up: DriverUnavailable | None = None  # where a driver was required
        self.ended = Ending()  # somebody must stop the agent
        self._required = False
        self._clock = clock
        self._node = node
        self._settlement = settlement
        self._settle_ns = settle_ns
        self._ledger_up = ledger_up
        self._on_settled = on_settled
        self._in_driver = False
        self._waits = 0
        self._label_requests = label_requests
        self._exporters = exporters
        self._lanes: Lanes | None = None
        self._missed: dict[str, int] = {}
        self._calm_ns = CALM_NS
        self._blind_since_ns: int | None = None
        self._lateness: Histogram | None = None
        self._stopping = threading.Event()
        self._attention = threading.Event()  # the driver went away, or the agent stops
        self._driver = threading.Thread(target=self._guarded(self._keep_open), name="driver")
        self._settler = threading.Thread(target=self._guarded(self._keep_settling), name="settle")
        self._driver.daemon = self._settler.daemon = True

    def start(self, *, give_up: bool = False) -> None:
        """``give_up``: end, instead of waiting, where there is no driver at the start."""
        self._required = give_up
        self._driver.start()
        self._settler.start()

    def stop(self) -> Snapshot | None:
        """Ends sampling, books what is open, and gives the last snapshot. Takes ≤ 5 s whatever
        hangs: a thread that is stuck in the driver is left behind."""
        self._stopping.set()
        self._attention.set()
        self._settler.join(timeout=1.5)
        lanes, self._lanes = self._lanes, None
        stuck: set[str] = set()
        if lanes is not None and not lanes.stop(_STOP_LANES_S):
            stuck = lanes.busy_owners()
        now_ns = self._clock.boottime_ns()
        for watch in self._node.watches():
            if watch.info.uuid not in stuck:
                watch.finish(now_ns)
        if self.crashed is None and not self._settler.is_alive():
            self._settle(last=True)
        if not stuck:
            closing = threading.Thread(target=self._node.close, name="close", daemon=True)
            closing.start()
            closing.join(_STOP_CLOSING_S)  # nvmlShutdown may hang like any other call
        return self.snapshot

    def not_ready(self) -> str:
        """Why the agent can't meter now; empty where it does."""
        if self.driver_error is not None:
            return f"no driver: {self.driver_error.reason}"
        if not self._settlement.sequence or self._lanes is None:
            return STARTING
        return "" if self._sees(self._clock.boottime_ns()) else "no GPU can be read"

    @property
    def snapshot(self) -> Snapshot | None:
        """How things stood after the last settlement; None before the first. Any thread."""
        return self._settlement.snapshot(self._health)

    def processes(self) -> list[ProcessView]:
        """Who is on the GPUs now. Any thread."""
        return self._settlement.processes()

    def pulse(self) -> int:
        """Another number each time, as long as sampling does what it should: it reads GPUs, or
        waits for a driver that isn't there. The same one where no call to the driver returns.
        Called by one thread only."""
        lanes = self._lanes
        if lanes is not None and lanes.jobs():
            return lanes.runs()
        if not self._in_driver:
            self._waits += 1
        return -self._waits

    def driver_attention(self, error: DriverUnavailable) -> None:
        """A watch found the driver gone: called from its lane, so only a signal is left."""
        self.driver_error = error
        self._attention.set()

    def _guarded(self, main: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                main()
            except BaseException as error:
                self.crash(error)
                raise

        return run

    def crash(self, error: BaseException) -> None:
        """A defect of ours, not of the node: better a restart by systemd than a wrong figure."""
        self.crashed = error
        self.ended.set()
        self._attention.set()

    # ---- driver ----------------------------------------------------------------------------

    def _keep_open(self) -> None:
        retry_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            self._attention.clear()
            if self._inside(self._open):
                retry_s = RETRY_FIRST_S
                while not self._attention.wait(RESCAN_S):
                    self._rescan()
                    self._gather()
                if self._stopping.is_set():
                    return
                self._inside(self._close)
            else:
                retry_s = min(2 * retry_s, RETRY_MOST_S)
            self._stopping.wait(retry_s)

    def _inside(self, call: Callable[[], _T]) -> _T:
        """A call into the driver that may never return, as `pulse` has to know."""
        self._in_driver = True
        try:
            return call()
        finally:
            self._in_driver = False

    def _open(self) -> bool:
        before = self.driver_error
        try:
            self._node.open()
        except DriverUnavailable as error:
            self.driver_error = error
            if before is None or before.reason != error.reason:
                then = "it is required" if self._required else "the agent stays up and tries again"
                _log.error("%s (%s); %s", error, error.reason, then)
            if self._required:
                self.gave_up = error
                self.ended.set()
            return False
        self.driver_error = None
        fast, slow = self._node.jobs()
        lanes = Lanes(self._clock, self.crash, self._ticking)
        lanes.start(sample=fast, look=slow)
        self._lanes = lanes
        self._required = False
        _log.info("metering %d GPU(s)", len(self._node.watches()))
        return True

    def _rescan(self) -> None:
        """GPUs that were let in, woken or plugged in since."""
        try:
            new = self._node.rescan()
        except DriverUnavailable as error:
            self.driver_attention(error)
            return
        lanes = self._lanes
        if new and lanes is not None:
            fast, slow = self._node.jobs(new)
            lanes.add(sample=fast, look=slow)
            _log.info("metering %d more GPU(s)", len(new))

    def _gather(self) -> None:
        """After a call that was slow has parted them, all GPUs share their threads again: each
        thread costs a wake-up per tick. The next time only after twice as long."""
        lanes = self._lanes
        if lanes is None:
            return
        calm = lanes.calm_for_ns(self._clock.boottime_ns()) >= self._calm_ns
        if calm:
            self._calm_ns *= 2
        for fast, lane, jobs in (
            (True, "sample", self._node.fast_jobs),
            (False, "look", self._node.slow_jobs),
        ):
            if calm:
                lanes.part(_STOP_LANES_S, fast=fast)
            free = set(lanes.collect(fast=fast))
            if free:
                watches = [each for each in self._node.watches() if each.info.uuid in free]
                lanes.add(**{lane: jobs(watches)})

    def _close(self) -> None:
        _log.error("the driver went away: %s", self.driver_error)
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            self._remember(lanes)
            if not lanes.stop(_STOP_LANES_S):
                _log.error("a call to the driver does not return; starting over without it")
        self._node.close()

    def _remember(self, lanes: Lanes) -> None:
        for uuid, missed in lanes.missed().items():
            self._missed[uuid] = self._missed.get(uuid, 0) + missed
        self._lateness = _sum(self._lateness, lanes.lateness())

    # ---- settlement ------------------------------------------------------------------------

    def _keep_settling(self) -> None:
        while not self._stopping.is_set():
            boundary_ns = (self._clock.boottime_ns() // self._settle_ns + 1) * self._settle_ns
            self._sleep_until(boundary_ns + self._patience_ns(boundary_ns))
            if not self._closed(boundary_ns):
                self._sleep_until(boundary_ns + self._longest_ns())
            if not self._stopping.is_set():
                self._settle()
                self._on_settled()

    def _sleep_until(self, due_ns: int) -> None:
        while self._clock.boottime_ns() < due_ns and not self._stopping.is_set():
            self._clock.sleep_until(due_ns)

    def _patience_ns(self, boundary_ns: int) -> int:
        """The watches close at each boundary, at their first tick from then on: so long after it
        all should have."""
        lanes = self._lanes
        jobs = () if lanes is None else [job for job in lanes.jobs() if job.name == SAMPLE]
        ticks_ns = [(job.next_ns - boundary_ns) % job.period_ns for job in jobs]
        taken_ns = _TAKEN_NS + _TAKEN_EACH_NS * sum(len(job.owners) for job in jobs)
        return min(max(ticks_ns, default=0) + taken_ns, self._longest_ns())

    def _longest_ns(self) -> int:
        """So long is waited at most."""
        slowest_ns = max((watch.period_ns for watch in self._node.watches()), default=0)
        return min(slowest_ns + _CLOSING_NS, self._settle_ns // 2)

    def _closed(self, boundary_ns: int) -> bool:
        return all(watch.next_close_ns > boundary_ns for watch in self._node.watches() if watch.up)

    def _settle(self, *, last: bool = False) -> None:
        now_ns = self._clock.boottime_ns()
        self._settlement.settle(now_ns, self._clock.wall_ns(), self._health, last=last)
        self._notice_blindness(now_ns)

    def _sees(self, now_ns: int) -> bool:
        """Whether any GPU answers."""
        lanes = self._lanes
        hung = set() if lanes is None else lanes.hung(now_ns)
        return any(watch.up and watch.info.uuid not in hung for watch in self._node.watches())

    def _notice_blindness(self, now_ns: int) -> None:
        """Where no GPU at all has answered for long, the driver is opened anew: persistent
        unknown errors on all calls are known to end that way only."""
        if self._lanes is None or self._sees(now_ns) or not self._node.watches():
            self._blind_since_ns = None
        elif self._blind_since_ns is None:
            self._blind_since_ns = now_ns
        elif now_ns - self._blind_since_ns > _BLIND_NS:
            self._blind_since_ns = None
            self.driver_attention(DriverUnavailable("no_answer", "no GPU answers any more"))

    def _health(self) -> Health:
        now_ns = self._clock.boottime_ns()
        lanes = self._lanes
        driver_up = lanes is not None and self.driver_error is None
        missed = dict(self._missed)
        lateness = self._lateness
        hung: frozenset[str] = frozenset()
        if lanes is not None:
            for uuid, count in lanes.missed().items():
                missed[uuid] = missed.get(uuid, 0) + count
            lateness = _sum(lateness, lanes.lateness())
            hung = frozenset(lanes.hung(now_ns))
        return Health(
            components_up={
                self._node.backend.name: driver_up,
                "ledger": self._ledger_up(),
                **self._others_up(),
            },
            lateness=lateness,
            missed_ticks=missed,
            hung=hung,
            own=_own_use(),
            label_requests=self._label_requests(),
            exporters=self._exporters(),
        )


def _own_use() -> AgentUse:
    """What this process costs: a telemetry agent has to say so."""
    return AgentUse(process_cpu_ns(), _THIS.memory_info().rss)


def _sum(before: Histogram | None, now: Histogram) -> Histogram:
    return now if before is None else added([before, now])
