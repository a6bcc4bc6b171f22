"""A timeline in, lived through; how much was checked out, or `Broken`."""

import random
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from unittest import mock

from submeter.clock import FakeClock
from submeter.errors import StateUnusable
from submeter.ledger import store
from submeter.ledger.audit import audit
from submeter.ledger.reader import open_reader
from submeter.sampling import node
from submeter.testing.memory import IN_MEMORY
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J
from submeter_simulator.agent import Agent
from submeter_simulator.boards import NONSENSE, Board, Trouble
from submeter_simulator.disk import Crashed, FailingDisk
from submeter_simulator.oracle import Broken, Oracle
from submeter_simulator.people import People
from submeter_simulator.timeline import Event, Timeline

_START_WALL_NS: Final = 1_767_225_600 * NS_PER_S
_BOOT_NS: Final = 20 * NS_PER_S  # from power on until the agent starts
_AGAIN_NS: Final = 2 * NS_PER_S  # a service manager starts it again
_CALM_NS: Final = 10 * NS_PER_S
_MOST_CALM: Final = 40
_FAR_S: Final = 1 << 40
_RECALL_MS: Final = 500_000
_PIDS: Final = 40
_BRIDGE_MS: Final = 4_000
"""Power is joined by a straight line for at most 2 s; at either end of a bridge it may have been
another one."""


class Checked(NamedTuple):
    """What a life came to."""

    intervals: int  # of GPUs, settled
    starts: int  # of the agent
    exact: int  # GPUs whose total is what their counter gained, to the microjoule
    energy_uj: int


def live(timeline: Timeline, tell: Callable[[float], None] = lambda _share: None) -> Checked:
    """Lives through it; ``tell`` is called with the share of it that is over. Raises Broken."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY, prefix="submeter-life-") as scratch:
        machine = Machine(timeline, Path(scratch).resolve())
        with (
            machine.disk.in_use(),
            mock.patch.object(store, "_LONGEST_S", timeline.fold_s),
            mock.patch.object(node, "LOOK_NS", timeline.look_s * NS_PER_S),
        ):
            for event in timeline.events:
                machine.live_until(event.at_ms * NS_PER_MS)
                machine.happen(event)
                tell(event.at_ms / (timeline.seconds * 1_000))
            machine.live_until(timeline.seconds * NS_PER_S)
            machine.calm()
        return machine.judge()


class Machine:
    """A node with an agent on it, dead or alive. `live_until` counts from its first start."""

    def __init__(self, timeline: Timeline, directory: Path) -> None:
        self.timeline = timeline
        self.oracle = Oracle()
        self.starts = 0
        rng = random.Random(timeline.seed)
        self.clock = FakeClock(1_000 * NS_PER_S, _START_WALL_NS)
        self._state = directory / "state"
        self._state.mkdir(mode=0o700)
        self.disk = FailingDisk(self._state, random.Random(rng.getrandbits(64)))
        self.people = People(directory / "proc")
        self.boards = [
            Board(index, plan, rng.randrange(10**12, 10**14))
            for index, plan in enumerate(timeline.boards)
        ]
        self._agent: Agent | None = None
        self._boots = 0
        self._before_ns = -self.clock.boottime_ns()  # what boot time says, to what this life does
        self._start_ns = 0  # boot time at which the agent is started
        self._cuts = False  # what ends the agent next: the power, or a signal
        self._down_ns = 0
        self._busy_until_ns = 0
        self._disk_until_ns = 0
        for board in self.boards:
            board.begin(self.clock.boottime_ns())
            board.delivered = self.oracle.gauge(board.uuid).show
        self.people.boot(self._boot_id)

    @property
    def _boot_id(self) -> str:
        return f"boot-{self._boots}"

    def live_until(self, life_ns: int) -> None:
        """Time passes; the agent ends and begins as it does."""
        while (now_ns := self.clock.boottime_ns()) < (until_ns := life_ns - self._before_ns):
            self._pass_troubles(now_ns)
            if self._agent is None and now_ns >= self._start_ns:
                self._guarded(self._start)
            if self._agent is None:
                until_ns = min(until_ns, max(self._start_ns, now_ns + 1))
                self.clock.advance(until_ns - now_ns)
                continue
            for at_ns in (self._busy_until_ns, self._disk_until_ns):
                if now_ns < at_ns < until_ns:
                    until_ns = at_ns
            self._guarded(partial(self._agent.live_until, until_ns))

    def happen(self, event: Event) -> None:
        """An event of the timeline."""
        board = self.boards[event.gpu % len(self.boards)]
        board.advance(self.clock.boottime_ns())
        _HAPPENINGS[event.kind](self, board, event)

    def calm(self) -> None:
        """Nothing goes wrong any more: all that can be booked is."""
        self._busy_until_ns = self._disk_until_ns = 0
        self.disk.crash_after = None
        self.disk.fault = ""
        for board in self.boards:
            board.advance(self.clock.boottime_ns())
            board.calm()
            board.power_mw = max(board.power_mw, board.plan.limit_mw // 4)
        if self._agent is not None:
            self._agent.backend.driver_until_ns = 0
        for _ in range(_MOST_CALM):
            self.live_until(self.clock.boottime_ns() + self._before_ns + _CALM_NS)
            if self._agent is not None and self._agent.sees_all(len(self.boards)):
                break
        else:
            raise Broken("the agent does not come back, though nothing is wrong any more")
        # twice more: what was booked for a counter that had only fallen is repaid
        self.live_until(self.clock.boottime_ns() + self._before_ns + _CALM_NS)
        self._guarded(self._agent.stop)

    def judge(self) -> Checked:
        """What is in the ledger in the end."""
        agent = self._agent
        assert agent is not None
        assert agent.snapshot is not None
        self.oracle.end(agent.snapshot.gpus)
        totals = {gpu.info.uuid: gpu.energy_uj for gpu in agent.snapshot.gpus}
        _same_in_file(self._state, totals)
        exact = sum(gauge.exact and not gauge.first for gauge in self.oracle.gauges.values())
        return Checked(self.oracle.intervals, self.starts, exact, sum(totals.values()))

    # ---- the agent -------------------------------------------------------------------------

    def _start(self) -> None:
        self._start_ns = self.clock.boottime_ns() + _AGAIN_NS
        folders = self._state, self.people.root
        try:
            agent = Agent(
                self.timeline,
                self.clock,
                self.boards,
                folders,
                boot_id=self._boot_id,
                look=self._look,
            )
        except StateUnusable:
            return  # exit status 73; it is started again
        self._agent = agent
        self.starts += 1
        for board in self.boards:
            found_uj = agent.ledger.totals(board.uuid).energy_uj
            checkpoint = agent.ledger.checkpoint(board.uuid)
            counter = None if checkpoint is None else checkpoint.state.counter
            same_boot = checkpoint is not None and checkpoint.boot_id == self._boot_id
            self.oracle.gauge(board.uuid).resume(found_uj, counter, same_boot=same_boot)

    def _look(self, snapshot: object) -> None:
        self.oracle.look(snapshot)  # type: ignore[arg-type]
        agent = self._agent
        if agent is not None:
            _bounded(agent)
            _estimated(agent)

    def _guarded(self, step: Callable[[], None]) -> None:
        """A step at which the agent may die."""
        try:
            step()
        except Crashed:
            self._die()

    def _die(self) -> None:
        self._agent = None
        if self._cuts:
            self._lose_power()
        else:
            self.disk.kill()
            self._start_ns = self.clock.boottime_ns() + self._down_ns

    def _lose_power(self) -> None:
        for board in self.boards:
            board.advance(self.clock.boottime_ns())
        if self.disk.lied:
            self.oracle.forget()
        self.disk.cut_power()
        self.disk.fault = ""
        life_ns = self.clock.boottime_ns() + self._before_ns + self._down_ns
        self.clock = FakeClock(_BOOT_NS, self.clock.wall_ns() + self._down_ns + _BOOT_NS)
        self._before_ns = life_ns
        self._start_ns, self._boots = _BOOT_NS, self._boots + 1
        self._busy_until_ns = self._disk_until_ns = 0
        self.people.boot(self._boot_id)
        for board in self.boards:
            self.oracle.gauge(board.uuid).ever_restarted = True
            board.boot(_BOOT_NS)

    def _pass_troubles(self, now_ns: int) -> None:
        if self.disk.fault and now_ns >= self._disk_until_ns:
            self.disk.fault = ""
        if self._agent is not None:
            writer = self._agent.writer
            was_busy, writer.busy = writer.busy, now_ns < self._busy_until_ns
            if was_busy and not writer.busy:
                self._guarded(writer.flush)

    # ---- events ----------------------------------------------------------------------------

    def draw(self, board: Board, event: Event) -> None:
        board.power_mw = board.plan.limit_mw * event.value // 1_000

    def birth(self, board: Board, event: Event) -> None:
        pid = 100 + event.value % _PIDS
        if pid not in self.people.alive:
            self.people.born(pid, self.clock.boottime_ns(), event.value)
        if pid not in board.pids:
            board.pids.append(pid)

    def exit(self, _board: Board, event: Event) -> None:
        pids = sorted(self.people.alive)
        if pids:
            self._leave(pids[event.value % len(pids)])

    def again(self, board: Board, event: Event) -> None:
        pids = sorted(self.people.alive)
        if pids:
            pid = pids[event.value % len(pids)]
            self._leave(pid)
            self.people.born(pid, self.clock.boottime_ns(), event.value)
            board.pids.append(pid)

    def _leave(self, pid: int) -> None:
        self.people.exit(pid)
        for board in self.boards:
            with suppress(ValueError):
                board.pids.remove(pid)

    def fails(self, board: Board, event: Event) -> None:
        call, means = event.what.split()
        board.troubles.append(Trouble(call, means, self._later_ns(event)))

    def hang(self, board: Board, event: Event) -> None:
        board.hang_ns = event.for_ms * NS_PER_MS

    def vanish(self, board: Board, event: Event) -> None:
        board.vanished_until_ns = self._later_ns(event)

    def driver(self, _board: Board, event: Event) -> None:
        if self._agent is not None:
            self._agent.backend.driver_until_ns = self._later_ns(event)

    def blank(self, board: Board, event: Event) -> None:
        board.blank_until_ns = self._later_ns(event)
        self.oracle.gauge(board.uuid).bridges_uj += board.plan.limit_mw * _BRIDGE_MS

    def stall(self, board: Board, event: Event) -> None:
        board.stall(self._later_ns(event))
        self.oracle.gauge(board.uuid).bridges_uj += board.plan.limit_mw * _BRIDGE_MS

    def jitter(self, board: Board, event: Event) -> None:
        board.late_uj = event.value

    def glitch(self, board: Board, event: Event) -> None:
        gauge = self.oracle.gauge(board.uuid)
        if not gauge.ever_restarted and board.frozen_uj is None:
            gauge.odd = True
            board.odd_uj = NONSENSE[event.value % len(NONSENSE)]

    def reset(self, board: Board, event: Event) -> None:
        if board.shown_uj >= event.value * UJ_PER_J:
            board.reset()
            self.oracle.gauge(board.uuid).restart()

    def wall(self, _board: Board, event: Event) -> None:
        self.clock.step_wall(event.value * NS_PER_MS)

    def suspend(self, _board: Board, event: Event) -> None:
        self.clock.suspend(event.for_ms * NS_PER_MS)
        self._before_ns -= event.for_ms * NS_PER_MS
        if event.for_ms > _RECALL_MS:
            for gauge in self.oracle.gauges.values():
                gauge.exact &= not gauge.odd

    def lag(self, _board: Board, event: Event) -> None:
        self._busy_until_ns = self._later_ns(event)

    def fail_disk(self, _board: Board, event: Event) -> None:
        self.disk.fault, self.disk.chance = event.what, event.value / 1_000
        self._disk_until_ns = self._later_ns(event)

    def kill(self, _board: Board, event: Event) -> None:
        self._end(event, cuts=False)

    def cut(self, _board: Board, event: Event) -> None:
        self._end(event, cuts=True)

    def _end(self, event: Event, *, cuts: bool) -> None:
        self._cuts, self._down_ns = cuts, event.for_ms * NS_PER_MS
        if event.value and self._agent is not None:
            self.disk.crash_after = event.value - 1
        else:
            self._die()

    def stop(self, _board: Board, event: Event) -> None:
        if self._agent is not None:
            agent = self._agent
            self._guarded(agent.stop)
            if self._agent is agent:
                self._agent = None
                self.disk.kill()
                self._start_ns = self._later_ns(event)

    def _later_ns(self, event: Event) -> int:
        return self.clock.boottime_ns() + event.for_ms * NS_PER_MS


_HAPPENINGS: Final[Mapping[str, Callable[[Machine, Board, Event], None]]] = {
    "draw": Machine.draw,
    "birth": Machine.birth,
    "exit": Machine.exit,
    "again": Machine.again,
    "fails": Machine.fails,
    "hang": Machine.hang,
    "vanish": Machine.vanish,
    "driver": Machine.driver,
    "blank": Machine.blank,
    "stall": Machine.stall,
    "jitter": Machine.jitter,
    "glitch": Machine.glitch,
    "reset": Machine.reset,
    "wall": Machine.wall,
    "suspend": Machine.suspend,
    "lag": Machine.lag,
    "disk": Machine.fail_disk,
    "kill": Machine.kill,
    "cut": Machine.cut,
    "stop": Machine.stop,
}


def _bounded(agent: Agent) -> None:
    """What is kept does not grow."""
    sizes = {
        "views": (len(agent.ledger._views), 2),
        "processes": (len(agent.table), 8_192),
        "intervals": (sum(len(watch.closed) for watch in agent.node.watches()), 0),
        "books": (sum(len(book.held) for book in agent.ledger._books.values()), 1_000),
    }
    for name, (size, most) in sizes.items():
        if size > most:
            raise Broken(f"{size} {name} are kept, at most {most} are expected")


def _estimated(agent: Agent) -> None:
    """A mistake of the estimate doesn't pass for caution."""
    boards = agent.settlement._boards
    failures = sum(board.signals.sharing.failures for board in boards.values())
    if failures:
        raise Broken(f"{failures} estimates were given up")


def _same_in_file(directory: Path, totals: Mapping[str, int]) -> None:
    found = audit(directory)
    if found.problem:
        raise Broken(f"submeter verify: {found.problem}")
    sums: dict[str, int] = {}
    with open_reader(directory) as reader:
        for piece in reader.pieces(0, _FAR_S):
            sums[piece.gpu.uuid] = sums.get(piece.gpu.uuid, 0) + piece.sum_uj
    for uuid, total_uj in totals.items():
        if sums.get(uuid, 0) != total_uj or found.energy_uj.get(uuid, 0) != total_uj:
            raise Broken(
                f"{uuid}: metrics end with {total_uj} µJ, a report has {sums.get(uuid, 0)} µJ, "
                f"submeter verify {found.energy_uj.get(uuid, 0)} µJ"
            )
