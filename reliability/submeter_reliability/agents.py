"""The agent as installed, in a process of its own, for measures that look at it from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_PATIENCE_S: Final = 60.0
_GIVE_UP_S: Final = 30.0


class Agent:
    """`submeter run` on a port and a state directory of its own. `stop` or `kill` it."""

    def __init__(
        self, directory: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = directory / "agent.log"
        self.port = free_port()
        command = [
            *(sys.executable, "-m", "submeter", "run", "--listen", f"127.0.0.1:{self.port}"),
            *("--state-dir", str(directory / "state"), *arguments),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )

    def get(self, path: str) -> bytes:
        """What it answers, whatever the status. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        """Whether this is answered well, and whole."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            return bool(answer.read()) and answer.status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def up(self) -> bool:
        """Whether it answers at all."""
        try:
            return bool(self.get("/-/healthy"))
        except OSError:
            return False

    def joules(self) -> dict[int, str]:
        """Each GPU's joules by its index, exact, as text; empty before the first snapshot."""
        try:
            snapshot: dict[str, Any] = json.loads(self.get("/api/v1/snapshot"))
        except ValueError:
            return {}
        return {gpu["gpu"]: gpu["joules"] for gpu in snapshot["gpus"]}

    def stop(self) -> float:
        """SIGTERM: how many seconds it took to end. A minute is given; then it is killed."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_GIVE_UP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        """SIGKILL, where it still runs."""
        self.process.kill()
        self.process.wait()


def wait(condition: Callable[[], object], what: str, patience_s: float = _PATIENCE_S) -> None:
    """Until it holds. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience_s} s")
        time.sleep(0.02)


def pass_time(seconds: float) -> None:
    """Lets real time pass: what is measured is what happens meanwhile."""
    time.sleep(max(0.0, seconds))


def timed_ms(call: Callable[[], object]) -> float:
    """How long it took, in milliseconds."""
    started = time.monotonic()
    call()
    return (time.monotonic() - started) * 1e3


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that this many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
