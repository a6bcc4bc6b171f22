"""A machine in, one start of the agent on it out: its own code, in one thread, on that clock.

What `submeter.runtime` does with threads is done here by jobs on one clock: `Agent` keeps the
driver open, `Writer` stands for the thread that commits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from submeter.backends import Device, ProcessSource
from submeter.backends.turns import Poll, one_by_one
from submeter.clock import FakeClock
from submeter.errors import DeviceLost, DriverUnavailable
from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Commit, Session
from submeter.ledger.rows import Row
from submeter.ledger.store import NotWritten, Store
from submeter.model import AgentUse, Owner, ProcessFacts, Snapshot, Verdict
from submeter.sampling.jobs import Job, Lateness, count_missed, run_until
from submeter.sampling.node import Node
from submeter.settlement import About, Health, Settlement
from submeter.units import NS_PER_MS, NS_PER_S
from submeter.workloads import ProcessTable, ProcfsSource
from submeter.workloads.naming import owner
from submeter_simulator.boards import Board, ScriptedDevice
from submeter_simulator.timeline import Timeline

BACKEND: Final = "nvml"
_RESCAN_TURNS: Final = 10


class ScriptedBackend:
    """The machine's boards, as a driver gives them."""

    name = BACKEND
    notice = ""

    def __init__(self, boards: Sequence[Board], clock: FakeClock, proc: Path) -> None:
        self.processes: ProcessSource = ProcfsSource(proc)
        self.driver_until_ns = 0
        self._boards = boards
        self._clock = clock
        self._open: dict[str, ScriptedDevice] = {}

    def open(self) -> Sequence[Device]:
        self._require_driver()
        self._open = {board.uuid: self._device(board) for board in self._there()}
        return tuple(self._open.values())

    def rescan(self) -> Sequence[Device]:
        self._require_driver()
        new = [self._device(board) for board in self._there() if board.uuid not in self._open]
        self._open.update((device.info.uuid, device) for device in new)
        return new

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        return one_by_one(devices)

    def reopen(self, uuid: str) -> Device:
        self._require_driver()
        for board in self._there():
            if board.uuid == uuid:
                device = self._open[uuid] = self._device(board)
                return device
        raise DeviceLost("gpu_not_found")

    def close(self) -> None:
        for device in self._open.values():
            device.closed = True
        self._open = {}

    def _there(self) -> list[Board]:
        now_ns = self._clock.boottime_ns()
        return [board for board in self._boards if now_ns >= board.vanished_until_ns]

    def _device(self, board: Board) -> ScriptedDevice:
        return ScriptedDevice(board, self._clock, lambda: self.driver_until_ns)

    def _require_driver(self) -> None:
        if self._clock.boottime_ns() < self.driver_until_ns:
            raise DriverUnavailable("driver_not_loaded", "simulated")


class Writer:
    """Writes commits at once, or, while the disk takes its time, the newest one later."""

    def __init__(self, store: Store) -> None:
        self.written = 0
        self.problem = ""
        self.busy = False
        self._store = store
        self._waiting: Commit | None = None

    def submit(self, commit: Commit) -> None:
        self._waiting = commit
        if not self.busy:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        commit, self._waiting = self._waiting, None
        if commit is None:
            return
        try:
            self._store.write(commit)
        except NotWritten as error:
            self.problem = str(error)
        else:
            self.problem = ""
            self.written = commit.number

    def catch_up(self) -> None:
        """Nothing: what takes its time is not waited for."""

    def row(self, gpu: int, seq: int) -> Row | None:
        return self._store.row(gpu, seq)


class Agent:
    """One start of the agent, until it is stopped or dies. Raises StateUnusable as it does."""

    def __init__(
        self,
        timeline: Timeline,
        clock: FakeClock,
        boards: Sequence[Board],
        folders: tuple[Path, Path],
        *,
        boot_id: str,
        look: Callable[[Snapshot], None],
    ) -> None:
        """``folders``: the state directory, and /proc."""
        self.snapshot: Snapshot | None = None
        self._clock = clock
        self._look = look
        self._settle_ns = timeline.settle_ms * NS_PER_MS
        state, proc = folders
        self.backend = ScriptedBackend(boards, clock, proc)
        wall_ns = clock.wall_ns()
        self.store, loaded = open_store(state, BACKEND, wall_ns)
        session = Session(0, BACKEND, "0", "", boot_id, wall_ns, clock.boottime_ns())
        self.writer = Writer(self.store)
        self.ledger = DurableLedger(loaded, session, self.writer, timeline.max_series)
        self.node = Node(
            self.backend,
            clock,
            period_ns=timeline.period_ms * NS_PER_MS or None,
            settle_ns=self._settle_ns,
            on_driver_error=self._driver_failed,
            checkpoint=self.ledger.checkpoint,
            boot_id=boot_id,
        )
        self.table = ProcessTable(self.backend.processes, name=_name)
        about = About(BACKEND, "0", wall_ns)
        self.settlement = Settlement(about, self.ledger, self.table, self.node.watches)
        self._lateness = Lateness()
        self._is_open = self._attention = False
        self._generation = self._turns = 0
        now_ns = clock.boottime_ns()
        self._jobs = [
            Job("driver", (), NS_PER_S, now_ns, self._keep_open),
            Job("settle", (), self._settle_ns, now_ns + self._settle_ns, self._settle),
        ]

    def live_until(self, boottime_ns: int) -> None:
        """Time passes."""
        run_until(self._clock, self._jobs, boottime_ns, self._lateness)

    def stop(self) -> None:
        """As its service is stopped."""
        now_ns = self._clock.boottime_ns()
        for watch in self.node.watches():
            watch.finish(now_ns)
        self.writer.busy = False
        self.writer.flush()
        self._book(now_ns, last=True)
        self.node.close()
        self.store.finish()

    def sees_all(self, boards: int) -> bool:
        """Whether every GPU is read, and its refresh known."""
        watches = self.node.watches()
        return len(watches) == boards and all(
            watch.up and not watch.probing and watch.latest is not None for watch in watches
        )

    # ---- jobs ------------------------------------------------------------------------------

    def _keep_open(self, _now_ns: int) -> Sequence[Job] | None:
        if self._attention:
            self._attention = self._is_open = False
            self.node.close()
        elif not self._is_open:
            return self._open()
        else:
            return self._rescan()
        return None

    def _open(self) -> Sequence[Job] | None:
        try:
            self.node.open()
        except DriverUnavailable:
            return None
        self._is_open, self._attention = True, False
        self._generation += 1
        fast, slow = self.node.jobs()
        return self._with(fast, slow)

    def _rescan(self) -> Sequence[Job] | None:
        self._turns += 1
        if self._turns % _RESCAN_TURNS:
            return None
        try:
            new = self.node.rescan()
        except DriverUnavailable:
            self._attention = True
            return None
        return self._with(*self.node.jobs(new)) if new else None

    def _with(self, fast: Sequence[Job], slow: Sequence[Job]) -> Sequence[Job]:
        again = Job("driver", (), NS_PER_S, self._clock.boottime_ns() + NS_PER_S, self._keep_open)
        return [again, *(self._until_closed(job) for job in (*fast, *slow))]

    def _until_closed(self, job: Job) -> Job:
        """Jobs of a driver that was closed end."""
        generation, run = self._generation, job.run

        def guarded(now_ns: int) -> Sequence[Job] | None:
            if generation != self._generation:
                return ()
            instead = run(now_ns)
            return None if instead is None else [self._until_closed(each) for each in instead]

        job.run = guarded
        return job

    def _settle(self, now_ns: int) -> None:
        self._book(now_ns, last=False)

    def _book(self, now_ns: int, *, last: bool) -> None:
        self.settlement.settle(now_ns, self._clock.wall_ns(), self._health, last=last)
        self.snapshot = self.settlement.snapshot(self._health)
        if self.snapshot is not None:
            self._look(self.snapshot)

    def _driver_failed(self, _error: DriverUnavailable) -> None:
        self._attention = True

    def _health(self) -> Health:
        now_ns = self._clock.boottime_ns()
        return Health(
            components_up={BACKEND: self._is_open, "ledger": not self.writer.problem},
            lateness=self._lateness.histogram(),
            missed_ticks=count_missed(self._jobs),
            own=AgentUse(now_ns // 100, 30 << 20),
        )


def _name(facts: ProcessFacts, verdict: Verdict) -> Owner:
    """The agent's own name, and who it truly is as its job: what is booked to each life can then
    be looked up."""
    return owner(facts, verdict)._replace(job=f"{facts.key.pid}-{facts.key.start_ticks}")
