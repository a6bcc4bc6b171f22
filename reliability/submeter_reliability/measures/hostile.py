"""1,100 clients that mean no good, and a scrape beside them: how long it takes, what they cost."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from submeter_reliability.agents import Agent, pass_time, percentile, timed_ms, wait
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
_SCRAPES: Final = 1_000
_PAUSE_S: Final = 0.02
_PATIENCE_S: Final = 30.0


def measure() -> Mapping[str, float]:
    """An agent on a simulated node, the crowd in a process of its own, one scrape after another."""
    with tempfile.TemporaryDirectory() as directory:
        agent = Agent(Path(directory), "--backend", "mock")
        try:
            wait(agent.up, "the agent")
            with _crowd(agent.port) as clients:
                took_ms, failed, descriptors = _scrapes(agent)
        finally:
            agent.stop()
    return {
        "hostile_clients": clients,
        "hostile_scrape_p99_ms": percentile(took_ms, 99),
        "hostile_scrapes_failed": failed,
        "hostile_fds": descriptors,
    }


def _scrapes(agent: Agent) -> tuple[list[float], int, int]:
    """How long each took, how many failed, and the most descriptors that the agent had open."""
    took_ms: list[float] = []
    failed = most = 0

    def scrape() -> None:
        nonlocal failed
        failed += not agent.answers("/metrics")

    for _ in range(_SCRAPES):
        took_ms.append(timed_ms(scrape))
        most = max(most, len(list(Path(f"/proc/{agent.process.pid}/fd").iterdir())))
        pass_time(_PAUSE_S)
    return took_ms, failed, most


@contextmanager
def _crowd(port: int) -> Iterator[int]:
    """How many are there: each has been let in once, and comes back whenever it is thrown out."""
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
        told = crowd.stdout.readline()
        assert told, "the crowd ended before all had been there"
        yield int(told)
    finally:
        crowd.stdin.close()
        crowd.wait(_PATIENCE_S)
        crowd.stdout.close()
