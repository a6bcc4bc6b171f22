"""What splitting costs: 8 GPUs with 32 processes each, one settlement a second.

    python benchmarks/bench_split_cost.py [seconds [processes]]

Prints the CPU time per simulated second as a share of one core: learning, weights, settling what
is owed, standard errors, and the exact split. Reading the GPUs and booking is not part of it. The
driver is asked as often as the agent asks it (`GpuWatch.between`).
"""

import sys
import time
from random import Random

from submeter.attribution import Programs, split
from submeter.clock import FakeClock
from submeter.model import (
    EnergySource,
    Floors,
    Holder,
    Interval,
    Owner,
    Phase,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.sampling.watch import CROWD, Batch, Held
from submeter.signals import Signals
from submeter.units import NS_PER_S, UJ_PER_J

GPUS = 8
FLOORS = Floors(70_000, 40_000)


class Watch:
    """As much of a watch as the signals read."""

    def __init__(self, gpu: int, processes: int) -> None:
        pids = range(1000 * gpu + 1, 1000 * gpu + 1 + processes)
        self.held = tuple(Held(Holder(pid), ProcessKey("boot", pid, pid)) for pid in pids)
        self.batches: list[Batch] = []
        self.energy_uj = 0

    def second(self, at_ns: int, random: Random) -> Interval:
        calls = 2 if len(self.held) in CROWD else 1
        before_uj = self.energy_uj
        for call in range(calls):
            late_ns = NS_PER_S * (calls - 1 - call) // calls
            self.call(at_ns - late_ns, NS_PER_S // calls, random)
        energy_uj = self.energy_uj - before_uj
        return Interval("GPU", 0, at_ns - NS_PER_S, at_ns, energy_uj, EnergySource.COUNTER)

    def call(self, at_ns: int, elapsed_ns: int, random: Random) -> None:
        second = at_ns // NS_PER_S
        busy = [4.0 if second // (5 + i) % 2 else 1.0 for i in range(len(self.held))]
        drawn = [share * (60 + 40 * (i % 10)) for i, share in enumerate(busy)]
        watts = 110 + sum(drawn) / sum(busy)  # unlike processes that come and go by turns
        self.energy_uj += round(watts * UJ_PER_J * elapsed_ns / NS_PER_S)
        reading = Reading(at_ns, self.energy_uj, at_ns // 1000, None, None, None, None)
        seen = random.choices(self.held, busy, k=round(7.2 * elapsed_ns / NS_PER_S))
        pids = {one.holder.pid for one in seen}
        samples = tuple(UtilisationSample(pid, at_ns // 1000, 100 // len(pids)) for pid in pids)
        self.batches.append(Batch(elapsed_ns, samples, reading))


class Queue(list[Batch]):
    """A deque's popleft is all that is asked for."""

    def popleft(self) -> Batch:
        return self.pop(0)


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 900
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    random = Random(1)
    programs = Programs()
    gpus = [(Watch(gpu, processes), Signals("board", programs)) for gpu in range(GPUS)]
    owners = {one.key: Owner(Phase.OTHER, f"w{one.holder.pid}") for w, _ in gpus for one in w.held}
    clock = FakeClock()
    spent_ns = longest_ns = 0
    for second in range(1, seconds + 1):
        intervals = [watch.second(second * NS_PER_S, random) for watch, _ in gpus]
        for watch, _ in gpus:
            watch.batches = Queue(watch.batches)
        began_ns = time.process_time_ns()
        for (watch, signals), interval in zip(gpus, intervals, strict=True):
            signals.take(watch, clock.boottime_ns(), FLOORS, owners.__getitem__)  # type: ignore[arg-type]
            usage = signals.usage(interval, watch.held, FLOORS, owners.__getitem__)
            split(interval, usage, FLOORS, second)
            signals.sharing.standard_errors()
        took_ns = time.process_time_ns() - began_ns
        spent_ns += took_ns
        longest_ns = max(longest_ns, took_ns)
    print(f"{GPUS} GPUs × {processes} processes: {spent_ns / seconds / NS_PER_S:.2%} of a core;"
          f" longest settlement {longest_ns / 1e6:.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
