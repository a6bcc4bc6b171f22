"""The agent's page of shared memory in, the levels of all GPUs out, without asking anybody.

A question on the socket costs a job about a millisecond, a look at the page one microsecond. The
agent writes a record at each sensor value and hands out a read-only descriptor of sealed memory,
so that a reader can neither change it nor have it cut off under its feet. A header counts writes
(odd: one is going on) and each record has a check, so that half a write is never taken for one.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from submeter.units import NS_PER_S

GPUS: Final = 64
HEADER: Final = struct.Struct("<qq")  # number of writes, time of the last one
RECORD: Final = struct.Struct("<48sqqqqq")  # uuid, index, energy, time, power, check
PAGE_BYTES: Final = HEADER.size + GPUS * RECORD.size
FRESH_NS: Final = 5 * NS_PER_S // 2
"""What is older is of a GPU that can't be read, or of an agent that is gone."""
ABSENT: Final = -1
_WORD: Final = (1 << 63) - 1
_TRIES: Final = 8


class Level(NamedTuple):
    """One GPU at one moment: its running total and what it draws."""

    uuid: str
    gpu: int
    energy_uj: int | None
    at_ns: int
    power_mw: int | None


class Memory(Protocol):
    """What a page is kept in: mmap, bytearray, bytes."""

    def __getitem__(self, part: slice, /) -> bytes | bytearray: ...


def check(gpu: int, energy_uj: int, at_ns: int, power_mw: int) -> int:
    """What a record's numbers come to; another number where one of them is of another write."""
    return (gpu ^ energy_uj ^ (at_ns << 1) ^ (power_mw << 7)) & _WORD


def copied(page: Memory) -> bytes | None:
    """The page as it was between two writes; None where it is written to all the time."""
    for _ in range(_TRIES):
        copy = bytes(page[:])
        (writes, _) = HEADER.unpack_from(copy)
        if not writes & 1 and HEADER.unpack_from(page[: HEADER.size])[0] == writes:
            return copy
    return None


def fresh(copy: bytes, now_ns: int) -> bool:
    """Whether somebody wrote to it lately."""
    return abs(now_ns - int(HEADER.unpack_from(copy)[1])) < FRESH_NS


def levels_in(copy: bytes, now_ns: int) -> list[Level]:
    """The GPUs that could be read at ``now_ns``, when the copy was taken."""
    found = []
    for at in range(HEADER.size, len(copy) - RECORD.size + 1, RECORD.size):
        name, gpu, energy_uj, at_ns, power_mw, sum_ = RECORD.unpack_from(copy, at)
        uuid = name.rstrip(b"\0").decode("ascii", "replace")
        if not uuid or abs(now_ns - at_ns) >= FRESH_NS:
            continue
        if sum_ == check(gpu, energy_uj, at_ns, power_mw):
            found.append(Level(uuid, gpu, _known(energy_uj), at_ns, _known(power_mw)))
    return found


def _known(value: int) -> int | None:
    return None if value == ABSENT else value


class Page:
    """Owns this process's view of the page; looks for a new one where it went stale. Any thread.

    ``ask`` gives the memory, or None where no agent hands out any.
    """

    def __init__(self, ask: Callable[[], Memory | None], retry_ns: int) -> None:
        self._ask = ask
        self._every_ns = retry_ns
        self._memory: Memory | None = None
        self._retry_ns: int | None = None

    def copy(self, now_ns: int) -> bytes | None:
        """The page as it is now; None where there is no fresh one."""
        for _ in range(2):
            memory = self._memory
            copy = None if memory is None else copied(memory)
            if copy is not None and fresh(copy, now_ns):
                return copy
            if self._retry_ns is not None and now_ns < self._retry_ns:
                return None
            self._retry_ns = now_ns + self._every_ns
            self._memory = self._ask()
        return None
