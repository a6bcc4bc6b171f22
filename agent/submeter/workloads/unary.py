"""A gRPC method on a Unix socket in, the bytes of its answer out: one call, one connection.

Only what a call without arguments needs of HTTP/2 (RFC 9113), HPACK (RFC 7541) and gRPC
(grpc.github.io, PROTOCOL-HTTP2): grpcio would cost 21 MB and nine threads. Answers are read, their
headers are not: a call that failed has no message.
"""

import socket
import struct
from typing import Final

from submeter.errors import ReadFailed

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_STREAM: Final = 1
_FRAME_HEADER: Final = 9
_LARGEST_FRAME: Final = 16_384
_MOST_BYTES: Final = 16 * 1024 * 1024
_WINDOW_BYTES: Final = 2**30
_MOST_FRAMES: Final = 10_000
_INITIAL_WINDOW_SIZE: Final = 4
_MESSAGE_HEADER: Final = 5


def call(path: str, method: str, timeout_s: float) -> bytes:
    """Calls ``/package.Service/Method`` with an empty message. Raises ReadFailed, OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(path)
        connection.sendall(_request(method))
        return _message(_answer(connection))


def _request(method: str) -> bytes:
    settings = struct.pack("!HI", _INITIAL_WINDOW_SIZE, _WINDOW_BYTES)
    headers = b"\x83\x86" + b"".join(  # :method POST, :scheme http: static table, 3 and 6
        (
            _named(4, method),  # :path
            _named(1, "localhost"),  # :authority
            _literal("te", "trailers"),
            _named(31, "application/grpc"),  # content-type
            _named(58, "submeter"),  # user-agent
        )
    )
    empty_message = b"\0" * _MESSAGE_HEADER
    return b"".join(
        (
            _PREFACE,
            _frame(_SETTINGS, 0, 0, settings),
            _frame(_WINDOW, 0, 0, struct.pack("!I", _WINDOW_BYTES)),
            _frame(_HEADERS, _END_HEADERS, _STREAM, headers),
            _frame(_DATA, _END_STREAM, _STREAM, empty_message),
        )
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _named(index: int, value: str) -> bytes:
    """A literal field without indexing, its name from HPACK's static table."""
    first = bytes([index]) if index < 15 else bytes([15, index - 15])
    return first + _string(value)


def _literal(name: str, value: str) -> bytes:
    return b"\0" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) > 126:
        raise ReadFailed(f"a header of {len(data)} bytes")
    return bytes([len(data)]) + data


def _answer(connection: socket.socket) -> bytes:
    """All DATA of our stream."""
    data = b""
    for _ in range(_MOST_FRAMES):
        head = _exactly(connection, _FRAME_HEADER)
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack("!BBI", head[3:])
        if length > _LARGEST_FRAME:
            raise ReadFailed("no HTTP/2 frame is that large")
        payload = _exactly(connection, length)
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind in {_RST, _GOAWAY}:
            raise ReadFailed("the call was refused")
        elif kind == _DATA and stream == _STREAM:
            data += _unpadded(payload) if flags & _PADDED else payload
            if len(data) > _MOST_BYTES:
                raise ReadFailed("an answer of more than 16 MiB")
        if kind in {_DATA, _HEADERS} and stream == _STREAM and flags & _END_STREAM:
            return data
    raise ReadFailed("an answer without end")


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise ReadFailed("padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ReadFailed("the connection ended early")
        data += more
    return data


def _message(data: bytes) -> bytes:
    """The one message of a gRPC stream."""
    if len(data) < _MESSAGE_HEADER:
        raise ReadFailed("the call failed: no message")
    compressed, length = struct.unpack("!BI", data[:_MESSAGE_HEADER])
    message = data[_MESSAGE_HEADER:]
    if compressed or length != len(message):
        raise ReadFailed("not one plain message")
    return message
