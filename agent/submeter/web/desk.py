"""What all connections share: routes, limits, and who has to go when there are too many."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from submeter.web.gate import Gate
from submeter.web.http import Request, Response, Routes, Stream, text

RECEIVE_BYTES: Final = 16 * 1024
CONNECTIONS: Final = 32
"""At a time. Few, since an answer takes a millisecond: whoever finds all places taken waits for
its turn with the kernel, and a thousand clients that only sit there cost no more than these."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of us a client may have."""

    connections: int = CONNECTIONS
    streams: int = CONNECTIONS * 3 // 8
    brief: int = CONNECTIONS // 4  # streams besides these that end by themselves
    header_s: float = 5.0  # from the first byte (or the connection) to a whole request
    write_s: float = 10.0  # to take a response
    stall_s: float = 0.25  # … without taking anything, where others wait for the place
    greet_s: float = 0.25  # to agree upon TLS, where others wait for the place
    login_s: float = 30.0  # for a password to be compared, and those before it
    idle_s: float = 30.0  # between two requests
    linger_s: float = 1.0  # to read why it was refused
    header_bytes: int = 16 * 1024
    target_bytes: int = 2 * 1024


class Standing(Enum):
    """What a connection is about."""

    SILENT = auto()  # nothing was heard yet
    PARTIAL = auto()  # some of a request, or of a hello
    GREETING = auto()  # a whole request or hello is there, and wasn't read yet
    IDLE = auto()  # between two requests
    STALLED = auto()  # doesn't take its answer
    BUSY = auto()
    STREAMING = auto()


_ROUNDS: Final = 12
"""Of asking for room, until what came with somebody has been read for certain."""


class Guest(Protocol):
    """A connection, as far as the desk is concerned."""

    def evict(self) -> None:
        """Ends it at once. What it was answered and the kernel has, it may still get."""
        ...


class _Since(NamedTuple):
    """When somebody's standing began."""

    at_s: float
    round: int


class Desk:
    """Owns the list of connections. Used by the server's thread only."""

    def __init__(
        self,
        routes: Routes,
        limits: Limits,
        capacity: int,
        now_s: Callable[[], float],
        gate: Gate | None = None,
    ) -> None:
        """``now_s``: a clock that never goes back."""
        self.limits = limits
        self.buffer = memoryview(bytearray(RECEIVE_BYTES))
        """Shared: what is received is copied out before anybody else receives."""
        self._routes = routes
        self._capacity = capacity
        self._now_s = now_s
        self.gate = gate
        self._round = 0
        self._guests: dict[Standing, dict[Guest, _Since]] = {each: {} for each in Standing}
        self._standings: dict[Guest, Standing] = {}

    def make_room(self) -> bool:
        """Whether one more may come in; to be asked before each. Where all places
        are taken somebody goes: who takes too long to take its answer, else the first that has
        not finished a request, else whoever has been idle longest. So those who only sit there
        keep nobody out. Who is being answered is not disturbed: then there is no room."""
        self._round += 1
        while len(self._standings) >= self._capacity:
            guest = self._dispensable()
            if guest is None:
                return False
            self.dismiss(guest)
            guest.evict()
        return True

    def stands(self, guest: Guest, standing: Standing) -> None:
        """What a connection is about from now on; a new one is let in."""
        self.dismiss(guest)
        self._standings[guest] = standing
        self._guests[standing][guest] = _Since(self._now_s(), self._round)

    def dismiss(self, guest: Guest) -> None:
        """The connection is gone."""
        standing = self._standings.pop(guest, None)
        if standing is not None:
            del self._guests[standing][guest]

    def may_stream(self, *, brief: bool) -> bool:
        """Whether there is room for one more stream; for brief ones there is still some when
        others have taken all of theirs."""
        room = self.limits.streams + brief * self.limits.brief
        return len(self._guests[Standing.STREAMING]) < room

    def handle(self, request: Request) -> Response | Stream:
        """The answer to a request for any path."""
        handler: Callable[[Request], Response | Stream] | None = self._routes.get(request.path)
        return text("no such page", 404) if handler is None else handler(request)

    def close(self) -> None:
        """Ends every connection."""
        for guest in list(self._standings):
            guest.evict()

    def _dispensable(self) -> Guest | None:
        now_s, limits = self._now_s(), self.limits
        rounds = min(_ROUNDS, self._capacity // 2)

        def first(standing: Standing, ripe: Callable[[_Since], bool]) -> Guest | None:
            """Who has stood so longest, if that is long enough."""
            found = next(iter(self._guests[standing].items()), None)
            return found[0] if found is not None and ripe(found[1]) else None

        return (
            first(Standing.STALLED, lambda since: since.at_s + limits.stall_s <= now_s)
            or first(Standing.GREETING, lambda since: since.at_s + limits.greet_s <= now_s)
            or first(Standing.PARTIAL, lambda _since: True)
            or first(Standing.SILENT, lambda since: since.round + rounds <= self._round)
            or first(Standing.IDLE, lambda _since: True)
        )
