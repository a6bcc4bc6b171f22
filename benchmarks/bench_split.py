"""How well unlike processes on one GPU are told apart, beside utilisation-proportional splitting.

    python benchmarks/bench_split.py [--scenarios 300] [--first 0] [--seconds 3600]
                                     [--save FILE.jsonl] [--plot FILE.svg] [--shapes] [--unseen]

Every scenario: 2–8 processes, watts per unit of SM time within 10×, the same learner code as the
agent's. Once with utilisation as the driver's ring gives it, once noise-free. Misattributed is
½ Σ|booked − true| / Σ true of the dynamic energy. The oracle knows the true weights and settles as
the agent does. ``--shapes`` lets power depart from SM time as the simulated boards do (collective
kernels spin at little power, a decoder's power follows its batch): no fixed weight is right there.
``--unseen`` is an agent that starts while they all run already: nobody ever saw the board at rest,
50–150 W of floor and context step are in its power, and are everybody's in equal parts.
``--save`` keeps what is done, scenario by scenario, and goes on from there.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from split_plot import plot
from split_scenarios import Call, Course, Second, courses, hour

from submeter.attribution import Party, Sharing
from submeter.attribution.learnt import Prior
from submeter.attribution.tab import Tab
from submeter.model import Floors, Owner, Phase, ProcessKey
from submeter.sampling.watch import CROWD
from submeter.units import UJ_PER_J

MOMENTS_S = (300, 3600)
GROUPS = {"2": (2, 2), "3–4": (3, 4), "5–8": (5, 8)}
SMALLEST = 1e-3  # of a proportional error to compare with
UNSEEN_W = (50.0, 150.0)  # idle and a context, on boards from 2017 to 2024
BOUNDS = {("2", 300): 0.25, ("2", 3600): 0.1, ("3–4", 300): 0.5, ("3–4", 3600): 0.4,
          ("5–8", 300): 0.75, ("5–8", 3600): 0.45}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario at one moment: misattributed shares, and the errors in standard errors."""

    processes: int
    at_s: int
    noisy: bool
    learnt: float
    proportional: float
    oracle: float
    deviations: tuple[float, ...]


class Oracle:
    """Knows the true watts per unit of SM time."""

    exact = False
    floor: Prior | None = None

    def __init__(self, watts: Sequence[float]) -> None:
        self._watts = watts

    def of(self, party: int) -> float:
        return self._watts[party]

    def covariance(self, _a: int, _b: int) -> float:
        return 0.0

    def whose(self, party: int) -> int:
        return party


@dataclass(slots=True)
class Contest:
    """One scenario, split three ways from the same signals."""

    found: Sequence[Course]
    noisy: bool
    crowded: bool = False
    unseen_w: float = 0.0  # floor and step, where nobody saw the board at rest
    sharing: Sharing = field(default_factory=Sharing)
    oracle: Tab[int] = field(default_factory=Tab)
    true: list[float] = field(default_factory=list)
    booked: dict[str, list[float]] = field(default_factory=dict)

    def run(self, seconds: Sequence[Second]) -> list[Outcome]:
        count = len(self.found)
        self.true = [0.0] * count
        self.booked = {way: [0.0] * count for way in ("learnt", "proportional", "oracle")}
        keys = [ProcessKey("boot", i, 0) for i in range(count)]
        owners = [Owner(Phase.OTHER, f"process {i}") for i in range(count)]
        rates = Oracle([course.watts for course in self.found])
        outcomes = []
        present: tuple[bool, ...] = ()
        for number, second in enumerate(seconds, 1):
            if second.present != present:
                present = second.present
                self.sharing.present(
                    {k: o for k, o, p in zip(keys, owners, present, strict=True) if p}
                )
            self._second(second, keys, owners, rates)
            if number in MOMENTS_S:
                outcomes.append(self._outcome(number, owners))
        return outcomes

    def _second(
        self, second: Second, keys: list[ProcessKey], owners: list[Owner], rates: Oracle
    ) -> None:
        here = [i for i, present in enumerate(second.present) if present]
        work = second.joules
        joules = [
            energy + (self.unseen_w / len(here) if i in here else 0.0)
            for i, energy in enumerate(work)
        ]
        energy = sum(joules)
        used = second.seen if self.noisy else second.used
        self.true = [a + b for a, b in zip(self.true, joules, strict=True)]
        if len(here) == 1:
            (i,) = here
            if not self.unseen_w:
                self.sharing.alone(keys[i], round(sum(second.used), 2), energy)
            parts = {way: {i: 1.0} for way in self.booked}
        else:
            self.crowded = self.crowded or len(here) in CROWD
            for call in second.calls if self.crowded else [second]:
                self._learn(call, {i: keys[i] for i in here})
            parties = {Party(keys[i], owners[i]): i for i in here}
            uj = round(energy * UJ_PER_J)
            allotment = self.sharing.allot({p: used[i] for p, i in parties.items()}, uj, 1.0)
            learnt = {i: float(allotment.weights.get(p, 0)) for p, i in parties.items()}
            parts = {
                "learnt": learnt,
                "proportional": {i: used[i] for i in here},
                "oracle": self._oracle(sum(work), {i: used[i] for i in here}, rates),
            }
        for way, part in parts.items():
            _book(self.booked[way], part, energy, here)

    def _learn(self, call: Call | Second, here: dict[int, ProcessKey]) -> None:
        used = call.seen if self.noisy else call.used
        shares: dict[ProcessKey | None, float] = {
            key: used[i] / call.seconds for i, key in here.items()
        }
        watts = sum(call.joules) / call.seconds + self.unseen_w
        floors = None if self.unseen_w else Floors()
        self.sharing.together(shares, watts, floors, seconds=call.seconds)

    def _oracle(self, work: float, used: dict[int, float], rates: Oracle) -> dict[int, float]:
        """Knows the floor as well."""
        parts = self.oracle.book(used, round(work * UJ_PER_J), 1.0, rates, pay=True)
        equal = self.unseen_w * UJ_PER_J / max(1, len(used))
        return {i: parts.get(i, 0) + equal for i in used}

    def _outcome(self, at_s: int, owners: list[Owner]) -> Outcome:
        errors = self.sharing.standard_errors(now=True)
        deviations = []
        for owner, got, true in zip(owners, self.booked["learnt"], self.true, strict=True):
            error = errors.get((owner, ""), 0) / UJ_PER_J
            off = abs(got - true)
            deviations.append(off / error if error else 0.0 if off < 1e-3 else float("inf"))
        shares = {way: misattributed(got, self.true) for way, got in self.booked.items()}
        return Outcome(
            len(owners), at_s, self.noisy, shares["learnt"], shares["proportional"],
            shares["oracle"], tuple(deviations),
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--scenarios", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--shapes", action="store_true")
    parser.add_argument("--unseen", action="store_true")
    arguments = parser.parse_args()
    began = time.process_time()
    saved = _saved(arguments.save)
    outcomes: list[Outcome] = []
    for seed in range(arguments.first, arguments.first + arguments.scenarios):
        if seed not in saved:
            saved[seed] = list(_scenario(seed, arguments))
            if arguments.save:
                with arguments.save.open("a") as file:
                    line = {"seed": seed, "outcomes": [asdict(one) for one in saved[seed]]}
                    file.write(json.dumps(line) + "\n")
        outcomes += saved[seed]
        print(f"\r{seed + 1 - arguments.first}/{arguments.scenarios}", end="", file=sys.stderr)
    print(file=sys.stderr)
    report(outcomes)
    print(f"{time.process_time() - began:.0f} s of one core")
    if arguments.plot:
        points = [
            (o.processes, o.at_s, o.proportional, o.learnt, o.oracle) for o in outcomes if o.noisy
        ]
        arguments.plot.write_text(plot(points))


def _scenario(seed: int, arguments: argparse.Namespace) -> Iterator[Outcome]:
    found = courses(seed, arguments.seconds, arrivals=not arguments.unseen)
    seconds = list(hour(seed, found, arguments.seconds, linear=not arguments.shapes))
    unseen_w = Random(f"floor/{seed}").uniform(*UNSEEN_W) if arguments.unseen else 0.0
    yield from Contest(found, True, unseen_w=unseen_w).run(seconds)
    yield from Contest(found, False, unseen_w=unseen_w).run(seconds[: MOMENTS_S[0]])


def _saved(file: Path | None) -> dict[int, list[Outcome]]:
    """What an earlier run kept, by seed."""
    if file is None or not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {
        line["seed"]: [
            Outcome(**{**one, "deviations": tuple(one["deviations"])}) for one in line["outcomes"]
        ]
        for line in lines
    }


def report(outcomes: Sequence[Outcome]) -> None:
    """Prints the figures beside their bounds."""
    clean = [o for o in outcomes if not o.noisy]
    print(f"noise-free, 300 s: median {median(o.learnt for o in clean):.2%} (bound 1 %),"
          f" proportional {median(o.proportional for o in clean):.1%}")  # fmt: skip
    print("ring: median of the error as a fraction of the proportional one")
    for (name, at_s), bound in BOUNDS.items():
        low, high = GROUPS[name]
        group = [o for o in outcomes if o.noisy and o.at_s == at_s and low <= o.processes <= high]
        ratios = [o.learnt / o.proportional for o in group if o.proportional > SMALLEST]
        best = [o.oracle / o.proportional for o in group if o.proportional > SMALLEST]
        if not ratios:
            continue
        shares = [median(values) for values in ([o.learnt for o in group],
                  [o.proportional for o in group])]  # fmt: skip
        print(f"  {name:4} processes {at_s:5} s {median(ratios):6.3f} (bound {bound})"
              f"  oracle {median(best):.3f}; misattributed {shares[0]:.2%},"
              f" proportional {shares[1]:.2%}; {len(group)} scenarios")  # fmt: skip
    for at_s in MOMENTS_S:
        for noisy in (True, False):
            group = [o for o in outcomes if o.at_s == at_s and o.noisy is noisy]
            if group:
                _print_safety(group, at_s, noisy)


def _print_safety(group: Sequence[Outcome], at_s: int, noisy: bool) -> None:
    worse = sum(o.learnt > o.proportional + 0.01 for o in group)
    deviations = [d for o in group for d in o.deviations]
    inside = [sum(d <= k for d in deviations) / len(deviations) for k in (1, 2)]
    print(f"{'ring' if noisy else 'noise-free':10} {at_s:5} s: more than 1 point worse than"
          f" proportional {worse}/{len(group)} (bound 1 %); truth within ±1σ {inside[0]:.1%},"
          f" ±2σ {inside[1]:.1%} (bound 90–99 %)")  # fmt: skip


def misattributed(got: Sequence[float], true: Sequence[float]) -> float:
    """½ Σ|got − true| / Σ true."""
    return sum(abs(a - b) for a, b in zip(got, true, strict=True)) / 2 / max(sum(true), 1e-9)


def _book(to: list[float], parts: dict[int, float], joules: float, here: Sequence[int]) -> None:
    total = sum(parts.values())
    for i in here:
        to[i] += joules * parts.get(i, 0.0) / total if total > 0 else joules / len(here)


if __name__ == "__main__":
    main()
