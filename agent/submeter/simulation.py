"""The whole agent in one thread on a fake clock: deterministic, and as fast as the code.

Tests and benchmarks run this; the real agent runs the same jobs in lanes (`submeter.runtime`).
"""

from collections.abc import Callable

from submeter.clock import FakeClock
from submeter.model import Snapshot
from submeter.sampling.jobs import Job, Lateness, run_until
from submeter.sampling.node import Node
from submeter.settlement import Health, Settlement


class Simulation:
    """A node, its settlement and a clock that only moves when something is due."""

    def __init__(
        self,
        clock: FakeClock,
        node: Node,
        settlement: Settlement,
        settle_ns: int,
        on_snapshot: Callable[[Snapshot], None] | None = None,
    ) -> None:
        self.clock = clock
        self.snapshot: Snapshot | None = None
        self._node = node
        self._settlement = settlement
        self._settle_ns = settle_ns
        self._on_snapshot = on_snapshot
        self._lateness = Lateness()
        self._jobs: list[Job] = []
        self._finished = False

    def start(self) -> None:
        """Opens the node. Raises DriverUnavailable as the backend does."""
        self._node.open()
        fast, slow = self._node.jobs()
        now_ns = self.clock.boottime_ns()
        settle = Job("settle", (), self._settle_ns, now_ns + self._settle_ns, self._settle)
        self._jobs = [*slow, *fast, settle]

    def run_for(self, duration_ns: int) -> None:
        """Lets that much time pass."""
        run_until(self.clock, self._jobs, self.clock.boottime_ns() + duration_ns, self._lateness)

    def finish(self) -> Snapshot:
        """Closes every interval and settles for the last time."""
        now_ns = self.clock.boottime_ns()
        for watch in self._node.watches():
            watch.finish(now_ns)
        self._finished = True
        self._settle(now_ns)
        assert self.snapshot is not None
        return self.snapshot

    def _settle(self, now_ns: int) -> None:
        self._settlement.settle(now_ns, self.clock.wall_ns(), self._health, last=self._finished)
        self.snapshot = self._settlement.snapshot(self._health)
        if self._on_snapshot is not None and self.snapshot is not None:
            self._on_snapshot(self.snapshot)

    def _health(self) -> Health:
        return Health({self._node.backend.name: True}, self._lateness.histogram())
