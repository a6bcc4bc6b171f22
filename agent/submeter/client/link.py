"""Lines in, lines on the agent's socket out: the one place where a job touches the outside.

Sending hardly waits: where the socket's buffer is full, 2 ms at most every tenth of a second; what
is dropped then is said again with the next call. Where no agent listens the next try is seconds
away. A forked child starts over, since the agent knows its peers by the credentials of whoever
connected.
"""

import mmap
import os
import select
import socket
from contextlib import closing, suppress
from threading import Lock
from typing import Any, Final

from submeter.client.page import PAGE_BYTES, Page
from submeter.client.protocol import MAX_FRAME, addresses, frame
from submeter.clock import Clock, SystemClock
from submeter.units import NS_PER_S

RETRY_NS: Final = 5 * NS_PER_S
ANSWER_S: Final = 1.0
_FULL_MS: Final = 2
_PATIENCE_NS: Final = NS_PER_S // 10
_ANSWER_BYTES: Final = 256 * 1024
_ASK_PAGE: Final = frame({"ask": "page"})


class Link:
    """Owns one connection. Any thread; nothing raises."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._retry_ns = 0
        self._silent_until_ns = 0  # nobody answered questions a moment ago
        self._patient_ns = 0  # from when a full buffer may be waited for
        self._dropped = False
        self._page = Page(self._mapped, RETRY_NS)

    def send(self, line: bytes, *, greeting: tuple[bytes, ...]) -> bool:
        """Whether the line is on its way. ``greeting`` is what a new connection begins with, so
        that an agent that was restarted knows what its predecessor knew."""
        with self._lock:
            if self._socket is not None and self._sent(
                b"".join(greeting) if self._dropped else line
            ):
                return True
            return self._connected() is not None and self._sent(b"".join(greeting) or line)

    @property
    def connected(self) -> bool:
        """Whether an agent listens still, as far as the kernel knows, and was told everything."""
        connection = self._socket
        if connection is None or self._dropped:
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
        connection = self._asking(line)
        if connection is None:
            return None
        with closing(connection):
            try:
                return _line(connection)
            except OSError:
                return None

    def page(self, now_ns: int) -> bytes | None:
        """A copy of the agent's page of levels; None where there is no fresh one."""
        return self._page.copy(now_ns)

    def forget(self) -> None:
        """In a forked child: the parent's connection is the parent's."""
        self._lock = Lock()  # another thread of the parent may have held it
        self._retry_ns = self._silent_until_ns = 0
        self._drop()

    def _mapped(self) -> mmap.mmap | None:
        connection = self._asking(_ASK_PAGE)
        if connection is None:
            return None
        with closing(connection), suppress(OSError, ValueError):
            _, descriptors, _, _ = socket.recv_fds(connection, MAX_FRAME, 1)
            try:
                if descriptors:
                    return mmap.mmap(descriptors[0], PAGE_BYTES, prot=mmap.PROT_READ)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        return None

    def _asking(self, line: bytes) -> socket.socket | None:
        """A connection on which that was asked. Where nobody listens, nobody is looked for again
        for a few seconds: a job may measure each of its steps."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._silent_until_ns:
            return None
        for address in addresses(os.environ):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(ANSWER_S)
                connection.connect(address)
                connection.sendall(line)
            except OSError:
                connection.close()
            else:
                return connection
        self._silent_until_ns = now_ns + RETRY_NS
        return None

    def _sent(self, data: bytes) -> bool:
        """False, and disconnected, where the agent is gone."""
        connection = self._socket
        assert connection is not None
        try:
            self._dropped = not self._fits(connection, data)
        except OSError:
            self._drop()
            self._retry_ns = 0  # it may have been restarted
            return False
        return True

    def _fits(self, connection: socket.socket, data: bytes) -> bool:
        """Whether it went out; an agent that doesn't read is no reason to wait for long."""
        with suppress(BlockingIOError):
            connection.send(data)
            return True
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._patient_ns:
            return False
        self._patient_ns = now_ns + _PATIENCE_NS
        room = select.poll()
        room.register(connection, select.POLLOUT)
        if room.poll(_FULL_MS):
            with suppress(BlockingIOError):
                connection.send(data)
                return True
        self._patient_ns = now_ns + RETRY_NS  # it doesn't read at all
        return False

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
        self._dropped = False
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
