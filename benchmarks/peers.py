"""Other tools that poll NVML in, what each costs on the same node out.

Each is installed from PyPI, at the version that the figures in README.md are of, into a virtual
environment of its own under .cache, and runs as a process of its own that is measured from outside.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cost_runs import HERE, WARM_UP_S, Node, Result, watch

CACHE: Final = HERE / ".cache"
_PATIENCE_S: Final = 90.0
_ATTEMPTS: Final = 3  # Zeus gives its processes 10 s to start, which a busy machine may need


@dataclass(frozen=True)
class Peer:
    """A tool: what to install, how it is run, and which of its settings gives the rate."""

    title: str
    requirement: str
    script: str
    how: str


PEERS: Final = (
    Peer(
        "Zeus PowerMonitor",
        "zeus==0.16.0",
        "zeus_monitor.py",
        "PowerMonitor(update_period=1/rate), all domains, its timelines fetched once a second",
    ),
    Peer(
        "nvitop-exporter",
        "nvitop-exporter==1.7.2",
        "nvitop_exporter_loop.py",
        "PrometheusExporter(interval=1/rate).collect(); its command line refuses less than 0.25 s, "
        "and the PCIe throughput of a GPU, which each round asks for, blocks 2 × 20 ms by NVML's "
        "design, so that 8 GPUs are read 3 times a second at most",
    ),
    Peer(
        "codecarbon",
        "codecarbon==3.3.2",
        "codecarbon_tracker.py",
        "OfflineEmissionsTracker(measure_power_secs=1/rate), nothing written; "
        "it measures CPU and RAM as well",
    ),
)


def run_peer(peer: Peer, node: Node, rate_hz: float, seconds: float) -> Result:
    """Starts the tool on the node, waits until it polls, and measures it."""
    python = _installed(peer)
    command = [str(python), str(HERE / "peer_loops" / peer.script), f"{rate_hz:g}"]
    for _ in range(_ATTEMPTS):
        with _started(command, node.environment) as process:
            said = _wait_until_ready(process)
            if said is None:
                time.sleep(WARM_UP_S)
                return watch(_title(peer), node, rate_hz, seconds, process.pid)
    raise SystemExit(f"{peer.title} does not start: {said!r}")


def _title(peer: Peer) -> str:
    return f"{peer.title} {peer.requirement.rpartition('=')[2]}"


def _installed(peer: Peer) -> Path:
    """The Python that has the tool; installs it at the first time."""
    home = CACHE / peer.requirement.replace("==", "-")
    python, done = home / "bin" / "python", home / ".installed"
    if not done.exists():
        print(f"installing {peer.requirement} into {home}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, peer.requirement], check=True)
        done.touch()
    return python


@contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()  # each of them ends when its input does
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes]) -> bytes | None:
    """None once it polls; what it has said where it ended or took too long."""
    assert process.stdout is not None
    said, deadline = b"", time.monotonic() + _PATIENCE_S
    while b"ready\n" not in said:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
            return said
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            return said
        said += chunk
    return None
