"""A real server on loopback in a thread of its own, and plain sockets to treat it badly with."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from submeter.web.desk import Limits
from submeter.web.http import Routes
from submeter.web.server import Server

PATIENCE_S = 10.0


class Served:
    """A running server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or 0

    def connect(self) -> socket.socket:
        """A bare connection to it."""
        return socket.create_connection((self.host, self.port), timeout=PATIENCE_S)

    def say(self, data: bytes) -> bytes:
        """Everything it answers to these bytes, until it hangs up."""
        with self.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        """A well-behaved request."""
        client = HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            client.request(
                method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            response = client.getresponse()
            return response, response.read()
        finally:
            client.close()


def read_all(sock: socket.socket) -> bytes:
    received = bytearray()
    while data := sock.recv(65536):
        received += data
    return bytes(received)


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers; all of them are stopped at the end, and must stop."""
    with ExitStack() as stack:

        def start(routes: Routes, limits: Limits | None = None) -> Served:
            server = Server(routes, "127.0.0.1", 0, limits=limits)
            url = server.bind()
            thread = threading.Thread(target=server.run)
            thread.start()

            def end() -> None:
                server.stop()
                thread.join(PATIENCE_S)
                assert not thread.is_alive()

            stack.callback(end)
            return Served(url)

        yield start
