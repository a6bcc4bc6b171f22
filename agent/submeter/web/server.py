"""Routes in, a running HTTP/1.1 server out: one thread, bounded in memory, time and sockets."""

import asyncio
import logging
import resource
import socket
from contextlib import suppress
from typing import Any, Final

from submeter.web.connection import Connection
from submeter.web.desk import Desk, Limits
from submeter.web.doors import Doors
from submeter.web.gate import Gate
from submeter.web.http import Routes
from submeter.web.listen import listen

_LOG = logging.getLogger(__name__)
_RESERVED_FILES: Final = 96  # descriptors left for the ledger, the driver, /proc and exporters


class Server:
    """Owns the listening sockets. `bind`, then `run` in a thread of its own, `stop` from any."""

    def __init__(
        self,
        routes: Routes,
        host: str,
        port: int,
        *,
        allow_remote: bool = False,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._routes = routes
        self._host = host
        self._port = port
        self._allow_remote = allow_remote
        self._limits = limits or Limits()
        self._gate = gate
        self._sockets: list[socket.socket] = []
        self._stopping = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def bind(self) -> str:
        """Takes the address, so that what is wrong with it is known before any thread starts.

        Returns the URL of the page. Raises InputError and ListenFailed as `listen` does.
        """
        gate = self._gate
        allow_remote = self._allow_remote or (gate is not None and gate.asks_who)
        self._sockets = listen(self._host, self._port, allow_remote=allow_remote)
        host, port = self._sockets[0].getsockname()[:2]
        scheme = "http" if gate is None or gate.context is None else "https"
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"

    def run(self) -> None:
        """Serves until somebody calls `stop`, then closes everything it has."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Ends `run`, now or as soon as it begins. Any thread."""
        self._stopping = True
        if self._running is not None:
            loop, ended = self._running
            with suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(ended.set)

    def close(self) -> None:
        """Gives the address back; only needed where `run` was never called."""
        for sock in self._sockets:
            sock.close()
        self._sockets = []

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log)
        room = _connections(self._limits.connections)
        desk = Desk(self._routes, self._limits, room, loop.time, self._gate)
        doors = Doors(self._sockets, lambda late: Connection(desk, loop, late=late), desk)
        doors.open()
        ended = asyncio.Event()
        self._running = loop, ended
        if not self._stopping:
            await ended.wait()
        self._running = None
        doors.close()
        desk.close()
        await asyncio.sleep(0)  # lets connection_lost run


def _connections(wanted: int) -> int:
    """As many as are wanted and the limit on open files leaves room for.

    Without this, accept() fails before the oldest is evicted.
    """
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = wanted if soft == resource.RLIM_INFINITY else soft - _RESERVED_FILES
    return max(8, min(wanted, room))


def _log(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A bug in a handler ends up here; the server goes on."""
    _LOG.error("%s", context["message"], exc_info=context.get("exception"))
