"""A window of a GPU's power in, what its rhythm says of the one process on it out.

Weak evidence, and often none: recordings of training and inference overlap in level, variance and
spectrum (flat training at 690 W beside flat serving at 690 W). What does tell is a strong regular
beat, as of epochs, checkpoints and validation; and silence. `docs/recognition.md` has the confusion
table over recordings. Everything else is `unknown`.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from submeter.model import Phase
from submeter.units import NS_PER_S

POINTS: Final = 128
"""Values that a window is averaged to: 1.4 s each of three minutes."""
WINDOW_NS: Final = 180 * NS_PER_S

_LEAST_SAMPLES: Final = 96
_LEAST_WINDOW_NS: Final = 9 * WINDOW_NS // 10
_AGAIN_NS: Final = 60 * NS_PER_S
_LEAST_PERIODS: Final = 4
_MOST_LINE: Final = 43
"""Of the spectrum's 64 lines those with at least three points a period."""
_BEAT_SHARE: Final = 0.5
"""Share of the variance in one line and its first harmonic. Recordings: training with epochs 0.38
to 0.74, serving under load at most 0.13 (one, with speculative decoding, 0.51)."""
_BEAT_DEPTH: Final = 0.02
"""Least standard deviation over the mean: below it is the sensor's own ripple."""
_SURE_OF_BEAT: Final = 0.65
_SILENT: Final = 1.08
_SILENT_DEPTH: Final = 0.05
_SURE_OF_SILENCE: Final = 0.9


class Rhythm(NamedTuple):
    """What a window says; ``phase`` is training, idle or unknown."""

    phase: Phase
    confidence: float
    evidence: str


UNCLEAR: Final = Rhythm(Phase.UNKNOWN, 0.0, "no telling rhythm")


@dataclass(slots=True)
class Window:
    """The last three minutes of one GPU's power, while the same process had it to itself."""

    samples: deque[tuple[int, int]]
    judged_ns: int = 0

    @classmethod
    def empty(cls) -> "Window":
        return cls(deque())

    def add(self, end_ns: int, power_mw: int) -> None:
        """Mean power of an interval that ended then."""
        self.samples.append((end_ns, power_mw))
        while self.samples[0][0] < end_ns - WINDOW_NS:
            self.samples.popleft()

    def due(self, now_ns: int) -> bool:
        """Whether it is long and dense enough to be judged, and wasn't in the last minute."""
        if len(self.samples) < _LEAST_SAMPLES or now_ns - self.judged_ns < _AGAIN_NS:
            return False
        if self.samples[-1][0] - self.samples[0][0] < _LEAST_WINDOW_NS:
            return False
        self.judged_ns = now_ns
        return True


def judge(samples: Sequence[tuple[int, int]] | deque[tuple[int, int]], idle_mw: int = 0) -> Rhythm:
    """What samples of (time in ns, power in mW), in order of time, say.

    ``idle_mw`` is what the board draws for nothing, 0 if that isn't known: without it nothing is
    called idle.
    """
    if len(samples) < _LEAST_SAMPLES:
        return UNCLEAR
    values = _resampled(samples)
    mean = sum(values) / POINTS
    if mean <= 0:
        return UNCLEAR
    rest = _detrended(values, mean)
    variance = sum(value * value for value in rest) / POINTS
    depth = math.sqrt(variance) / mean
    if idle_mw and mean <= idle_mw * _SILENT and depth < _SILENT_DEPTH:
        return Rhythm(Phase.IDLE, _SURE_OF_SILENCE, "draws what an idle board draws")
    if depth < _BEAT_DEPTH:
        return UNCLEAR
    line, share = _strongest(rest, variance)
    if line < _LEAST_PERIODS or share < _BEAT_SHARE:
        return UNCLEAR
    period_s = (samples[-1][0] - samples[0][0]) / line / NS_PER_S
    evidence = f"its power beats every {period_s:.0f} s, as epochs and checkpoints do"
    return Rhythm(Phase.TRAINING, _SURE_OF_BEAT, evidence)


def _resampled(samples: Sequence[tuple[int, int]]) -> list[float]:
    """Means of `POINTS` equal parts of the window; an empty part repeats the one before."""
    start_ns, end_ns = samples[0][0], samples[-1][0]
    span_ns = max(end_ns - start_ns, 1)
    sums = [0] * POINTS
    counts = [0] * POINTS
    for at_ns, power_mw in samples:
        part = min((at_ns - start_ns) * POINTS // span_ns, POINTS - 1)
        sums[part] += power_mw
        counts[part] += 1
    values: list[float] = []
    for total, count in zip(sums, counts, strict=True):
        values.append(total / count if count else values[-1])
    return values


def _detrended(values: Sequence[float], mean: float) -> list[float]:
    """What is left without mean and slope: a board that warms up has no rhythm."""
    middle = (POINTS - 1) / 2
    slope = sum((i - middle) * value for i, value in enumerate(values)) / _MOMENT
    return [value - mean - slope * (i - middle) for i, value in enumerate(values)]


_MOMENT: Final = POINTS * (POINTS**2 - 1) / 12
"""Σ (i − middle)² over the points."""
_COSINES: Final = tuple(math.cos(2 * math.pi * i / POINTS) for i in range(POINTS))
_SINES: Final = tuple(math.sin(2 * math.pi * i / POINTS) for i in range(POINTS))


def _strongest(rest: Sequence[float], variance: float) -> tuple[int, float]:
    """The line with the largest share of the variance, its first harmonic and what leaks into its
    neighbours counted with it."""
    powers = [0.0, 0.0]
    for line in range(2, POINTS // 2):
        real = sum(value * _COSINES[line * i % POINTS] for i, value in enumerate(rest))
        imaginary = sum(value * _SINES[line * i % POINTS] for i, value in enumerate(rest))
        powers.append(2 * (real * real + imaginary * imaginary) / POINTS**2 / variance)
    best = max(range(2, _MOST_LINE), key=powers.__getitem__)
    side = max(powers[best - 1], powers[best + 1])
    harmonic = powers[2 * best] if 2 * best < len(powers) else 0.0
    return best, powers[best] + side + harmonic
