"""1,100 clients that mean no good, and a scrape beside them: how long it takes, what they cost."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure(
        "hostile_clients", "silent, dribbling and slowly reading clients at once", at_least=1100
    ),
    Figure("hostile_scrape_p99_ms", "a well-meaning scrape beside them, at p99", at_most=100),
    Figure("hostile_scrapes_failed", "… that were not answered", at_most=0),
    Figure("hostile_fds", "the agent's open descriptors meanwhile", at_most=64),
)
MINUTES: Final = 1.0
_CROWD: Final = {"silent": 250, "half-handshaken": 250, "dribbling": 500, "reading-slowly": 100}
_SCRAPES: Final = 300
_PATIENCE_S: Final = 30.0


def measure() -> Mapping[str, float]:
    """An agent on a simulated node, the crowd in a process of its own, one scrape after another."""
    with tempfile.TemporaryDirectory() as state, _agent(state) as (agent, port), _crowd(port):
        took_s, failed, descriptors = _scrapes(agent, port)
    return {
        "hostile_clients": sum(_CROWD.values()),
        "hostile_scrape_p99_ms": sorted(took_s)[len(took_s) * 99 // 100 - 1] * 1e3,
        "hostile_scrapes_failed": failed,
        "hostile_fds": descriptors,
    }


def _scrapes(agent: int, port: int) -> tuple[list[float], int, int]:
    took_s: list[float] = []
    failed = most = 0
    for _ in range(_SCRAPES):
        began_s = time.perf_counter()
        try:
            _get(port, "/metrics")
        except (OSError, http.client.HTTPException):
            failed += 1
        took_s.append(time.perf_counter() - began_s)
        most = max(most, len(list(Path(f"/proc/{agent}/fd").iterdir())))
        time.sleep(0.02)
    return took_s, failed, most


@contextmanager
def _agent(state: str) -> Iterator[tuple[int, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "submeter", "run", "--backend", "mock", "--state-dir", state]
    agent = subprocess.Popen([*command, "--listen", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                _get(port, "/metrics")
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
            else:
                break
        yield agent.pid, port
    finally:
        agent.terminate()
        agent.wait(_PATIENCE_S)


@contextmanager
def _crowd(port: int) -> Iterator[None]:
    kinds = [f"{kind}={count}" for kind, count in _CROWD.items()]
    crowd = subprocess.Popen(
        [sys.executable, "-m", "submeter_reliability.hostile.crowd", str(port), *kinds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "reliability")},
    )
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    try:
        crowd.stdout.readline()  # all have been there once
        yield
    finally:
        crowd.stdin.close()
        crowd.wait(_PATIENCE_S)
        crowd.stdout.close()


def _get(port: int, path: str) -> bytes:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        client.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = client.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(str(answer.status))
        return answer.read()
    finally:
        client.close()
