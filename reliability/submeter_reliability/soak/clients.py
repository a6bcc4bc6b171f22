"""An agent's address in; everybody who talks to an agent on a busy day, well behaved or not.

Each kind of client is one thread that goes on until told to stop, and counts what it did.
"""

import http.client
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from submeter.client.protocol import frame

_PATIENCE_S: Final = 30.0
_ACCEPT: Final = (
    "",
    "application/openmetrics-text; version=1.0.0",
    "text/plain; version=0.0.4; q=0.5, */*; q=0.1",
)
_PAGES: Final = ("/", "/api/v1/snapshot", "/-/healthy", "/-/ready")
_FOLDED: Final = re.compile(r"^submeter_folded_series [1-9]", re.MULTILINE)
_TOTAL: Final = "submeter_gpu_energy_joules_total{"
_PARTS: Final = ("submeter_energy_joules_total{", "submeter_attribution_energy_joules_total{")


@dataclass(slots=True)
class Crowd:
    """Owns the clients' threads."""

    port: int
    socket_path: Path
    pids: Callable[[], list[int]]  # who may be labelled now
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # sums that were not equal
    last: dict[str, Decimal] = field(default_factory=dict)  # totals by GPU of the last scrape
    full: bool = False  # the cap on series was reached: some are published as a rest
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Lets all of them in."""
        kinds = (self._scrape, self._look, self._follow, self._follow, self._read_slowly)
        for number, kind in enumerate((*kinds, self._leave_rudely, self._label, self._wait_idly)):
            thread = threading.Thread(target=self._repeat, args=(kind, self.seed + number))
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Waits until all have left."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S * 2)

    def _repeat(self, kind: Callable[[random.Random], None], seed: int) -> None:
        dice = random.Random(seed)
        name = kind.__name__.strip("_")
        while not self._stop.is_set():
            try:
                kind(dice)
                self.counts[name] += 1
            except (OSError, http.client.HTTPException):
                self.counts[f"{name}: cut off"] += 1
                self._stop.wait(1)

    def _scrape(self, dice: random.Random) -> None:
        """A Prometheus: each second; whether every sum is exact is looked at each time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            connection.request("GET", "/metrics", headers={"Accept": dice.choice(_ACCEPT)})
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        self.full = self.full or _FOLDED.search(text) is not None
        self.last, wrong = check_sums(text)
        self.wrong += wrong
        self._stop.wait(1)

    def _look(self, dice: random.Random) -> None:
        """Somebody with a browser."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            for page in _PAGES:
                connection.request("GET", page)
                connection.getresponse().read()
        finally:
            connection.close()
        self._stop.wait(dice.uniform(1, 5))

    def _follow(self, dice: random.Random) -> None:
        """A live page that is open for a while."""
        with self._opened("/events") as follower:
            follower.settimeout(2)
            for _ in range(dice.randrange(50, 500)):
                if self._stop.is_set():
                    return
                with suppress(TimeoutError):
                    if not follower.recv(65_536):
                        return

    def _read_slowly(self, dice: random.Random) -> None:
        """A follower behind a bad line."""
        with self._opened("/events", receive_buffer=4096) as follower:
            for _ in range(dice.randrange(10, 60)):
                if self._stop.wait(1):
                    return
                follower.settimeout(2)
                with suppress(TimeoutError):
                    follower.recv(64)

    def _leave_rudely(self, dice: random.Random) -> None:
        """Resets the connection in the middle of the answer."""
        with self._opened(dice.choice(("/metrics", "/events", "/"))) as client:
            client.recv(16)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stop.wait(dice.uniform(0, 1))

    def _wait_idly(self, dice: random.Random) -> None:
        """Connects and says nothing."""
        with socket.create_connection(("127.0.0.1", self.port), _PATIENCE_S):
            self._stop.wait(dice.uniform(0, 8))

    def _label(self, dice: random.Random) -> None:
        """Jobs that say what they do, under names without end."""
        with socket.socket(socket.AF_UNIX) as job:
            job.settimeout(_PATIENCE_S)
            job.connect(str(self.socket_path))
            for _ in range(dice.randrange(1, 20)):
                pid = dice.choice(self.pids())
                said = {"workload": f"run-{dice.randrange(10**9)}", "pid": pid, "reply": True}
                job.sendall(frame(said))
                job.recv(4096)
                if self._stop.wait(0.5):
                    return

    def _opened(self, path: str, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(_PATIENCE_S)
        client.connect(("127.0.0.1", self.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client


def check_sums(text: str) -> tuple[dict[str, Decimal], list[str]]:
    """Each GPU's total in a scrape, and the GPUs whose parts don't add up to it exactly."""
    totals: dict[str, Decimal] = {}
    sums: dict[tuple[str, str], Decimal] = {}
    for line in text.splitlines():
        kind = next((kind for kind in (_TOTAL, *_PARTS) if line.startswith(kind)), None)
        if kind is None:
            continue
        labels, _, value = line.rpartition(" ")
        uuid = labels.partition('uuid="')[2].partition('"')[0]
        if kind == _TOTAL:
            totals[uuid] = Decimal(value)
        else:
            sums[kind, uuid] = sums.get((kind, uuid), Decimal(0)) + Decimal(value)
    wrong = [
        f"{uuid}: {kind} adds up to {total}, not to {totals.get(uuid)}"
        for (kind, uuid), total in sums.items()
        if totals.get(uuid) != total
    ]
    return totals, wrong
