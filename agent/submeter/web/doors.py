"""Listening sockets in, asyncio's servers on them out; opened anew when the certificate changes."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from submeter.web.gate import Gate
from submeter.web.listen import BACKLOG

_HANDSHAKE_S: Final = 5.0  # as long as for a request
_GOODBYE_S: Final = 1.0
_LOOK_S: Final = 2.0  # between two looks at the files, only where there are any


class Doors:
    """Owns the servers. The event loop's thread only."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connection: Callable[[], asyncio.BaseProtocol],
        gate: Gate | None,
    ) -> None:
        self._sockets = sockets
        self._connection = connection
        self._gate = gate
        self._servers: list[asyncio.Server] = []
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begins to accept."""
        loop = asyncio.get_running_loop()
        context = None if self._gate is None else self._gate.context
        speaks_tls = context is not None
        before = self._servers
        self._servers = [
            await loop.create_server(
                self._connection,
                sock=sock.dup(),
                backlog=BACKLOG,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_S if speaks_tls else None,
                ssl_shutdown_timeout=_GOODBYE_S if speaks_tls else None,
            )
            for sock in self._sockets
        ]
        for server in before:
            server.close()
        if self._gate is not None and self._watch is None:
            self._watch = loop.create_task(self._keep_up(self._gate))

    def close(self) -> None:
        """Accepts nobody any more."""
        if self._watch is not None:
            self._watch.cancel()
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()

    async def _keep_up(self, gate: Gate) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if gate.changed():
                await self.open()
