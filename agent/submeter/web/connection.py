"""One client's transport in, its requests answered, with a deadline on every wait.

READING ─▶ (ASKING) ─▶ WRITING ──written──▶ IDLE ──byte──▶ READING …
   │                    └──▶ STREAMING         │
   └──what it sent is wrong, too big or too late──▶ LEAVING (tells why, then closes)
"""

import asyncio
from asyncio.trsock import TransportSocket
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from enum import Enum, auto
from http import HTTPStatus
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_USER_TIMEOUT
from struct import pack
from typing import Final

from submeter.web.desk import Desk, Standing
from submeter.web.http import Request, Response, Stream, text
from submeter.web.wire import Refusal, Wire

_SLICE: Final = 64 * 1024  # of an answer given to the transport at once: what a slow reader costs
_RESET: Final = pack("ii", 1, 0)  # struct linger: on, for 0 s
_AFTERWARDS_MS: Final = 1_000
_GRACE_S: Final = 0.02  # to read what has come


class _Phase(Enum):
    READING = auto()
    ASKING = auto()  # whether who sent the request may come in
    WRITING = auto()
    IDLE = auto()
    STREAMING = auto()
    LEAVING = auto()


class Connection(asyncio.BufferedProtocol):
    """Owns one transport. Only the server's event loop calls it."""

    _transport: asyncio.Transport

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop, *, late: bool = False) -> None:
        """``late``: its request should have come before now."""
        self._desk = desk
        self._loop = loop
        self._late = late
        headers = () if desk.gate is None else desk.gate.headers
        self._wire = Wire(desk.limits.header_bytes, desk.limits.target_bytes, headers)
        self._phase = _Phase.READING
        self._unsent: Iterator[memoryview] = iter(())
        self._drained = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._pump: asyncio.Task[None] | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # "Drained" is then: the kernel has it all. asyncio's TLS pauses for good at 0.
        is_tls = transport.get_extra_info("sslcontext") is not None
        transport.set_write_buffer_limits(high=int(is_tls), low=0)
        self._drained.set()
        gate = self._desk.gate
        if gate is not None and not gate.may_connect(transport):
            transport.abort()
            return
        self._desk.stands(self, Standing.GREETING)
        self._expect(_GRACE_S if self._late else self._desk.limits.header_s)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._desk.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._phase in (_Phase.STREAMING, _Phase.LEAVING):
            return  # nothing it could say matters any more
        self._wire.receive(bytes(self._desk.buffer[:nbytes]))
        if self._phase is _Phase.IDLE:
            self._phase = _Phase.READING
            self._expect(self._desk.limits.header_s)
        if self._phase is _Phase.READING:
            self._read()

    def eof_received(self) -> bool:
        return self._phase in (
            _Phase.ASKING,
            _Phase.WRITING,
        )  # it may still be reading: finish, then close

    def pause_writing(self) -> None:
        self._drained.clear()
        if self._phase is _Phase.STREAMING:
            self._expect(self._desk.limits.write_s)
        elif self._phase is _Phase.WRITING:
            self._desk.stands(self, Standing.STALLED)

    def resume_writing(self) -> None:
        self._drained.set()
        if self._phase is _Phase.WRITING:
            self._desk.stands(self, Standing.BUSY)
            # Not at once: with TLS we are inside of `write`, called by `_write_on` itself.
            self._loop.call_soon(self._write_on)
        elif self._phase is _Phase.STREAMING:
            self._expect_nothing()

    def connection_lost(self, _error: Exception | None) -> None:
        self._expect_nothing()
        self._desk.dismiss(self)
        if self._pump is not None:
            self._pump.cancel()

    # What the desk calls

    def evict(self) -> None:
        """Ends the connection at once. With a reset, but for an answer that the kernel has whole:
        a slow reader has a second more for that, in which it is no business of ours."""
        if not self._transport.is_closing():
            sock: TransportSocket = self._transport.get_extra_info("socket")
            if self._phase is _Phase.IDLE:
                sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, _AFTERWARDS_MS)
            else:
                sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._transport.abort()

    # A request and its answer

    def _read(self) -> None:
        """Takes one request out of what has come, if it is whole."""
        request = self._wire.request()
        if isinstance(request, Refusal):
            self._refuse(request.status)
        elif request is not None:
            self._desk.stands(self, Standing.BUSY)
            self._phase = _Phase.WRITING
            self._transport.pause_reading()
            if self._desk.gate is None:
                self._answer(request)
            else:
                self._phase = _Phase.ASKING
                self._expect(self._desk.limits.login_s)
                self._desk.gate.ask(request, lambda refusal: self._asked(request, refusal))

    def _asked(self, request: Request, refusal: Response | None) -> None:
        """Who sent it may come in, or not; that may have taken a while."""
        if self._transport.is_closing():
            return
        self._phase = _Phase.WRITING
        if refusal is None:
            self._answer(request)
        else:
            self._respond(refusal)

    def _answer(self, request: Request) -> None:
        answer: Response | Stream = text("something went wrong here; see the log", 500)
        try:
            answer = self._desk.handle(request)
        finally:  # a bug goes on to the log, the client gets the 500
            if isinstance(answer, Response):
                self._respond(answer)
            elif self._desk.may_stream(brief=answer.brief):
                self._desk.stands(self, Standing.STREAMING)
                self._phase = _Phase.STREAMING
                self._transport.resume_reading()  # so that its end is seen
                self._expect_nothing()
                self._pump = self._loop.create_task(self._stream(answer))
            else:
                self._respond(text("too many streams are open", 503))

    def _respond(self, response: Response) -> None:
        head, body = self._wire.whole(response)
        self._unsent = _sliced(body)
        self._expect(self._desk.limits.write_s)
        self._transport.write(b"".join((head, next(self._unsent, b""))))
        self._write_on()

    def _write_on(self) -> None:
        """Gives the transport more as long as the kernel takes it; goes on when it has all."""
        if self._phase is not _Phase.WRITING:
            return
        while self._drained.is_set() and not self._transport.is_closing():
            part = next(self._unsent, None)
            if part is None:
                break
            self._transport.write(part)
        else:
            return
        if not self._wire.again():
            self._leave()
            return
        self._phase = _Phase.IDLE
        self._desk.stands(self, Standing.IDLE)
        self._expect(self._desk.limits.idle_s)
        # Not at once: whoever sends a thousand requests in one packet waits its turn for each.
        self._loop.call_soon(self._next)

    def _next(self) -> None:
        if self._transport.is_closing() or self._phase is not _Phase.IDLE:
            return
        self._transport.resume_reading()
        if self._wire.pending():
            self._phase = _Phase.READING
            self._expect(self._desk.limits.header_s)
            self._read()

    async def _stream(self, stream: Stream) -> None:
        """Sends piece after piece, each only once the one before is with the kernel."""
        kind = (("Content-Type", stream.content_type), ("Cache-Control", "no-store"))
        headers = (*kind, *stream.headers)
        try:
            async with aclosing(stream.chunks) as chunks:
                await self._send(self._wire.begin(HTTPStatus.OK, headers))
                async for chunk in chunks:
                    if self._wire.head_only:
                        break
                    await self._send(self._wire.chunk(chunk))
            await self._send(self._wire.end())
        finally:
            self._leave()

    async def _send(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)
        await self._drained.wait()

    # The end

    def _refuse(self, status: int) -> None:
        """Says what is wrong with the request and ends the connection."""
        head, body = self._wire.refusal(status)
        self._transport.write(b"".join((head, *body)))
        self._leave()

    def _leave(self) -> None:
        """Says goodbye and waits a moment for the client to hang up: closing with its bytes
        unread would reset the connection before it has read our answer."""
        self._phase = _Phase.LEAVING
        if self._transport.is_closing():
            return
        self._desk.stands(self, Standing.IDLE)
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._expect(self._desk.limits.linger_s)
        else:  # TLS says goodbye by itself, and waits for the answer
            self._transport.close()

    def _expect(self, seconds: float) -> None:
        """Something has to happen within so many seconds."""
        self._expect_nothing()
        self._timer = self._loop.call_later(seconds, self._too_late)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _too_late(self) -> None:
        if self._phase is _Phase.READING and self._wire.pending():
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._phase in (_Phase.READING, _Phase.IDLE):
            self._transport.close()
        else:
            self.evict()


def _sliced(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _SLICE):
            yield view[start : start + _SLICE]
