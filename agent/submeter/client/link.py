"""Lines in, lines on the agent's socket out: the one place where a job touches the outside.

Sending never waits: what doesn't fit into the socket's buffer is dropped, and where no agent
listens the next try is seconds away. A forked child starts over, since the agent knows its peers
by the credentials of whoever connected.
"""

import os
import socket
from threading import Lock
from typing import Any, Final

from submeter.client.protocol import MAX_FRAME, addresses
from submeter.clock import Clock, SystemClock
from submeter.units import NS_PER_S

RETRY_NS: Final = 5 * NS_PER_S
ANSWER_S: Final = 1.0
_ANSWER_BYTES: Final = 256 * 1024


class Link:
    """Owns one connection. Any thread; nothing raises."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._retry_ns = 0
        self._greeting: tuple[bytes, ...] = ()

    def send(self, line: bytes, *, greeting: tuple[bytes, ...]) -> bool:
        """Whether the line is on its way. ``greeting`` is what a new connection begins with, so
        that an agent that was restarted knows what its predecessor knew."""
        with self._lock:
            if self._socket is not None and self._sent(line):
                return True
            return self._connected() is not None and self._sent(b"".join(greeting) or line)

    @property
    def connected(self) -> bool:
        """Whether an agent listens still, as far as the kernel knows."""
        connection = self._socket
        if connection is None:
            return False
        try:
            return connection.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True  # nothing to read: nobody hung up
        except OSError:
            return False

    def ask(self, line: bytes) -> bytes | None:
        """The answer to a question, within a second; None where nobody answers. A connection of
        its own, so that answers can't be mixed up."""
        for address in addresses(os.environ):
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(ANSWER_S)
                    connection.connect(address)
                    connection.sendall(line)
                    return _line(connection)
            except OSError:
                continue
        return None

    def forget(self) -> None:
        """In a forked child: the parent's connection is the parent's."""
        self._lock = Lock()  # another thread of the parent may have held it
        self._retry_ns = 0
        self._drop()

    def _sent(self, data: bytes) -> bool:
        """False, and disconnected, where the agent is gone."""
        connection = self._socket
        assert connection is not None
        try:
            connection.send(data)
        except BlockingIOError:
            pass  # an agent that doesn't read is no reason to wait
        except OSError:
            self._drop()
            self._retry_ns = 0  # it may have been restarted
            return False
        return True

    def _connected(self) -> socket.socket | None:
        if self._socket is not None:
            return self._socket
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._retry_ns:
            return None
        self._retry_ns = now_ns + RETRY_NS
        for address in addresses(os.environ):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.setblocking(False)
                connection.connect(address)
            except OSError:
                connection.close()
            else:
                self._socket = connection
                return connection
        return None

    def _drop(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()


def _line(connection: socket.socket) -> bytes | None:
    data = b""
    while len(data) < _ANSWER_BYTES:
        more = connection.recv(MAX_FRAME)
        if not more:
            return None
        data += more
        if data.endswith(b"\n"):
            return data
    return None


_link: Link | None = None


def link() -> Link:
    """This process's connection."""
    global _link
    if _link is None:
        _link = Link()
        os.register_at_fork(after_in_child=_link.forget)
    return _link


def use(other: Any) -> Any:
    """Puts another link in the place of the process's, for tests; gives the one before."""
    global _link
    before, _link = _link, other
    return before
