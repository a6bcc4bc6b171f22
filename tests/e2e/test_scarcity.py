"""The agent as installed where memory, descriptors or processor time hardly suffice, or too many
want something at once: it goes on, says what it could not do, and its joules stay exact."""

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from submeter.ledger.audit import audit
from submeter_reliability.agents import Agent, pass_time, wait
from submeter_reliability.soak.clients import check_sums

pytestmark = [pytest.mark.slow, pytest.mark.hostile]

BOARD = "gpu 0 uuid=GPU-0 idle_mw=0"
SCRAPES = 500
MIB = 2**20


@pytest.fixture
def memory_limit(tmp_path: Path) -> Iterator[Path]:
    """A memory cgroup of 96 MiB: the file that processes are named in to live in it."""
    name = f"submeter-test-{os.getpid()}"
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / name
        with suppress(OSError):
            group.mkdir()
        if not (group / limit).exists():
            with suppress(OSError):
                group.rmdir()
            continue
        try:
            (group / limit).write_text(str(96 * MIB))
            yield group / "cgroup.procs"
        finally:
            _remove(group)
        return
    pytest.skip("no memory cgroup can be made here: that needs root, and the controller")


@pytest.mark.fault("F90")
def test_500_scrapes_at_once_in_96_mib(memory_limit: Path, tmp_path: Path) -> None:
    agent = Agent(tmp_path, "--backend", "mock")
    memory_limit.write_text(str(agent.process.pid))
    try:
        wait(lambda: agent.up() and agent.joules(), "joules")
        with ThreadPoolExecutor(100) as pool:
            texts = list(pool.map(lambda _: _scrape(agent.port), range(SCRAPES)))
        assert [wrong for text in texts for wrong in check_sums(text)[1]] == []
        assert all(check_sums(text)[0] for text in texts), "each was answered with totals"
        assert agent.process.poll() is None, "the kernel did not kill it for its memory"
        agent.stop()
        assert agent.process.returncode == 0
    finally:
        agent.kill()
    assert not audit(tmp_path / "state").problem


@pytest.mark.fault("F91")
def test_64_descriptors_and_200_clients(standin: Any, tmp_path: Path) -> None:
    standin.write(BOARD)
    agent = Agent(tmp_path, env=standin.env)
    _limit_files(agent.process.pid, 64)
    try:
        wait(lambda: agent.up() and agent.joules(), "the GPU")
        load = _load(standin, seconds=4)
        with ExitStack() as stack:
            for number in range(200):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", agent.port)))
                with suppress(OSError):
                    client.sendall(b"GET /metrics HTTP/1.1\r\nX: "[: number % 26])
                if number % 20 == 0:
                    assert check_sums(_scrape(agent.port))[1] == []
            wait(lambda: standin.now() > load, "the end of the load")
            wait(lambda: _joules(agent) == Decimal(1_200), "exactly 1200 J beside 200 clients")
        assert len(list(Path(f"/proc/{agent.process.pid}/fd").iterdir())) <= 64
        _ends_with(agent, tmp_path, 1_200_000_000)
    finally:
        agent.kill()


@pytest.mark.fault("F94")
def test_hardly_any_processor_time(standin: Any, tmp_path: Path) -> None:
    """It is stopped for 0.45 s of each half second while the GPU works."""
    standin.write(BOARD)
    agent = Agent(tmp_path, env=standin.env)
    try:
        wait(lambda: agent.up() and agent.joules(), "the GPU")
        late_before = _late(agent)
        load = _load(standin, seconds=6)
        while standin.now() < load:
            agent.process.send_signal(signal.SIGSTOP)
            pass_time(0.45)
            agent.process.send_signal(signal.SIGCONT)
            pass_time(0.05)
        wait(lambda: _joules(agent) == Decimal(1_800), "exactly 1800 J")
        assert _late(agent) >= late_before + 5, "late ticks are counted"
        _ends_with(agent, tmp_path, 1_800_000_000)
    finally:
        agent.kill()


def _ends_with(agent: Agent, folder: Path, energy_uj: int) -> None:
    agent.stop()
    assert agent.process.returncode == 0
    found = audit(folder / "state")
    assert (found.problem, found.energy_uj) == ("", {"GPU-0": energy_uj})


def _remove(group: Path) -> None:
    wait(lambda: not (group / "cgroup.procs").read_text(), "an empty group")
    group.rmdir()


def _load(standin: Any, seconds: int) -> float:
    """300 W from the next second on for so long; when it will have ended."""
    start_s = int(standin.now()) + 2
    end_s = start_s + seconds
    standin.write([BOARD, f"load 0 constant mw=300000 from={start_s} to={end_s}"])
    return float(end_s)


def _joules(agent: Agent) -> Decimal | None:
    return Decimal(agent.joules()[0]) if agent.up() and agent.joules() else None


def _scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def _late(agent: Agent) -> int:
    """Ticks that were more than 0.1 s late, all GPUs together."""
    found = dict.fromkeys(("+Inf", "0.1"), 0)
    for line in agent.get("/metrics").decode().splitlines():
        if line.startswith("submeter_sample_lateness_seconds_bucket{"):
            bound = line.partition('le="')[2].partition('"')[0]
            if bound in found:
                found[bound] += int(float(line.rpartition(" ")[2]))
    return found["+Inf"] - found["0.1"]


def _limit_files(pid: int, most: int) -> None:
    subprocess.run(["prlimit", f"--nofile={most}:{most}", "--pid", str(pid)], check=True)
