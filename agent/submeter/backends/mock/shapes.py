"""How a process's demand goes up and down: shape and seeded generator in, segments out.

A segment is (duration, SM level, power level): constant demand for that long. Levels are parts per
million of the process's own utilisation and watts. Segments never end.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final, NamedTuple

from submeter.backends.mock.plan import PPM, ShapePlan
from submeter.units import NS_PER_MS, NS_PER_S

Segment = tuple[int, int, int]
_FOREVER_NS: Final = 1 << 62


class Parameter(NamedTuple):
    """A number a shape takes."""

    default: float
    low: float
    high: float
    meaning: str


class ShapeKind(NamedTuple):
    """A row of the table: what it is, what it takes, how it runs."""

    meaning: str
    parameters: Mapping[str, Parameter]
    run: Callable[[Mapping[str, float], Random], Iterator[Segment]]


def segments(shape: ShapePlan, random: Random) -> Iterator[Segment]:
    """The endless course of that shape."""
    return SHAPES[shape.kind].run(shape.parameters, random)


def _constant(_: Mapping[str, float], __: Random) -> Iterator[Segment]:
    while True:
        yield _FOREVER_NS, PPM, PPM


def _square(p: Mapping[str, float], _: Random) -> Iterator[Segment]:
    period_ns = _ns(p["period_ms"])
    high_ns = int(period_ns * p["duty"])
    low = int(p["low"] * PPM)
    while True:
        yield high_ns, PPM, PPM
        yield period_ns - high_ns, low, low


def _ramp(p: Mapping[str, float], _: Random) -> Iterator[Segment]:
    step_ns = _ns(p["step_ms"])
    steps = max(1, int(p["over_s"] * NS_PER_S) // step_ns)
    for step in range(steps):
        level = int((p["from"] + (p["to"] - p["from"]) * step / steps) * PPM)
        yield step_ns, level, level
    while True:
        yield _FOREVER_NS, int(p["to"] * PPM), int(p["to"] * PPM)


def _training_step(p: Mapping[str, float], random: Random) -> Iterator[Segment]:
    """Forward and backward at full power, then the gradients' exchange, then waiting for data."""
    checkpoint_every_ns = int(p["checkpoint_every_s"] * NS_PER_S)
    since_checkpoint_ns = 0
    while True:
        step_ns = int(_ns(p["step_ms"]) * (1 + p["jitter"] * (2 * random.random() - 1)))
        sync_ns = int(step_ns * p["sync"])
        stall_ns = int(step_ns * p["stall"])
        yield step_ns - sync_ns - stall_ns, PPM, PPM
        # Collective kernels spin: the SMs look busy and draw little.
        yield sync_ns, PPM, int(p["sync_power"] * PPM)
        yield stall_ns, 0, 0
        since_checkpoint_ns += step_ns
        if 0 < checkpoint_every_ns <= since_checkpoint_ns:
            yield int(p["checkpoint_s"] * NS_PER_S), PPM // 50, PPM // 50
            since_checkpoint_ns = 0


def _inference_poisson(p: Mapping[str, float], random: Random) -> Iterator[Segment]:
    """Requests arrive at random; each is one full-power prefill, then shares in the decoding."""
    arrivals = _arrivals(p, random)
    prefill_ns = _ns(p["prefill_ms"])
    departures: list[int] = []
    now_ns = prefill_until_ns = 0
    arrival_ns = next(arrivals)
    while True:
        upcoming_ns = departures[0] if departures else arrival_ns
        end_ns = min(arrival_ns, upcoming_ns)
        if now_ns < prefill_until_ns:
            end_ns = min(end_ns, prefill_until_ns)
            yield end_ns - now_ns, PPM, PPM
        else:
            level = _decode_level(p, len(departures))
            yield end_ns - now_ns, (PPM + level) // 2 if level else 0, level
        now_ns = end_ns
        while departures and departures[0] <= now_ns:
            heapq.heappop(departures)
        if now_ns == arrival_ns:
            prefill_until_ns = max(prefill_until_ns, now_ns) + prefill_ns
            decode_ns = int(random.expovariate(1) * _ns(p["decode_ms"]))
            heapq.heappush(departures, prefill_until_ns + decode_ns)
            arrival_ns = next(arrivals)


def _arrivals(p: Mapping[str, float], random: Random) -> Iterator[int]:
    """Times of a Poisson process whose rate swings like a sine (by thinning)."""
    peak_hz = p["rate_hz"] * (1 + p["swing"])
    at_s = 0.0
    while True:
        at_s += random.expovariate(peak_hz)
        swing = 1 + p["swing"] * math.sin(2 * math.pi * at_s / p["swing_period_s"])
        if random.random() * peak_hz <= p["rate_hz"] * swing:
            yield int(at_s * NS_PER_S)


def _decode_level(p: Mapping[str, float], requests: int) -> int:
    if requests == 0:
        return 0
    share = min(1.0, requests / p["batch"])
    return int((p["base"] + (1 - p["base"]) * share) * PPM)


def _ns(milliseconds: float) -> int:
    return int(milliseconds * NS_PER_MS)


SHAPES: Final[Mapping[str, ShapeKind]] = {
    "constant": ShapeKind("always the same", {}, _constant),
    "square": ShapeKind(
        "full and low by turns",
        {
            "period_ms": Parameter(1000, 0.1, 1e9, "one full and one low part"),
            "duty": Parameter(0.5, 0.001, 0.999, "share of the period at full level"),
            "low": Parameter(0.0, 0.0, 1.0, "level of the low part"),
        },
        _square,
    ),
    "training-step": ShapeKind(
        "compute, gradient exchange, waiting for data; now and then a checkpoint",
        {
            "step_ms": Parameter(370, 1, 1e7, "one optimiser step"),
            "jitter": Parameter(0.02, 0.0, 0.9, "steps are longer or shorter by up to this share"),
            "sync": Parameter(0.15, 0.0, 0.5, "share of a step that exchanges gradients"),
            "sync_power": Parameter(0.45, 0.0, 1.0, "power level meanwhile (the SMs stay busy)"),
            "stall": Parameter(0.05, 0.0, 0.49, "share of a step that waits for data"),
            "checkpoint_every_s": Parameter(0, 0, 1e7, "work between checkpoints; 0: never"),
            "checkpoint_s": Parameter(4, 0, 1e5, "how long a checkpoint takes, at 2 %"),
        },
        _training_step,
    ),
    "inference-poisson": ShapeKind(
        "requests at random times: prefill at full level, then decoding together",
        {
            "rate_hz": Parameter(3, 0.001, 1000, "requests a second, on average"),
            "swing": Parameter(0.0, 0.0, 1.0, "by how much of itself the rate goes up and down"),
            "swing_period_s": Parameter(300, 1, 1e7, "how long one up and down takes"),
            "prefill_ms": Parameter(60, 0.1, 1e5, "prefill of one request"),
            "decode_ms": Parameter(1500, 1, 1e6, "decoding of one request, on average"),
            "batch": Parameter(16, 1, 1e4, "requests at once that reach the full level"),
            "base": Parameter(0.35, 0.0, 1.0, "level that any decoding has at least"),
        },
        _inference_poisson,
    ),
    "ramp": ShapeKind(
        "a fine staircase from one level to another, which then stays",
        {
            "from": Parameter(0.0, 0.0, 1.0, "level at the start"),
            "to": Parameter(1.0, 0.0, 1.0, "level at the end"),
            "over_s": Parameter(60, 0.001, 1e7, "how long it takes"),
            "step_ms": Parameter(100, 1, 1e6, "width of a stair"),
        },
        _ramp,
    ),
}
