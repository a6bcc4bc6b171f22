"""A seed in, an hour of unlike processes on one GPU out: the truth and what the driver says of it.

The courses are those of the simulated boards (`submeter.backends.mock.shapes`), the physics is
arithmetic on the grid of the driver's utilisation ring: 72 samples in ten seconds, each of which
names the one process that it saw (NVIDIA's open kernel modules, GPUMON). Contention squeezes SM
time and power in proportion, as on the simulated boards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from submeter.backends.mock.plan import PPM, ShapePlan
from submeter.backends.mock.shapes import SHAPES, Segment, segments
from submeter.units import NS_PER_S

SLOTS_PER_10S: Final = 72
SLOT_S: Final = 10 / SLOTS_PER_10S
CALLS: Final = 2
"""So often a second the agent asks where 4–8 processes share a GPU (`submeter.sampling.watch`)."""
CALL_S: Final = 1 / CALLS
KINDS: Final = ("training-step", "inference-poisson", "square", "constant")
FULL_W: Final = 500.0
UNLIKE: Final = 2.0
"""The most and the least power-hungry differ at least by this factor: else there is nothing to
find out, and both ways of splitting are off by their sampling noise alone."""


@dataclass(frozen=True, slots=True)
class Course:
    """One process: what it is, its watts per unit of SM time, when it is there."""

    kind: str
    watts: float
    utilisation: float
    shape: ShapePlan
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """What happened between two utilisation calls, by process."""

    used: tuple[float, ...]  # SM time in seconds
    joules: tuple[float, ...]
    seen: tuple[float, ...]  # as used, by the whole percents that NVML gives
    seconds: float = CALL_S


@dataclass(frozen=True, slots=True)
class Second:
    """One second: who is there, and call by call what is true and what the ring names."""

    present: tuple[bool, ...]
    calls: tuple[Call, ...]
    seconds: float = 1.0

    @property
    def used(self) -> tuple[float, ...]:
        """True SM time by process, in seconds."""
        return tuple(map(sum, zip(*[call.used for call in self.calls], strict=True)))

    @property
    def joules(self) -> tuple[float, ...]:
        """True dynamic energy by process."""
        return tuple(map(sum, zip(*[call.joules for call in self.calls], strict=True)))

    @property
    def seen(self) -> tuple[float, ...]:
        """What the ring says of their SM time, in seconds."""
        return tuple(map(sum, zip(*[call.seen for call in self.calls], strict=True)))


def courses(seed: int, seconds: int, *, arrivals: bool = True) -> list[Course]:
    """2–8 processes whose watts per unit of SM time differ by 2–10×."""
    random = Random(f"split/{seed}")
    while True:
        found = [_course(random, seconds, arrivals) for _ in range(2 + seed % 7)]
        watts = [course.watts for course in found]
        if max(watts) >= UNLIKE * min(watts):
            return found


def demands(seed: int, found: Sequence[Course], seconds: int) -> list[list[float]]:
    """SM time of each process, slot by slot, as `hour` has it."""
    grids = [_grid(f"{seed}/{i}", course, seconds, True)[0] for i, course in enumerate(found)]
    asked = [max(1.0, sum(slot)) for slot in zip(*grids, strict=True)]
    return [
        [value / all_of_it for value, all_of_it in zip(grid, asked, strict=True)] for grid in grids
    ]


def hour(
    seed: int, found: Sequence[Course], seconds: int, *, linear: bool = True
) -> Iterator[Second]:
    """Second by second. ``linear``: watts follow SM time exactly; else as the shapes have it
    (collective kernels spin at little power, a decoder's power follows its batch)."""
    grids = [_grid(f"{seed}/{i}", course, seconds, linear) for i, course in enumerate(found)]
    calls: list[Call] = []
    for number, call in enumerate(_calls(seed, grids, seconds)):
        calls.append(call)
        if len(calls) == CALLS:
            second = number // CALLS
            present = tuple(c.start_s <= second + 0.5 < c.end_s for c in found)
            yield Second(present, tuple(calls))
            calls = []


def _calls(
    seed: int, grids: Sequence[tuple[list[float], list[float]]], seconds: int
) -> Iterator[Call]:
    random = Random(f"ring/{seed}")
    columns = range(len(grids))
    used, joules, counts = ([0.0] * len(grids) for _ in range(3))
    samples, end_s = 0, CALL_S
    for slot in range(seconds * SLOTS_PER_10S // 10):
        sm = [grid[0][slot] for grid in grids]
        asked = sum(sm)
        squeeze = 1.0 if asked <= 1.0 else 1.0 / asked
        sm = [value * squeeze for value in sm]
        power = [grid[1][slot] * squeeze for grid in grids]
        first_s = slot * SLOT_S
        last_s = first_s + SLOT_S
        here = min(last_s, end_s) - first_s
        for i in columns:
            used[i] += sm[i] * here
            joules[i] += power[i] * here
        if last_s <= end_s + 1e-9:  # samples are taken at the ends of slots
            _sample(random, sm, counts)
            samples += 1
        if last_s < end_s - 1e-9:
            continue
        seen = tuple(CALL_S * round(100 * count / max(samples, 1)) / 100 for count in counts)
        yield Call(tuple(used), tuple(joules), seen)
        over = max(0.0, last_s - end_s)
        used = [value * over for value in sm]
        joules = [value * over for value in power]
        counts, samples = [0.0] * len(grids), 0
        if last_s > end_s + 1e-9:
            _sample(random, sm, counts)
            samples = 1
        end_s += CALL_S


def _sample(random: Random, sm: Sequence[float], counts: list[float]) -> None:
    """One entry of the ring: how busy the engine was, booked on the one process it saw."""
    busy = sum(sm)
    if busy <= 0:
        return
    mark = random.random() * busy
    for i, value in enumerate(sm):
        mark -= value
        if mark < 0:
            counts[i] += busy
            break


def _course(random: Random, seconds: int, arrivals: bool) -> Course:
    kind = random.choice(KINDS)
    parameters = {name: p.default for name, p in SHAPES[kind].parameters.items()}
    if kind == "training-step":
        parameters["step_ms"] = random.uniform(200, 2_000)
        parameters["stall"] = random.uniform(0.02, 0.3)
        parameters["checkpoint_every_s"] = random.choice((0, random.uniform(40, 400)))
    elif kind == "inference-poisson":
        parameters["rate_hz"] = 10 ** random.uniform(-1, 0.7)
        parameters["swing"] = random.uniform(0, 0.9)
        parameters["swing_period_s"] = random.uniform(60, 900)
    elif kind == "square":
        parameters["period_ms"] = 1_000 * 10 ** random.uniform(0.3, 2.1)
        parameters["duty"] = random.uniform(0.2, 0.8)
    start_s, end_s = 0.0, float(seconds)
    if arrivals and random.random() < 0.25:
        start_s = random.uniform(0, min(60, seconds / 2))
    watts = FULL_W * 10 ** random.uniform(-1, 0)
    return Course(
        kind, watts, random.uniform(0.15, 0.95), ShapePlan(kind, parameters), start_s, end_s
    )


def _grid(
    stream: str, course: Course, seconds: int, linear: bool
) -> tuple[list[float], list[float]]:
    """Mean SM demand and power demand of every slot of the ring."""
    slots = seconds * SLOTS_PER_10S // 10 + 1
    sm, power = [0.0] * slots, [0.0] * slots
    at_s, end_s = course.start_s, min(course.end_s, (slots - 1) * SLOT_S)
    random = Random(stream)
    for duration_ns, sm_ppm, power_ppm in segments(course.shape, random):
        until_s = min(end_s, at_s + duration_ns / NS_PER_S)
        _fill(sm, power, at_s, until_s, (0, sm_ppm, sm_ppm if linear else power_ppm))
        at_s = until_s
        if at_s >= end_s:
            break
    watts = course.watts * course.utilisation
    return [value * course.utilisation for value in sm], [value * watts for value in power]


def _fill(
    sm: list[float], power: list[float], from_s: float, to_s: float, segment: Segment
) -> None:
    _, sm_ppm, power_ppm = segment
    if not (sm_ppm or power_ppm) or to_s <= from_s:
        return
    level, watts = sm_ppm / PPM, power_ppm / PPM
    first, last = int(from_s / SLOT_S), int(to_s / SLOT_S)
    for slot in range(first, min(last, len(sm) - 1) + 1):
        inside = min(to_s, (slot + 1) * SLOT_S) - max(from_s, slot * SLOT_S)
        if inside > 0:
            sm[slot] += level * inside / SLOT_S
            power[slot] += watts * inside / SLOT_S
