"""Listening sockets in, connections on them out; TLS is spoken where the gate says so.

Who connects is only a socket until it has said a whole request, or hello, so that a thousand who
hardly say anything cost next to nothing; and only as many are let in as the desk has room for.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from socket import MSG_PEEK, SO_LINGER, SO_RCVLOWAT, SOL_SOCKET
from struct import pack
from typing import Final

from submeter.web.desk import Desk, Standing
from submeter.web.gate import Gate

_LOG = logging.getLogger(__name__)
_HANDSHAKE_S: Final = 5.0  # as long as for a request
_GOODBYE_S: Final = 1.0
_LOOK_S: Final = 2.0  # between two looks at the files, only where there are any
_AT_ONCE: Final = 8
"""Let in before those who are inside are heard again; not more, or whoever still has to be heard
could be the oldest who has said nothing."""
_FULL_S: Final = 0.01  # until it is tried again where everybody inside is being answered
_EXHAUSTED_S: Final = 0.2
_EXHAUSTED: Final = frozenset((EMFILE, ENFILE, ENOBUFS, ENOMEM))
_RESET: Final = pack("ii", 1, 0)  # struct linger: on, for 0 s
_HANDSHAKE: Final = (
    b"\x16"  # how a record of TLS begins that holds a hello; bytes 3 and 4: its length
)


class Doors:
    """Owns the listening sockets. The event loop's thread only."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connection: Callable[[bool], asyncio.BaseProtocol],
        desk: Desk,
    ) -> None:
        """``connection``: makes the protocol; of somebody who took too long, if True."""
        self._sockets = sockets
        self._connection = connection
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None
        self._complained = False

    def open(self) -> None:
        """Begins to accept."""
        for sock in self._sockets:
            sock.setblocking(False)
            self._loop.add_reader(sock.fileno(), self._accept, sock)
        if self._desk.gate is not None and self._watch is None:
            self._watch = self._loop.create_task(_keep_up(self._desk.gate))

    def close(self) -> None:
        """Accepts nobody any more."""
        self._wait(None)
        if self._watch is not None:
            self._watch.cancel()
        for sock in self._sockets:
            sock.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if not self._desk.make_room():
                self._wait(_FULL_S)
                return
            try:
                sock, _address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if not self._complained:
                    self._complained = True
                    _LOG.warning("clients have to wait: %s; later ones are not mentioned", error)
                self._wait(_EXHAUSTED_S)
                return
            sock.setblocking(False)
            _Caller(sock, self._connection, self._desk, self._loop).wait()

    def _wait(self, seconds: float | None) -> None:
        """Lets those who come wait with the kernel; until `close` if ``seconds`` is None."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
        if self._later is not None:
            self._later.cancel()
        self._later = None if seconds is None else self._loop.call_later(seconds, self.open)


class _Caller:
    """Owns somebody's socket until it is a connection: nothing said so far, or a handshake."""

    def __init__(
        self,
        sock: socket.socket,
        connection: Callable[[bool], asyncio.BaseProtocol],
        desk: Desk,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._sock = sock
        # By number: for a socket without a reader, asyncio makes its repr() for an error that it
        # catches: a tenth of all that turning somebody away costs (CPython 3.11).
        self._number = sock.fileno()
        self._connection = connection
        self._desk = desk
        self._loop = loop
        self._heard = 0  # bytes
        self._entrance: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> None:
        """Until it has said enough."""
        self._desk.stands(self, Standing.SILENT)
        self._listen()  # mostly all of it came with the connection
        if self._entrance is None:
            self._timer = self._loop.call_later(self._desk.limits.header_s, self._give_up)
            self._loop.add_reader(self._number, self._listen)

    def evict(self) -> None:
        """Ends it at once, with a reset."""
        self._sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._entrance is None:
            self._go_on()
            self._desk.dismiss(self)
            self._sock.close()
        else:
            self._entrance.cancel()

    def _listen(self) -> None:
        limit = self._desk.limits.header_bytes
        try:
            said = self._sock.recv(limit, MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        ended = len(said) == self._heard
        if ended or len(said) >= limit or self._is_whole(said):
            self._enter()
            return
        self._heard = len(said)
        self._desk.stands(self, Standing.PARTIAL)
        self._sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, len(said) + 1)  # wakes us for more only

    def _is_whole(self, said: bytes) -> bool:
        if self._speaks_tls:
            return said[:1] != _HANDSHAKE or len(said) >= 5 + int.from_bytes(said[3:5], "big")
        return b"\r\n\r\n" in said or b"\n\n" in said

    def _give_up(self) -> None:
        """Whoever has said something is told why it is not answered."""
        if self._heard and not self._speaks_tls:
            self._enter(late=True)
        else:
            self._hang_up()

    def _enter(self, *, late: bool = False) -> None:
        self._go_on()
        self._desk.stands(self, Standing.GREETING)
        self._sock.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 1)
        self._entrance = self._loop.create_task(self._connect(late))
        self._entrance.add_done_callback(self._entered)

    @property
    def _speaks_tls(self) -> bool:
        gate = self._desk.gate
        return gate is not None and gate.context is not None

    def _go_on(self) -> None:
        self._loop.remove_reader(self._number)
        if self._timer is not None:
            self._timer.cancel()

    async def _connect(self, late: bool) -> None:
        gate = self._desk.gate
        context = None if gate is None else gate.context
        speaks_tls = context is not None
        await self._loop.connect_accepted_socket(
            lambda: self._connection(late),
            self._sock,
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_S if speaks_tls else None,
            ssl_shutdown_timeout=_GOODBYE_S if speaks_tls else None,
        )

    def _entered(self, entrance: asyncio.Task[None]) -> None:
        self._desk.dismiss(self)
        if entrance.cancelled():
            self._sock.close()
            return
        error = entrance.exception()
        if isinstance(error, OSError):  # no handshake, or not in time: its own business
            self._sock.close()
        elif error is not None:
            raise error


async def _keep_up(gate: Gate) -> None:
    """Certificates and passwords are read again when they change; who comes then gets the new."""
    while True:
        await asyncio.sleep(_LOOK_S)
        gate.changed()
