"""What all connections share: routes, limits, and who has to go when there are too many."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from submeter.web.gate import Gate
from submeter.web.http import Request, Response, Routes, Stream, text

RECEIVE_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of us a client may have."""

    connections: int = 1024
    streams: int = 64
    header_s: float = 5.0  # from the first byte (or the connection) to a whole request
    write_s: float = 10.0  # to take a response
    login_s: float = 30.0  # for a password to be compared, and those before it
    idle_s: float = 30.0  # between two requests
    linger_s: float = 1.0  # to read why it was refused
    header_bytes: int = 16 * 1024
    target_bytes: int = 2 * 1024


class Guest(Protocol):
    """A connection, as far as the desk is concerned."""

    def evict(self) -> None:
        """Ends it at once."""
        ...


class Desk:
    """Owns the list of connections. Used by the server's thread only."""

    def __init__(
        self, routes: Routes, limits: Limits, capacity: int, gate: Gate | None = None
    ) -> None:
        self.limits = limits
        self.buffer = memoryview(bytearray(RECEIVE_BYTES))
        """Shared: what is received is copied out before anybody else receives."""
        self._routes = routes
        self._capacity = capacity
        self.gate = gate
        self._silent: dict[Guest, None] = {}  # oldest first: no request completed yet
        self._served: dict[Guest, None] = {}  # longest unused first
        self._streaming: set[Guest] = set()

    def admit(self, guest: Guest) -> None:
        """Lets a connection in. When there is no room, the oldest that has not completed a
        request goes; whoever just connects can't be kept out by those who only sit there."""
        present = len(self._silent) + len(self._served) + len(self._streaming)
        oldest = next(iter(self._silent or self._served), None)
        if present >= self._capacity and oldest is not None:
            self.dismiss(oldest)
            oldest.evict()
        self._silent[guest] = None

    def completed(self, guest: Guest) -> None:
        """A whole request has come from this connection."""
        self._silent.pop(guest, None)
        self._served.pop(guest, None)
        self._served[guest] = None

    def dismiss(self, guest: Guest) -> None:
        """The connection is gone."""
        self._silent.pop(guest, None)
        self._served.pop(guest, None)
        self._streaming.discard(guest)

    def may_stream(self, guest: Guest) -> bool:
        """Whether there is room for one more stream; if so, it is taken."""
        if len(self._streaming) >= self.limits.streams:
            return False
        self._served.pop(guest, None)
        self._streaming.add(guest)
        return True

    def handle(self, request: Request) -> Response | Stream:
        """The answer to a request for any path."""
        handler: Callable[[Request], Response | Stream] | None = self._routes.get(request.path)
        return text("no such page", 404) if handler is None else handler(request)

    def close(self) -> None:
        """Ends every connection."""
        for guest in [*self._silent, *self._served, *self._streaming]:
            guest.evict()
