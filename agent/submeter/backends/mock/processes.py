"""Who the simulated PIDs are: a scenario and a clock in, identities and facts as scripted out."""

import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from submeter.backends.mock.plan import Life, ProcessPlan, Scenario, life_at
from submeter.clock import Clock
from submeter.model import ProcessFacts, ProcessKey
from submeter.units import NS_PER_MS

_TICK_NS: Final = 10 * NS_PER_MS  # USER_HZ is 100 on every Linux that has NVIDIA's driver
_COMM_LENGTH: Final = 15  # TASK_COMM_LEN of Linux, without the closing NUL


class MockProcesses:
    """The /proc of a simulated node. Nobody is there before `begin`."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._plans = scenario.processes
        self._clock = clock
        self._origin_ns: int | None = None
        self._boot_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"submeter-mock/{scenario.seed}"))
        self._by_pid: dict[int, list[ProcessPlan]] = {}
        self._wandering: list[ProcessPlan] = []  # those whose PID changes
        for plan in self._plans:
            if plan.every_ns and plan.pid_step:
                self._wandering.append(plan)
            else:
                self._by_pid.setdefault(plan.pid, []).append(plan)

    def begin(self, origin_ns: int) -> None:
        """The scenario starts at that boot time."""
        self._origin_ns = origin_ns

    def identify(self, pid: int) -> ProcessKey | None:
        for plan, run in self._alive(pid):
            if plan.visible:
                return self.key(run)
        return None

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        for plan, run in self._alive(key.pid):
            if plan.visible and self.key(run) == key:
                return _facts(plan, key)
        return None

    def key(self, run: Life) -> ProcessKey:
        """The identity of that run of a process."""
        started_ns = (self._origin_ns or 0) + run.start_ns
        return ProcessKey(self._boot_id, run.pid, started_ns // _TICK_NS)

    def _alive(self, pid: int) -> Iterator[tuple[ProcessPlan, Life]]:
        if self._origin_ns is None:
            return
        now_ns = self._clock.boottime_ns() - self._origin_ns
        for plan in (*self._by_pid.get(pid, ()), *self._wandering):
            run = life_at(plan, now_ns)
            if run is not None and run.pid == pid:
                yield plan, run


def _facts(plan: ProcessPlan, key: ProcessKey) -> ProcessFacts:
    program = PurePosixPath(plan.argv[0]).name if plan.argv else plan.name
    return ProcessFacts(
        key=key,
        comm=plan.comm or program[:_COMM_LENGTH],
        argv=plan.argv,
        title=plan.title,
        user=plan.user,
        uid=plan.uid,
        cgroup=plan.cgroup,
        environ=plan.environ,
        listen_ports=plan.listen_ports,
        libraries=plan.libraries,
    )
