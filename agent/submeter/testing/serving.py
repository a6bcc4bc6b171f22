"""A page in, a server on loopback that gives it to whoever asks out; or does worse."""

import socket
import threading
from collections.abc import Callable

Handler = Callable[[socket.socket], None]


class PageServer:
    """Listens on a port of its own and does with every connection what `handler` does."""

    def __init__(self) -> None:
        self.page = b""
        self.asked: list[bytes] = []
        self.handler: Handler = self.serve
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def serve(self, connection: socket.socket) -> None:
        """The page, as uvicorn and the like send it."""
        self.asked.append(connection.recv(65_536))
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(self.page)}\r\n\r\n"
        connection.sendall(head.encode() + self.page)

    def sends(self, data: bytes) -> None:
        """From now on just that."""

        def handler(connection: socket.socket) -> None:
            connection.recv(65_536)
            connection.sendall(data)

        self.handler = handler

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(5)

    def _main(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                try:
                    self.handler(connection)
                except OSError:
                    continue
