"""Connections whose other end says what it likes: the label socket, HTTP, servers' answers."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import cache
from typing import Any, Final

from submeter.client import page as levels
from submeter.client.protocol import MAX_FRAME
from submeter.clock import FakeClock
from submeter.footprint import live
from submeter.model import ProcessFacts, ProcessKey
from submeter.runtime.labels import LabelServer, Who, _Peer
from submeter.units import NS_PER_S
from submeter.web import login, negotiation
from submeter.web.connection import Connection
from submeter.web.desk import RECEIVE_BYTES, Desk, Limits
from submeter.web.http import Response, text
from submeter.workloads.labels import Labels
from submeter_fuzz.surface import KEY, NOW_S


class _People:
    def identify(self, pid: int) -> ProcessKey | None:
        return KEY if pid == KEY.pid else None

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, uid=1_000)


class _Label:
    """A label server that nobody connects to: what a peer says is handed to it."""

    def __init__(self) -> None:
        self.server = LabelServer(
            socket.socket(socket.AF_UNIX), Labels(), _People(), FakeClock(), self._answer
        )
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)

    @staticmethod
    def _answer(_fields: Mapping[str, Any], who: Who) -> Mapping[str, object] | None:
        return {"uid": who.uid}

    def take(self, data: bytes) -> None:
        peer = _Peer(self.near, Who(KEY.pid, 1_000))
        *lines, _ = data.split(b"\n")
        try:
            for line in lines:
                self.server._hear(peer, line)
        finally:
            while self._drained():
                pass

    def _drained(self) -> bool:
        try:
            return bool(self.far.recv(1 << 16))
        except BlockingIOError:
            return False


@cache
def _label_server() -> _Label:
    return _Label()


def label(data: bytes) -> None:
    _label_server().take(data[: 4 * MAX_FRAME])


class _Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += data

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody waits for it."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def pause_reading(self) -> None:
        """What comes was there from the beginning."""

    def resume_reading(self) -> None:
        """The same."""


class _Turns(asyncio.BaseEventLoop):
    """As much of an event loop as a connection needs; its clock stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.close()  # nothing waits for the kernel
        self._queue: deque[asyncio.Handle] = deque()

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._queue.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return asyncio.TimerHandle(delay, callback, args, self, context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise context["exception"]

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It was never kept."""

    def turn(self) -> None:
        """Calls what is to be called until nothing is."""
        while self._queue:
            handle = self._queue.popleft()
            if not handle.cancelled():
                handle._run()


_LOOP: Final = _Turns()
_DESK: Final = Desk(
    {"/metrics": lambda _request: text("up 1\n"), "/x": lambda _request: Response(b"")},
    Limits(),
    8,
    lambda: 0.0,
)


def http(data: bytes) -> bytes:
    """A connection's whole conversation; in what follows the first NUL byte, in pieces."""
    transport = _Transport()
    connection = Connection(_DESK, _LOOP)
    connection.connection_made(transport)
    for piece in data.split(b"\0"):
        for at in range(0, len(piece), RECEIVE_BYTES):
            if not transport.closed:
                some = piece[at : at + RECEIVE_BYTES]
                connection.get_buffer(-1)[: len(some)] = some
                connection.buffer_updated(len(some))
                _LOOP.turn()
    connection.connection_lost(None)
    _LOOP.turn()
    assert not _DESK._standings, "who has gone has no place"
    assert not transport.sent or transport.sent.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in transport.sent[:16]
    return bytes(transport.sent)


def headers(data: bytes) -> object:
    value = data.decode("latin-1")
    return negotiation.choices(value), negotiation.accepts_gzip(value), login._basic(value)


def electricity(data: bytes) -> object:
    return live.parse(data, live.Place("https://api.example/v3?zone=DE"), NOW_S)


def level_page(data: bytes) -> object:
    if len(data) < levels.HEADER.size:
        return None
    return levels.fresh(data, NS_PER_S), levels.levels_in(data, NS_PER_S)
