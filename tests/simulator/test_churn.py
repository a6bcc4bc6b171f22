"""Hours of jobs under ever new names, in a minute: memory follows those who are there."""

import gc
import sys
from pathlib import Path
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import Final

import pytest

from submeter.clock import FakeClock
from submeter.metrics import families
from submeter.model import Snapshot
from submeter.units import NS_PER_S
from submeter.workloads.naming import owner
from submeter_exporters._openmetrics import render
from submeter_simulator import agent
from submeter_simulator.boards import Board
from submeter_simulator.people import People
from submeter_simulator.timeline import BoardPlan, Timeline

_JOBS: Final = 6  # on two boards
_SERIES: Final = 40
_SETTLE_S: Final = 5
_WARM: Final = 420  # names: by then all that is kept for some minutes is full
_MORE: Final = 210
_BYTES_A_NAME: Final = 250
"""A tenth of what one name is while it is known; 100 where nothing else fluctuates, seven bytes
for it in each of an hour, its quarters and a day, and twenty to know that it was there."""

_FILES: Final = {
    "comm": "python3\n",
    "cgroup": "0::/user.slice\n",
    "status": "Name:\tpython3\nUid:\t1000\t0\t0\t0\n",
}


class Node:
    """Owns a machine on which jobs come and go."""

    def __init__(self, folder: Path) -> None:
        plans = (BoardPlan(), BoardPlan())
        timeline = Timeline(
            1, 0, plans, (), period_ms=1_000, settle_ms=_SETTLE_S * 1_000, max_series=_SERIES
        )
        self.clock = FakeClock(1_000 * NS_PER_S, 1_767_225_600 * NS_PER_S)
        self.people = People(folder / "proc")
        self.people.boot("boot")
        self.boards = [Board(index, plan, 10**12, 300_000) for index, plan in enumerate(plans)]
        for board in self.boards:
            board.begin(self.clock.boottime_ns())
        self.names = 0
        for _ in range(_JOBS):
            self._come()
        (folder / "state").mkdir(mode=0o700)
        folders = folder / "state", folder / "proc"
        self.agent = agent.Agent(
            timeline, self.clock, self.boards, folders, boot_id="boot", look=_scrape
        )

    def live(self, names: int) -> None:
        """So many jobs end, and others with new names begin."""
        for _ in range(names):
            board = self.boards[self.names % len(self.boards)]
            self.people.exit(board.pids.pop(0))
            self._come()
            board.power_mw = 200_000 + self.names % 7 * 60_000
            self.agent.live_until(self.clock.boottime_ns() + 2 * _SETTLE_S * NS_PER_S)

    def _come(self) -> None:
        board = self.boards[self.names % len(self.boards)]
        self.names += 1
        pid = 1_000 + self.names
        life = self.people.born(pid, self.clock.boottime_ns(), 0)
        folder = self.people.root / str(pid)
        stat = f"{pid} (python3) S 1 {'0 ' * 17}{life.start_ticks} 0 0\n"
        for file, content in {**_FILES, "stat": stat}.items():
            (folder / file).write_text(content)
        (folder / "cmdline").write_text(f"python3\0train-{self.names}.py\0")
        (folder / "environ").unlink(missing_ok=True)
        board.pids.append(pid)


def _scrape(snapshot: Snapshot) -> None:
    render(families(snapshot))


def _sizes(node: Node) -> dict[str, int]:
    """Bytes of all that each room of the agent holds."""
    gc.collect()
    one = node.agent
    rooms = {"ledger": one.ledger, "table": one.table, "settlement": one.settlement}
    return {name: _bytes_of(room) for name, room in rooms.items()}


def _bytes_of(root: object) -> int:
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, _NOT_HELD):
            seen[id(each)] = each
            waiting += gc.get_referents(each)
    return sum(map(sys.getsizeof, seen.values()))


_NOT_HELD: Final = (type, ModuleType, FunctionType, MethodType, GeneratorType, FakeClock, Snapshot)


def test_names_without_end_leave_next_to_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who it was, and what it used, is in the file."""
    monkeypatch.setattr(agent, "_name", owner)
    node = Node(tmp_path)
    node.live(_WARM)
    before = _sizes(node)
    node.live(_MORE)
    after = _sizes(node)
    assert node.agent.ledger.folded_series > _MORE
    grown = {room: (after[room] - before[room]) / _MORE for room in before}
    assert max(grown.values()) < _BYTES_A_NAME, grown
    node.agent.stop()
