"""A seed in, the events of a life out; and both ways between a life and a line of JSON.

A seed first chooses which kinds of events its life has at all, and how often each: lives in which
a few things happen often find more than lives in which everything happens now and then (Groce et
al., Swarm Testing, ISSTA 2012).
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from submeter_simulator.disk import FAULTS

_DAY_S: Final = 86_400.0
_YEAR_S: Final = 365 * 86_400
_SEEN_TO_FALL_J: Final = 3_000_000
_LEAVES_OPEN: Final = frozenset({"stall", "blank", "glitch"})

SOURCES: Final = ("counter", "counter", "counter", "average", "instant")


@dataclass(frozen=True, slots=True)
class BoardPlan:
    """One GPU. ``utilisation``: the driver names who works; ``mig``: it is partitioned."""

    source: str = "counter"
    limit_mw: int = 700_000
    refresh_ms: int = 100
    utilisation: bool = True
    mig: bool = False


class Event(NamedTuple):
    """Something happens. What the fields mean depends on the kind; `KINDS` says."""

    at_ms: int
    kind: str
    gpu: int = 0
    value: int = 0
    for_ms: int = 0
    what: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A life: what node, which agent, what happens."""

    seed: int
    seconds: int
    boards: tuple[BoardPlan, ...]
    events: tuple[Event, ...]
    period_ms: int = 100  # of sampling; 0: locked to the sensors
    settle_ms: int = 1_000
    max_series: int = 2_000
    fold_s: int = 3_600
    look_s: int = 1  # how often somebody looks who is there

    def text(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def parse(text: str) -> Timeline:
    """A line of JSON as a life."""
    found: dict[str, Any] = json.loads(text)
    found["boards"] = tuple(BoardPlan(**each) for each in found["boards"])
    found["events"] = tuple(Event(*each) for each in found["events"])
    return Timeline(**found)


def generate(seed: int, seconds: int | None = None, boards: int | None = None) -> Timeline:
    """The life that belongs to a seed. ``seconds``: how long, instead of one to two minutes;
    ``boards``: how many GPUs, instead of one to three."""
    rng = random.Random(seed)
    length_s = seconds or rng.randrange(20, 120)
    plans = tuple(_board(rng) for _ in range(boards or rng.choice((1, 1, 2, 2, 3))))
    return Timeline(
        seed=seed,
        seconds=length_s,
        boards=plans,
        events=_all_events(rng, _moods(rng), length_s, len(plans)),
        period_ms=rng.choice((100, 100, 200, 500, 1_000, 0)),
        settle_ms=rng.choice((1_000, 1_000, 200, 2_000)),
        max_series=rng.choice((2_000, 2_000, 3)),
        fold_s=rng.choice((3_600, 20, 5)),
    )


def year(seed: int) -> Timeline:
    """A year in which something of every kind happens every day, but nothing that would leave
    open, to the microjoule, what the counter gained."""
    rng = random.Random(seed)
    every_s = {kind: _DAY_S for kind in KINDS if kind not in _LEAVES_OPEN}
    every_s |= {"draw": 1_800.0, "birth": 3_600.0, "exit": 3_600.0}
    events = tuple(_harmless(event) for event in _all_events(rng, every_s, _YEAR_S, 2))
    return Timeline(
        seed=seed,
        seconds=_YEAR_S,
        boards=(BoardPlan(), BoardPlan()),
        events=events,
        period_ms=10_000,
        settle_ms=60_000,
        max_series=100,  # reached after some days: a year is lived at the limit
        fold_s=21_600,
        look_s=60,
    )


def _harmless(event: Event) -> Event:
    """A disk that doesn't lie, and a counter that falls by enough to be seen to have."""
    if event.what == "lying":
        return event._replace(what="full")
    return event._replace(value=_SEEN_TO_FALL_J) if event.kind == "reset" else event


def _all_events(
    rng: random.Random, every_s: Mapping[str, float], length_s: int, boards: int
) -> tuple[Event, ...]:
    events = [
        event
        for kind, kind_s in every_s.items()
        for event in _events(rng, kind, kind_s, length_s, boards)
    ]
    events += [Event(0, "birth", gpu, rng.randrange(1 << 30)) for gpu in range(boards)]
    return tuple(sorted(events))


def _board(rng: random.Random) -> BoardPlan:
    return BoardPlan(
        source=rng.choice(SOURCES),
        limit_mw=rng.choice((700_000, 700_000, 72_000)),
        refresh_ms=rng.choice((20, 100, 100, 500)),
        utilisation=rng.random() < 0.8,
        mig=rng.random() < 0.1,
    )


def _moods(rng: random.Random) -> dict[str, float]:
    """Kinds with the seconds between two of them."""
    chosen = {"draw": rng.choice((1.0, 5.0)), "birth": rng.choice((3.0, 20.0))}
    for kind in KINDS:
        if kind not in chosen and rng.random() < 0.25:
            chosen[kind] = rng.choice((4.0, 15.0, 40.0))
    return chosen


def _events(
    rng: random.Random, kind: str, every_s: float, length_s: int, boards: int
) -> Iterator[Event]:
    at_s = rng.expovariate(1 / every_s)
    while at_s < length_s:
        details = KINDS[kind](rng)
        yield Event(round(at_s * 1_000), kind, rng.randrange(boards), **details)
        at_s += rng.expovariate(1 / every_s)


def _draw(rng: random.Random) -> dict[str, Any]:
    return {"value": rng.randrange(20, 1_000)}  # thousandths of the limit


def _call_fails(rng: random.Random) -> dict[str, Any]:
    calls = ("readings", "readings", "activity", "gauges", "holders", "utilisation", "instances")
    means = ("value", "value", "lost", "driver")
    return {
        "what": f"{rng.choice(calls)} {rng.choice(means)}",
        "for_ms": rng.choice((50, 500, 2_000, 8_000, 20_000)),
    }


def _lasts(*choices: int) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"for_ms": rng.choice(choices)}


def _valued(least: int, most: int) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"value": rng.randrange(least, most)}


def _nothing(_rng: random.Random) -> dict[str, Any]:
    return {}


def _disk(rng: random.Random) -> dict[str, Any]:
    return {
        "what": rng.choice(FAULTS),
        "value": rng.choice((1_000, 300)),  # thousandths of the calls
        "for_ms": rng.choice((100, 2_000, 10_000, 60_000)),
    }


def _ends(rng: random.Random) -> dict[str, Any]:
    """``value``: after so many changes of files; 0: at once, between two."""
    return {
        "value": rng.choice((0, *range(1, 13), 20, 40)),
        "for_ms": rng.choice((10, 500, 3_000, 20_000, 200_000)),
    }


def _clock(rng: random.Random) -> dict[str, Any]:
    return {"value": rng.choice((-7_200_000, -3_000, -400, 400, 3_000, 7_200_000, 400_000_000))}


KINDS: Final[Mapping[str, Callable[[random.Random], dict[str, Any]]]] = {
    "draw": _draw,  # the GPU draws that part of its limit from now on
    "birth": _valued(0, 1 << 30),  # a process comes; the value is its seed
    "exit": _valued(0, 1 << 30),  # one goes; the value chooses it
    "again": _valued(0, 1 << 30),  # one goes, and its PID is somebody else's at once
    "fails": _call_fails,
    "hang": _lasts(100, 3_000, 7_000, 46_000),  # a call comes back only then
    "vanish": _lasts(500, 5_000, 30_000),
    "driver": _lasts(500, 5_000, 30_000),  # no GPU can be used
    "blank": _lasts(500, 5_000, 15_000),  # no energy
    "stall": _lasts(3_000, 12_000, 30_000),  # the energy counter stands still, then catches up
    "jitter": _valued(1, 5_000_000),  # µJ too few, once
    "glitch": _valued(0, 5),  # nonsense, once
    "reset": _nothing,  # the energy counter begins at zero, if it shows that many joules or more
    "wall": _clock,  # ms
    "suspend": _lasts(2_000, 30_000, 3_600_000),
    "lag": _lasts(1_000, 10_000, 40_000),  # the disk takes that long
    "disk": _disk,
    "kill": _ends,
    "cut": _ends,  # the power
    "stop": _lasts(10, 3_000, 60_000),  # the agent, as its service is stopped
}
