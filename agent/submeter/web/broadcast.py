"""Readings in from the sampler's threads, server-sent events out; nobody waits for a slow client.

All events go into one ring. A client that is slower than the ring is long misses events and goes
on with what there is; nothing piles up for it.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from submeter.model import Reading
from submeter.units import decimal

_RING: Final = 4096  # events; 8 GPUs at 100 Hz for 5 s
_AT_ONCE: Final = 256  # events; bounds what is copied for one client
_BATCH_S: Final = 0.05  # a wake-up costs more than a reading
_HEARTBEAT_S: Final = 15.0  # shows dead clients, and keeps proxies from cutting the line
_MILLI: Final = 3
_MICRO: Final = 6


class Broadcast:
    """Owns the ring. `publish` may be called from any thread; the rest is the server's."""

    def __init__(self, size: int = _RING) -> None:
        self._incoming: deque[tuple[str, Reading]] = deque(maxlen=size)
        self._ring: deque[bytes] = deque(maxlen=size)
        self._count = 0  # events there ever were; the ring holds the last of them
        self._clients = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._waking = False

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._loop is not None

    def publish(self, gpu_uuid: str, reading: Reading) -> None:
        """Tells everybody about a reading. Costs next to nothing while nobody listens."""
        loop = self._loop
        if loop is None:
            return
        self._incoming.append((gpu_uuid, reading))
        if not self._waking:
            self._waking = True
            try:
                loop.call_soon_threadsafe(loop.call_later, _BATCH_S, self._deliver)
            except RuntimeError:  # the loop has just been closed: the server is gone
                self._loop = None

    async def events(self, rest_s: float = 0.0) -> AsyncGenerator[bytes, None]:
        """One client's events from now on, as the bytes of an event stream. ``rest_s``: after news
        it waits so long for more, since what a client costs is pieces and not bytes."""
        if not self._clients:
            self._incoming.clear()
            self._waking = False
            self._loop = asyncio.get_running_loop()
        self._clients += 1
        position = self._count
        try:
            yield b"retry: 2000\n\n"
            while True:
                events, position = self._since(position)
                yield events or await self._wait(rest_s)
        finally:
            self._clients -= 1
            if not self._clients:
                self._loop = None

    def _deliver(self) -> None:
        self._waking = False
        while self._incoming:
            gpu_uuid, reading = self._incoming.popleft()
            self._ring.append(encode(gpu_uuid, reading))
            self._count += 1
        self._news.set()
        self._news = asyncio.Event()

    def _since(self, position: int) -> tuple[bytes, int]:
        """The next events after a position that the ring still has, and the position after."""
        if position == self._count:
            return b"", position
        position = max(position, self._count - len(self._ring))
        first = len(self._ring) - (self._count - position)
        last = min(first + _AT_ONCE, len(self._ring))
        # By index: a deque knows its end at once, and would have to be walked to it.
        events = [self._ring[at] for at in range(first, last)]
        return b"".join(events), position + len(events)

    async def _wait(self, rest_s: float) -> bytes:
        """Nothing, when there is news; a comment, when there has been none for long."""
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            return b": still here\n\n"
        if rest_s:
            await asyncio.sleep(rest_s)
        return b""


def encode(gpu_uuid: str, reading: Reading) -> bytes:
    """One reading as an event. Energies are decimal strings; what the board doesn't say is null."""
    event = {
        "gpu_uuid": gpu_uuid,
        "boottime_ns": reading.at_ns,
        "energy_joules": None if reading.energy_uj is None else decimal(reading.energy_uj, _MICRO),
        "energy_at_us": reading.energy_at_us,
        "power_watts": _watts(reading.instant_mw),
        "power_at_us": reading.instant_at_us,
        "power_average_watts": _watts(reading.average_mw),
        "power_average_at_us": reading.average_at_us,
    }
    return f"event: reading\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def _watts(power_mw: int | None) -> float | None:
    return None if power_mw is None else power_mw / 10**_MILLI
