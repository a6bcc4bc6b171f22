"""Readings in from the sampler's threads, server-sent events out; nobody waits for a slow client.

Two forms. `events`: every value as its own event, for programs. `pages`: what all GPUs drew since
the event before in one, and every two seconds what stands on the page, made, compressed and framed
once for everybody who looks. Each piece of that is a deflate block that refers to none before it
(RFC 1951; Z_FULL_FLUSH), so the same bytes go on in everybody's stream.

All events of a form go into one ring. A client that is slower than the ring is long misses events
and goes on with what there is; nothing piles up for it.
"""

import asyncio
import json
import zlib
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

from submeter.model import Reading
from submeter.units import NS_PER_MS, decimal

_RING: Final = 4096  # events; 8 GPUs at 100 Hz for 5 s
_FEW: Final = 8  # events of pages, which are large
_AT_ONCE: Final = 256  # events; bounds what is copied for one client
_BATCH_S: Final = 0.05  # a wake-up costs more than a reading
_POWERS_S: Final = 1.0  # between two events of pages, which draw what came two seconds later
_STATE_S: Final = 2.0  # between two states of what stands on a page
_HEARTBEAT_S: Final = 15.0  # shows dead clients, and keeps proxies from cutting the line
_RECENT: Final = 61  # settlements: a minute, for a page that was just opened
_MILLI: Final = 3
_MICRO: Final = 6
_OPENING: Final = b"retry: 2000\n\n"
_HEARTBEAT: Final = b": still here\n\n"
_GZIP_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"  # RFC 1952: deflate, no time, fast
_LEVEL: Final = 1


class Ring:
    """Owns the last events of one form and those who wait for the next. The server's thread."""

    def __init__(self, size: int, heartbeat: bytes = _HEARTBEAT) -> None:
        self._heartbeat = heartbeat
        self._events: deque[bytes] = deque(maxlen=size)
        self._count = 0  # events there ever were
        self._news = asyncio.Event()
        self.clients = 0

    def add(self, event: bytes) -> None:
        """The newest event."""
        self._events.append(event)
        self._count += 1

    def wake(self) -> None:
        """Everybody has a look."""
        self._news.set()
        self._news = asyncio.Event()

    @property
    def end(self) -> int:
        """The position after the newest event."""
        return self._count

    def since(self, position: int) -> tuple[bytes, int]:
        """The next events after a position that are still there, and the position after them."""
        if position == self._count:
            return b"", position
        position = max(position, self._count - len(self._events))
        first = len(self._events) - (self._count - position)
        last = min(first + _AT_ONCE, len(self._events))
        # By index: a deque knows its end at once, and would have to be walked to it.
        events = [self._events[at] for at in range(first, last)]
        return events[0] if len(events) == 1 else b"".join(events), position + len(events)

    async def wait(self, rest_s: float) -> bytes:
        """Nothing, when there is news; a comment, when there has been none for long."""
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            return self._heartbeat
        if rest_s:
            await asyncio.sleep(rest_s)
        return b""


class Broadcast:
    """Owns the rings. `publish` and `remember` may be called from any thread; the rest is the
    server's."""

    def __init__(self, size: int = _RING) -> None:
        self._incoming: deque[tuple[str, Reading]] = deque(maxlen=size)
        self._each = Ring(size)
        self._pages = Ring(_FEW)
        self._packed = Ring(_FEW, packed(_HEARTBEAT))
        self._collected: list[tuple[str, Reading]] = []  # for the next event of pages
        self._due = 0.0  # when that is to be, by the loop's clock
        self._state_due = 0.0
        self.state: Callable[[], bytes] = bytes
        """What stands on a page now; nothing where there is none yet. The server's thread."""
        self._recent: deque[tuple[int, Mapping[str, int]]] = deque(maxlen=_RECENT)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking = False

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._loop is not None

    @property
    def hurried(self) -> bool:
        """Whether a program listens that wants every value at once; pages have time."""
        return self._each.clients > 0

    def publish(self, gpu_uuid: str, reading: Reading) -> None:
        """Tells everybody about a reading. Costs next to nothing while nobody listens."""
        loop = self._loop
        if loop is None:
            return
        self._incoming.append((gpu_uuid, reading))
        if not self._waking:
            self._waking = True
            try:
                loop.call_soon_threadsafe(self._soon)
            except RuntimeError:  # the loop has just been closed: the server is gone
                self._loop = None

    def remember(self, at_ns: int, powers_mw: Mapping[str, int]) -> None:
        """What GPUs drew at a moment: a page that is opened begins with a minute of these."""
        self._recent.append((at_ns, powers_mw))

    def events(self, rest_s: float = 0.0) -> AsyncGenerator[bytes, None]:
        """One client's events from now on, as the bytes of an event stream. ``rest_s``: after news
        it waits so long for more, since what a client costs is pieces and not bytes."""
        return self._listen(self._each, rest_s, _OPENING)

    def pages(self, *, pack: bool) -> AsyncGenerator[bytes, None]:
        """The same for a page; at first, the last minute. ``pack``: compressed with gzip."""
        opening = _OPENING + recent(list(self._recent))
        if pack:
            return self._listen(self._packed, 0.0, _GZIP_HEADER + packed(opening))
        return self._listen(self._pages, 0.0, opening)

    async def _listen(
        self, ring: Ring, rest_s: float, opening: bytes
    ) -> AsyncGenerator[bytes, None]:
        if self._loop is None:
            self._incoming.clear()
            self._collected.clear()
            self._waking = False
            self._loop = asyncio.get_running_loop()
        ring.clients += 1
        position = ring.end
        try:
            yield opening
            while True:
                events, position = ring.since(position)
                yield events or await ring.wait(rest_s)
        finally:
            ring.clients -= 1
            if not self._each.clients + self._looking:
                self._loop = None

    @property
    def _looking(self) -> int:
        return self._pages.clients + self._packed.clients

    def _soon(self) -> None:
        """Pages alone wait for their next event: that is ten wake-ups less."""
        loop = asyncio.get_running_loop()
        wait_s = _BATCH_S if self._each.clients else max(_BATCH_S, self._due - loop.time())
        loop.call_later(min(wait_s, _POWERS_S), self._deliver)

    def _deliver(self) -> None:
        self._waking = False
        each = bool(self._each.clients)
        while self._incoming:
            gpu_uuid, reading = self._incoming.popleft()
            if each:
                self._each.add(encode(gpu_uuid, reading))
            self._collected.append((gpu_uuid, reading))
        if each:
            self._each.wake()
        now = asyncio.get_running_loop().time()
        if not self._looking:
            self._collected.clear()
        elif now >= self._due - _BATCH_S:
            self._due = now + _POWERS_S
            self._to_pages(now)

    def _to_pages(self, now: float) -> None:
        events = together(self._collected)
        self._collected.clear()
        if now >= self._state_due - _BATCH_S:
            self._state_due = now + _STATE_S
            events += state_event(self.state())
        for ring in (self._pages, self._packed):
            if ring.clients:
                ring.add(packed(events) if ring is self._packed else events)
                ring.wake()


def packed(data: bytes) -> bytes:
    """Data as a piece of any deflate stream."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def state_event(state: bytes) -> bytes:
    """What stands on a page as an event; nothing for nothing. A line end would end its data."""
    return b"event: live\ndata: " + state.replace(b"\n", b" ") + b"\n\n" if state else b""


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
    return _event("reading", event)


def together(readings: list[tuple[str, Reading]]) -> bytes:
    """The powers of readings as one event: for each GPU, milliseconds after the first and watts in
    turn. A board's instantaneous power, or its average where it has no other."""
    begin_ms = min((reading.at_ns for _, reading in readings), default=0) // NS_PER_MS
    watts: dict[str, list[float]] = defaultdict(list)
    for gpu_uuid, reading in readings:
        power_mw = reading.average_mw if reading.instant_mw is None else reading.instant_mw
        if power_mw is not None:
            watts[gpu_uuid] += (reading.at_ns // NS_PER_MS - begin_ms, power_mw / 10**_MILLI)
    return _event("power", {"t0_ms": begin_ms, "watts": watts})


def recent(moments: list[tuple[int, Mapping[str, int]]]) -> bytes:
    """A minute of powers in the same form; nothing where there is none."""
    if not moments:
        return b""
    begin_ms = moments[0][0] // NS_PER_MS
    watts: dict[str, list[int]] = defaultdict(list)
    for at_ns, powers_mw in moments:
        for gpu_uuid, power_mw in powers_mw.items():
            watts[gpu_uuid] += (at_ns // NS_PER_MS - begin_ms, round(power_mw / 10**_MILLI))
    return _event("power", {"t0_ms": begin_ms, "watts": watts})


def _event(name: str, content: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n".encode()


def _watts(power_mw: int | None) -> float | None:
    return None if power_mw is None else power_mw / 10**_MILLI
