"""Starts of lines and a whole number for each in, the lines as bytes out.

Optional, as `submeter.ticking` is: it is the same compiled library. In the interpreter the lines of
a scrape take several times as long, while sampling waits for its turn.
"""

from array import array
from collections.abc import Iterator, Sequence
from ctypes import CDLL, byref, c_char, c_char_p, c_int32, c_int64, c_void_p
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.ticking.compiling import HERE, LIBRARY

_AT_ONCE: Final = 256
"""Lines of one piece: some 50 kB, less than what the C library maps for itself (128 KiB)."""
_LONGEST: Final = 23  # a number and the end of its line
_MOST_DIGITS: Final = 18


class Starts(NamedTuple):
    """What stands before the number of each line, one after the other, and where each ends."""

    text: bytes
    ends: "array[int]"


def starts(texts: Sequence[str]) -> Starts:
    """The same texts as the library wants them."""
    encoded = [text.encode() for text in texts]
    return Starts(b"".join(encoded), array("q", accumulate(map(len, encoded))))


class Lines:
    """The function of ``lines.c``."""

    def __init__(self, loaded: CDLL) -> None:
        self._write = loaded.submeter_lines
        self._write.restype = c_int64
        self._write.argtypes = (
            *(c_void_p, c_int64, c_char_p, c_void_p, c_void_p),
            *(c_int64, c_int64, c_int32),
        )

    def of(
        self, begin: Starts, values: Sequence[int | float], exponent: int
    ) -> Iterator[bytes] | None:
        """Each start with ``value · 10**-exponent`` behind it, in pieces; None where one of the
        values is no whole number of 64 bits: that is for the caller to write."""
        try:
            numbers: array[int] = array("q", values)  # type: ignore[arg-type]
        except (TypeError, OverflowError):
            return None
        if len(numbers) != len(begin.ends):
            raise ValueError(f"{len(numbers)} values for {len(begin.ends)} lines")
        return self._pieces(begin, numbers, exponent) if exponent <= _MOST_DIGITS else None

    def _pieces(self, begin: Starts, numbers: "array[int]", exponent: int) -> Iterator[bytes]:
        text, ends = begin
        ends_at, numbers_at = ends.buffer_info()[0], numbers.buffer_info()[0]
        out = bytearray()
        before = 0
        for first in range(0, len(ends), _AT_ONCE):
            last = min(first + _AT_ONCE, len(ends))
            room = ends[last - 1] - before + (last - first) * _LONGEST
            if len(out) < room:
                out = bytearray(room)
            place: Any = byref(c_char.from_buffer(out))
            written = self._write(place, room, text, ends_at, numbers_at, first, last, exponent)
            assert written >= 0
            yield bytes(memoryview(out)[:written])
            before = ends[last - 1]


@cache
def compiled(folder: Path = HERE) -> Lines | None:
    """The library, if the package was built with one that this machine can load."""
    try:
        return Lines(CDLL(str(folder / LIBRARY)))
    except (OSError, AttributeError):
        return None
