"""Randomness that depends only on what it is for: the n-th draw can be had without the others.

A sensor that is polled seldom skips draws and still shows the same values, so how often a
simulated board is read changes nothing.
"""

import zlib
from typing import Final

_MASK: Final = (1 << 64) - 1
_IRWIN_HALL_SD: Final = 37_837  # of the sum of four uniform 16-bit numbers: 65536 · √(4/12)


def key(*parts: int | str) -> int:
    """A 64-bit stream number from a seed and names. Stable across runs and machines."""
    value = 0
    for part in parts:
        word = part if isinstance(part, int) else zlib.crc32(part.encode())
        value = draw(value, word)
    return value


def draw(stream: int, number: int) -> int:
    """The ``number``-th 64-bit draw of a stream (SplitMix64, Steele et al. 2014)."""
    z = (stream + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def bell(stream: int, number: int, deviation: int) -> int:
    """A draw around 0 with about that standard deviation, never beyond 3.5 of them."""
    z = draw(stream, number)
    total = (z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48)
    return (total - 2 * 0xFFFF) * deviation // _IRWIN_HALL_SD
