"""Lists from the driver into a buffer that is there already: one call where pynvml makes two."""

from collections.abc import Callable, Iterator
from ctypes import c_char, c_uint
from struct import Struct
from typing import Any, Final

from submeter.backends.nvml.codes import INSUFFICIENT_SIZE

_TRIES: Final = 5  # processes may appear faster than the buffer grows
_LARGEST: Final = 1 << 14  # entries; the driver itself stops at 950 processes

Call = Callable[[Any, Any], int]
"""A call with a pointer to the count and the buffer: gives NVML's return code."""


class ListBuffer:
    """Room for entries of one C struct; grows to twice what the driver says it needs."""

    def __init__(self, struct: Struct, entries: int) -> None:
        self._struct = struct
        self._entries = entries
        self._count = c_uint()
        self._bytes = (c_char * (entries * struct.size))()

    def fill(self, call: Call) -> int:
        """Calls until the buffer is large enough, five times at most; gives the last code."""
        code = INSUFFICIENT_SIZE
        for _ in range(_TRIES):
            self._count.value = self._entries
            code = call(self._count, self._bytes)
            if code != INSUFFICIENT_SIZE:
                return code
            self._grow(self._count.value)
        return code

    def entries(self) -> Iterator[tuple[Any, ...]]:
        """What the last successful `fill` brought."""
        filled = min(self._count.value, self._entries) * self._struct.size
        return self._struct.iter_unpack(bytes(memoryview(self._bytes)[:filled]))

    def _grow(self, needed: int) -> None:
        wanted = max(needed, self._entries)
        self._entries = min(2 * wanted, _LARGEST)
        self._bytes = (c_char * (self._entries * self._struct.size))()
