"""The driver's utilisation ring: SM time in, samples that name one PID each out.

72 samples in 10 s, as ``NV2080_CTRL_PERF_GPUMON_ENGINE_UTIL_SAMPLE`` of NVIDIA's open kernel
modules describes it: a sample says how busy the engine was and which process it saw there. Here it
draws its PID in proportion to the SM time of its 138.9 ms, so over time each PID gets its own.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.backends.mock import dice
from submeter.backends.mock.board import Board
from submeter.units import NS_PER_S

RING_SAMPLES: Final = 72
RING_NS: Final = 10 * NS_PER_S


class Sample(NamedTuple):
    """One entry of the ring."""

    number: int
    pid: int  # 0: nobody worked
    busy_ppm: int


class Ring:
    """The ring of one board. Ask after `Board.advance`, holding its lock."""

    def __init__(self, board: Board, seed: int, gpu: int) -> None:
        self._board = board
        self._stream = dice.key(seed, "ring", gpu)

    def samples(self, after: int, now_ns: int) -> Sequence[Sample]:
        """What is in the ring now and newer than sample ``after``, oldest first."""
        newest = newest_sample(now_ns)
        oldest = max(after + 1, newest - RING_SAMPLES + 1, 1)
        return [self._sample(number) for number in range(oldest, newest + 1)]

    def _sample(self, number: int) -> Sample:
        start_ns, end_ns = sample_ns(number - 1), sample_ns(number)
        worked = list(self._board.history.worked(start_ns, end_ns))
        total = sum(amount for _, amount in worked)
        if total == 0:
            return Sample(number, 0, 0)
        mark = dice.draw(self._stream, number) % total
        busy_ppm = total // (end_ns - start_ns)
        for pid, amount in worked:
            mark -= amount
            if mark < 0:
                return Sample(number, pid, busy_ppm)
        return Sample(number, 0, busy_ppm)


def sample_ns(number: int) -> int:
    """When (scenario time) that sample of the ring is taken."""
    return number * RING_NS // RING_SAMPLES


def newest_sample(now_ns: int) -> int:
    """The number of the last sample taken by then."""
    number = now_ns * RING_SAMPLES // RING_NS
    return number + 1 if sample_ns(number + 1) <= now_ns else number
