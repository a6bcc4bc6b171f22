"""Readings of all GPUs in, the page of shared memory that jobs read them from out.

Nothing is written while no job has asked for it lately.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SHRINK, fcntl
from threading import Lock
from typing import Final

from submeter.client.page import ABSENT, GPUS, HEADER, PAGE_BYTES, RECORD, check
from submeter.model import Reading
from submeter.sampling.watch import GpuWatch
from submeter.units import NS_PER_S

WANTED_NS: Final = 600 * NS_PER_S
"""For that long after a job asked for the page it is kept up; a job that finds it stale asks
again."""
_UUID_BYTES: Final = 48
_SEAL_FUTURE_WRITE: Final = 0x10  # F_SEAL_FUTURE_WRITE, include/uapi/linux/fcntl.h


class LevelPage:
    """Owns the memory. `publish` from the threads that sample, `hand_out` from the one that
    listens to jobs."""

    def __init__(self, watches: Callable[[], Sequence[GpuWatch]]) -> None:
        self._watches = watches
        self._lock = Lock()
        self._memory: mmap.mmap | None = None
        self._readable: int | None = None
        self._places: dict[str, tuple[int, bytes, int]] = {}  # UUID → offset, name, index
        self._until_ns = 0
        self._writes = 0

    def wanted(self, now_ns: int) -> bool:
        """Whether a job asked for it lately."""
        return now_ns <= self._until_ns

    def publish(self, uuid: str, reading: Reading) -> None:
        """That GPU's newest values, if anybody wants them."""
        if reading.at_ns > self._until_ns:
            return
        place = self._places.get(uuid)
        memory = self._memory
        if place is None or memory is None:
            return
        offset, name, index = place
        power_mw = reading.average_mw if reading.instant_mw is None else reading.instant_mw
        numbers = (index, _or_absent(reading.energy_uj), reading.at_ns, _or_absent(power_mw))
        with self._lock:
            HEADER.pack_into(memory, 0, self._writes + 1, reading.at_ns)
            RECORD.pack_into(memory, offset, name, *numbers, check(*numbers))
            self._writes += 2
            HEADER.pack_into(memory, 0, self._writes, reading.at_ns)

    def hand_out(self, now_ns: int) -> int | None:
        """A descriptor to read it from; None where this kernel has no such memory."""
        if self._memory is None:
            self._open()
        for watch in list(self._watches()):
            uuid, places = watch.info.uuid, self._places
            if uuid not in places and len(places) < GPUS:
                offset = HEADER.size + len(places) * RECORD.size
                places[uuid] = (offset, uuid.encode()[:_UUID_BYTES], watch.info.index)
        self._until_ns = now_ns + WANTED_NS
        for watch in list(self._watches()):
            latest = watch.latest
            if latest is not None:
                self.publish(watch.info.uuid, latest)
        return self._readable

    def close(self) -> None:
        """Lets go of it; whoever has a descriptor keeps the memory."""
        self._until_ns = 0
        if self._readable is not None:
            os.close(self._readable)
            self._readable = None

    def _open(self) -> None:
        with suppress(OSError, AttributeError):  # no memfd_create: old kernels, some sandboxes
            writable = os.memfd_create("submeter-levels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.ftruncate(writable, PAGE_BYTES)
                os.fchmod(writable, 0o444)  # nobody else opens it anew to write
                fcntl(writable, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)
                self._memory = mmap.mmap(writable, PAGE_BYTES)
                with suppress(OSError):  # Linux < 5.1
                    fcntl(writable, F_ADD_SEALS, _SEAL_FUTURE_WRITE)
                self._readable = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                os.close(writable)


def _or_absent(value: int | None) -> int:
    return ABSENT if value is None else value
