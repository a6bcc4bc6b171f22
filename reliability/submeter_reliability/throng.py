"""So many processes on simulated boards, with a /proc of files: a node under the agent's own code.

The boards draw what a scenario says; who holds them, and who worked, is said in the mock's stead:
it simulates each process, which is more work than metering it.
"""

import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from submeter.backends import Backend
from submeter.backends.mock.backend import MockBackend
from submeter.backends.mock.device import MockDevice
from submeter.backends.mock.scenario import parse
from submeter.clock import FakeClock
from submeter.ledger import Ledger
from submeter.metrics import families
from submeter.model import Holder, ProcessFacts, ProcessKey, Snapshot, UtilisationSample
from submeter.sampling.node import Node
from submeter.settlement import About, Settlement
from submeter.simulation import Simulation
from submeter.testing.memory import IN_MEMORY
from submeter.units import NS_PER_S
from submeter.workloads import ProcessTable
from submeter.workloads.procfs import ProcfsSource
from submeter_exporters._openmetrics import render

_FIRST: Final = 1_000
_SAMPLES: Final = 72  # what the driver's ring names of a GPU at most
_KINDS: Final = 40  # of programs: no node has thousands
_BOARD: Final = """
seed = 1
[[gpu]]
model = "H100"
count = {gpus}
[[process]]
name = "load"
gpu = {gpu}
pid = 7
argv = ["load"]
utilisation = 0.5
watts = 300
"""


class _Device(MockDevice):
    """Held by as many as are to hold it."""

    pids = range(0)

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        super().holders(now_ns)
        return [Holder(pid) for pid in self.pids]

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        step = now_ns // NS_PER_S
        named = {self.pids[(97 * step + 13 * i) % len(self.pids)] for i in range(_SAMPLES)}
        return [UtilisationSample(pid, now_ns // 1_000, 1) for pid in sorted(named)]


class _Backend(MockBackend):
    def hold(self, processes: int) -> None:
        """So many hold the boards, each GPU as many as another."""
        self._each = processes // len(self._uuids)

    def _device(self, gpu: int, origin_ns: int) -> MockDevice:
        made = super()._device(gpu, origin_ns)
        device = _Device(made.info, self._instruments[gpu], made.faults, self._clock, origin_ns)
        device.pids = range(_FIRST + gpu * self._each, _FIRST + (gpu + 1) * self._each)
        return device


class _People(ProcfsSource):
    """Counts how often somebody is looked at."""

    looks = 0

    def begin(self, origin_ns: int) -> None:
        """They were there before."""

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        self.looks += 1
        return super().facts(key)


@dataclass
class Throng:
    """A node with many processes under an agent, in one thread."""

    simulation: Simulation
    settlement: Settlement
    table: ProcessTable
    people: _People
    looks: list[int] = field(default_factory=list)  # in each settlement

    def settle(self) -> Snapshot:
        """A second passes, at the end of which everything is booked."""
        before = self.people.looks
        self.simulation.run_for(NS_PER_S)
        self.looks.append(self.people.looks - before)
        assert self.simulation.snapshot is not None
        return self.simulation.snapshot


def throng(directory: Path, processes: int, gpus: int) -> Throng:
    """Not a second has passed yet. ``directory``: for /proc; in memory, it has three files each."""
    _write(directory, processes)
    clock = FakeClock()
    boards = _BOARD.format(gpus=gpus, gpu=0)
    backend = _Backend(parse(boards), clock)
    backend.hold(processes)
    people = _People(directory)
    backend.processes = people  # type: ignore[assignment]
    node = Node(cast(Backend, backend), clock, period_ns=NS_PER_S // 10, settle_ns=NS_PER_S)
    table = ProcessTable(people)
    about = About("mock", "0", clock.wall_ns())
    settlement = Settlement(about, Ledger(2_000), table, node.watches)
    simulation = Simulation(clock, node, settlement, NS_PER_S)
    simulation.start()
    return Throng(simulation, settlement, table, people)


def off_uj(snapshot: Snapshot) -> int:
    """How far a GPU's parts are from its counter, at worst."""
    parts = {gpu.info.uuid: 0 for gpu in snapshot.gpus}
    for account, energy_uj in snapshot.energy_uj.items():
        parts[account.gpu_uuid] += energy_uj
    return max(abs(parts[gpu.info.uuid] - gpu.energy_uj) for gpu in snapshot.gpus)


def _write(root: Path, processes: int) -> None:
    boot = root / "sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("boot-1\n")
    for number in range(processes):
        pid = _FIRST + number
        folder = root / str(pid)
        folder.mkdir()
        for name, content in _files(pid, number):
            (folder / name).write_bytes(content)


def _files(pid: int, number: int) -> Iterator[tuple[str, bytes]]:
    yield "stat", b"%d (python3) S 1" % pid + b" 0" * 17 + b" %d 0\n" % (5_000 + number)
    yield "cmdline", b"python3\0train%d.py\0" % (number % _KINDS)
    yield "cgroup", b"0::/user.slice/user-%d.slice\n" % number


def main() -> None:
    """Ten thousand of them for a minute; prints what it took as JSON."""
    processes, gpus, seconds = 10_000, 8, 60
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as directory:
        node = throng(Path(directory), processes, gpus)
        off, settled_ms, scraped_ms = 0, [], []
        for _ in range(seconds):
            began = time.process_time()
            snapshot = node.settle()
            settled = time.process_time()
            render(families(snapshot))
            settled_ms.append((settled - began) * 1e3)
            scraped_ms.append((time.process_time() - settled) * 1e3)
            off = max(off, off_uj(snapshot))
    resident_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "throng_processes": processes,
        "throng_off_uj": off,
        "throng_second_ms": statistics.mean(settled_ms[1:]),
        "throng_scrape_ms": max(scraped_ms[1:]),
        "throng_resident_mib": resident_kib / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
