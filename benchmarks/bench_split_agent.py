"""The same unlike processes through the whole agent: from the driver's calls to what is booked.

    python benchmarks/bench_split_agent.py [standin|mock] [--scenarios 20] [--first 0]
                                           [--seconds 300] [--unseen]

``standin``: the real NVML binding on the stand-in library (`tests/standin`; needs a C compiler),
its boards' sensors, ring and clock; the courses are those of `bench_split.py`, in slots of the ring
and whole percents. ``mock``: the simulated boards, whose training steps and servers have no
constant watts per SM time (`bench_split.py --shapes`). Either way readings ten times a second,
process lists, floors learnt from half a minute in which the board is at rest – or, with
``--unseen``, never seen – and one settlement a second. Proportional is the same agent with weights
that never convince it. Misattributed is of the work; where floors were never seen, of all there is.
"""

import argparse
import ctypes
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

from bench_split import GROUPS, SMALLEST, misattributed
from split_scenarios import SLOT_S, Course, courses, demands

from submeter.attribution import solving
from submeter.backends import Backend, load
from submeter.clock import FakeClock
from submeter.ledger import Ledger
from submeter.model import Component, ProcessFacts, ProcessKey, Snapshot
from submeter.sampling.node import Node
from submeter.settlement import About, Settlement
from submeter.simulation import Simulation
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J
from submeter.workloads import ProcessTable

IDLE_W, CONTEXT_W = 70.0, 40.0
HELD_S, WORK_S = 12, 30  # contexts come, work begins; an agent that sees neither starts later
REST = "rest.py"  # holds the simulated board and does nothing
PERIOD_NS = 100 * NS_PER_MS
STANDIN = Path(__file__).resolve().parents[1] / "tests" / "standin" / "standin.py"


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario on some board: who drew what from the start to the end of the work."""

    backend: Backend
    clock: FakeClock
    seconds: float
    true_j: Mapping[str, float] | None  # by workload; None: the backend knows it


class Processes:
    """The stand-in's PIDs: workload p0.py is PID 100, and so on."""

    def identify(self, pid: int) -> ProcessKey | None:
        return ProcessKey("boot", pid, pid)

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, "python3", ("python3", f"p{key.pid - 100}.py"))


class StandinBoards:
    """The stand-in library, loaded once; a script a case."""

    def __init__(self, directory: Path) -> None:
        spec = importlib.util.spec_from_file_location("standin", STANDIN)
        assert spec is not None
        assert spec.loader is not None
        self._standin = importlib.util.module_from_spec(spec)
        sys.modules["standin"] = self._standin
        spec.loader.exec_module(self._standin)
        self._world = self._standin.Standin(self._standin.build(directory), directory)
        os.environ.update({key: self._world.env[key] for key in (
            self._standin.SCRIPT_ENV, self._standin.CALLS_ENV)})  # fmt: skip
        self._library: ctypes.CDLL = self._world.load()
        self._nothing = directory / "sys"
        self._cases = 0

    def case(self, seed: int, found: Sequence[Course], seconds: int, unseen: bool) -> Case:
        begin_s = 0 if unseen else WORK_S
        lines, true_j = script(seed, found, seconds, begin_s, 0 if unseen else HELD_S)
        self._cases += 1
        start_ns = self._cases * 100_000 * NS_PER_S  # time goes on
        self._world.write([f"time0_ns {start_ns}", *lines])
        self._world.reset()
        clock = self._standin.StandinClock(self._library, start_ns, start_ns + 10**18)
        backend = load("nvml", clock, {"processes": Processes(), "sysfs": self._nothing})
        if unseen:  # the floor is everybody's
            held_w = (IDLE_W + CONTEXT_W) / len(found)
            true_j = {name: joules + held_w * seconds for name, joules in true_j.items()}
        return Case(backend, cast(FakeClock, clock), begin_s + seconds, true_j)


def script(
    seed: int, found: Sequence[Course], seconds: int, begin_s: int, held_s: int
) -> tuple[list[str], dict[str, float]]:
    """Lines for the stand-in, and the joules of each process's work."""
    lines = [f"gpu 0 arch=hopper idle_mw={IDLE_W * 1000:.0f} context_mw={CONTEXT_W * 1000:.0f}"
             f" seed={seed} limit_mw=2000000 max_limit_mw=2000000"]  # fmt: skip
    true_j: dict[str, float] = {}
    for i, (course, sm) in enumerate(zip(found, demands(seed, found, seconds), strict=True)):
        pid, joules = 100 + i, 0.0
        for first, last, percent in [(None, 0, 0), *_runs(sm)]:
            from_s = held_s if first is None else begin_s + first * SLOT_S
            to_s = begin_s + last * SLOT_S
            if to_s <= from_s:
                continue
            lines.append(f"process 0 pid={pid} sm={percent} from={from_s:.6f} to={to_s:.6f}")
            watts = course.watts * percent / 100
            joules += watts * (to_s - from_s)
            if percent:
                lines.append(f"load 0 constant pid={pid} mw={watts * 1000:.3f}"
                             f" from={from_s:.6f} to={to_s:.6f}")  # fmt: skip
        lines.append(f"process 0 pid={pid} sm=0 from={begin_s + len(sm) * SLOT_S:.6f}")
        true_j[f"p{i}.py"] = joules
    return lines, true_j


def _runs(sm: Sequence[float]) -> Iterator[tuple[int, int, int]]:
    """First slot, the one after the last, whole percent."""
    first = 0
    percents = [round(100 * value) for value in sm]
    for slot in range(1, len(sm) + 1):
        if slot == len(sm) or percents[slot] != percents[first]:
            yield first, slot, percents[first]
            first = slot


def mock_case(seed: int, found: Sequence[Course], seconds: int, unseen: bool, place: Path) -> Case:
    """The same processes as the simulated boards have them; they hold the GPU from the start."""
    begin_s = 0 if unseen else WORK_S
    text = f'seed = {seed}\n[[gpu]]\nmodel = "H200"\n'
    for i, course in enumerate(found):
        shape = {name: value for name, value in course.shape.parameters.items()}
        shape_text = "".join(f", {name} = {value}" for name, value in shape.items())
        text += (f'[[process]]\nname = "p{i}"\ngpu = 0\npid = {100 + i}\n'
                 f'argv = ["python3", "p{i}.py"]\nstart_s = {begin_s + course.start_s}\n'
                 f"utilisation = {course.utilisation}\n"
                 f"watts = {course.watts * course.utilisation}\n"
                 f'shape = {{ kind = "{course.kind}"{shape_text} }}\n')  # fmt: skip
    if not unseen:  # a context that does nothing shows floor and step, as a notebook would
        text += (f'[[process]]\nname = "rest"\ngpu = 0\npid = 99\nargv = ["python3", "{REST}"]\n'
                 f"start_s = {HELD_S}\nutilisation = 0\nwatts = 0\n"
                 'shape = { kind = "constant" }\n')  # fmt: skip
    file = place / "scenario.toml"
    file.write_text(text)
    clock = FakeClock()
    return Case(load("mock", clock, {"scenario": file}), clock, begin_s + seconds, None)


def booked(case: Case, *, unseen: bool, learn: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Joules by workload as the agent booked them, and their standard errors."""
    improves = solving._improves
    if not learn:
        solving._improves = lambda *_: False
    try:
        snapshot = _run(case)
    finally:
        solving._improves = improves
    got: dict[str, float] = {}
    errors: dict[str, float] = {}
    for account, energy_uj in snapshot.energy_uj.items():
        if unseen or account.component is Component.DYNAMIC:
            name = account.owner.workload
            got[name] = got.get(name, 0.0) + energy_uj / UJ_PER_J
            error = snapshot.standard_error_uj.get(account, 0) / UJ_PER_J
            errors[name] = errors.get(name, 0.0) + error
    return got, errors


def _run(case: Case) -> Snapshot:
    node = Node(case.backend, case.clock, period_ns=PERIOD_NS, settle_ns=NS_PER_S)
    about = About(case.backend.name, "0", case.clock.wall_ns())
    table = ProcessTable(case.backend.processes)
    settlement = Settlement(about, Ledger(2_000), table, node.watches)
    simulation = Simulation(case.clock, node, settlement, NS_PER_S)
    simulation.start()
    simulation.run_for(round(case.seconds * NS_PER_S))
    snapshot = simulation.finish()
    case.backend.close()
    return snapshot


def true_of_mock(backend: Any, unseen: bool) -> dict[str, float]:
    """By workload, in joules."""
    (gpu,) = backend.truth()["gpus"].values()
    parts = ("dynamic_uj", "context_uj", "idle_uj") if unseen else ("dynamic_uj",)
    return {
        f"{used['workload']}.py": sum(used.get(part, 0) for part in parts) / UJ_PER_J
        for used in gpu["processes"].values()
    }


def off(
    got: Mapping[str, float], true: Mapping[str, float], errors: Mapping[str, float]
) -> list[float]:
    """How many standard errors each share is off: of those that were split. Whoever had the board
    for himself has nothing split, and no error (`rest.py`, before anybody works)."""
    return [
        abs(got.get(name, 0.0) - joules) / max(errors.get(name, 0.0), 1e-9)
        for name, joules in true.items()
        if name != REST
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backend", nargs="?", choices=("standin", "mock"), default="standin")
    parser.add_argument("--scenarios", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--unseen", action="store_true")
    arguments = parser.parse_args()
    unseen: bool = arguments.unseen
    ratios: list[tuple[int, float, float, float]] = []
    deviations: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        boards = StandinBoards(place) if arguments.backend == "standin" else None
        for seed in range(arguments.first, arguments.first + arguments.scenarios):
            found = courses(seed, arguments.seconds, arrivals=False)

            def case(seed: int = seed, found: list[Course] = found) -> Case:
                if boards is None:
                    return mock_case(seed, found, arguments.seconds, unseen, place)
                return boards.case(seed, found, arguments.seconds, unseen)

            shares = []
            for learn in (False, True):
                one = case()
                got, errors = booked(one, unseen=unseen, learn=learn)
                true = one.true_j or true_of_mock(one.backend, unseen)
                names = sorted(true)
                share = misattributed([got.get(name, 0.0) for name in names],
                                      [true[name] for name in names])  # fmt: skip
                shares.append(share)
            deviations += off(got, true, errors)
            ratios.append((len(found), shares[1] / shares[0], shares[0], shares[1]))
            print(f"seed {seed}: {len(found)} processes, {shares[1]:.2%} misattributed,"
                  f" {shares[0]:.2%} proportional", file=sys.stderr)  # fmt: skip
    report(ratios, deviations)


def report(ratios: Sequence[tuple[int, float, float, float]], deviations: Sequence[float]) -> None:
    """Prints the figures."""
    for name, (low, high) in GROUPS.items():
        group = [one for one in ratios if low <= one[0] <= high and one[2] > SMALLEST]
        if group:
            print(f"{name:4} processes: {median(one[1] for one in group):.3f} of the proportional"
                  f" error; {median(one[3] for one in group):.2%} misattributed, proportional"
                  f" {median(one[2] for one in group):.2%}; {len(group)} scenarios")  # fmt: skip
    worse = sum(learnt > proportional + 0.01 for _, _, proportional, learnt in ratios)
    inside = sum(value <= 2 for value in deviations) / len(deviations)
    print(f"more than 1 point worse than proportional: {worse}/{len(ratios)};"
          f" truth within ±2σ {inside:.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
