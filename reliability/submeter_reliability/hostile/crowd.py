"""A port and how many of each kind in; hostile clients that come back whenever they are thrown out.

    python -m submeter_reliability.hostile.crowd 10046 silent=500 dribbling=500 reading-slowly=100

Each writes down what it is by its name. A process of its own, so that it takes no time from the
client that is measured. Says how many they are when all have been connected once; ends with its
input.
"""

import errno
import heapq
import os
import random
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Final

_AGAIN_S: Final = (0.3, 1.0)  # between being thrown out and coming back
_DRIBBLE_S: Final = 1.0
_SMALL_BUFFER: Final = 4096
_HALF_HELLO: Final = bytes.fromhex("160301020001000001fc0303") + bytes(32)
FIRST_WORDS: Final = {
    # What each kind says first; who dribbles goes on with a byte a second.
    "silent": b"",
    "half-handshaken": _HALF_HELLO,
    "dribbling": b"GET /metrics HTTP/1.1\r\nX-Slow: ",
    "reading-slowly": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 8,
    "following": b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
}


@dataclass(slots=True)
class Client:
    """One of the crowd."""

    kind: str
    sock: socket.socket | None = None
    been_in: bool = False
    back_s: float = 0.0


@dataclass(slots=True)
class Crowd:
    """Owns all connections; one thread."""

    port: int
    clients: list[Client]
    _poll: select.epoll = field(default_factory=select.epoll)
    _inside: dict[int, Client] = field(default_factory=dict)
    _due: list[tuple[float, int]] = field(default_factory=list)
    _dice: random.Random = field(default_factory=lambda: random.Random(1))

    def run(self) -> None:
        """Until the standard input ends."""
        stdin = sys.stdin.fileno()
        self._poll.register(stdin, select.EPOLLIN | select.EPOLLHUP)
        self._due = [(0.0, number) for number in range(len(self.clients))]
        told = False
        while True:
            for descriptor, events in self._poll.poll(0.05):
                if descriptor == stdin:
                    return
                self._hear(self._inside[descriptor], events)
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                self._act(heapq.heappop(self._due)[1], now_s)
            if not told and all(client.been_in for client in self.clients):
                told = True
                print(len(self.clients), flush=True)

    def _act(self, number: int, now_s: float) -> None:
        client = self.clients[number]
        if client.sock is None and now_s < client.back_s:
            heapq.heappush(self._due, (client.back_s, number))
            return
        if client.sock is None:
            self._connect(client)
            heapq.heappush(self._due, (now_s + _DRIBBLE_S, number))
            return
        if client.kind == "dribbling":
            self._say(client, b"x")
        heapq.heappush(self._due, (now_s + _DRIBBLE_S * self._dice.random(), number))

    def _connect(self, client: Client) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        if client.kind in {"reading-slowly", "following"}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        if sock.connect_ex(("127.0.0.1", self.port)) not in {0, errno.EINPROGRESS}:
            sock.close()
            return
        client.sock = sock
        self._inside[sock.fileno()] = client
        self._poll.register(sock.fileno(), select.EPOLLOUT | select.EPOLLRDHUP)

    def _hear(self, client: Client, events: int) -> None:
        if client.sock is None:
            return
        if events & (select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP):
            self._leave(client)
        elif events & select.EPOLLOUT:
            client.been_in = True
            self._poll.modify(client.sock.fileno(), select.EPOLLRDHUP)
            self._say(client, FIRST_WORDS[client.kind])

    def _say(self, client: Client, words: bytes) -> None:
        assert client.sock is not None
        try:
            client.sock.send(words)
        except OSError:
            self._leave(client)

    def _leave(self, client: Client) -> None:
        if client.sock is not None:
            self._poll.unregister(client.sock.fileno())
            del self._inside[client.sock.fileno()]
            client.sock.close()
            client.sock = None
            client.back_s = time.monotonic() + self._dice.uniform(*_AGAIN_S)


def main() -> None:
    """The command line."""
    port, *kinds = sys.argv[1:]
    counts = [each.split("=") for each in kinds]
    clients = [Client(kind) for kind, count in counts for _ in range(int(count))]
    random.Random(1).shuffle(clients)
    if hasattr(os, "nice"):
        os.nice(5)
    Crowd(int(port), clients).run()


if __name__ == "__main__":
    main()
