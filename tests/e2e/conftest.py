"""Real parts for end-to-end tests: the installed command, a real Prometheus, free ports."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 30.0


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A loopback port that nobody listens on now."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """Polls until a function gives something true; fails with what it said last."""

    def wait(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        deadline = time.monotonic() + patience_s
        last: object = None
        while time.monotonic() < deadline:
            try:
                last = condition()
            except (OSError, urllib.error.URLError, ValueError) as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {patience_s} s; last: {last!r}")

    return wait


@dataclass
class Process:
    """A started program and where it listens."""

    popen: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str, accept: str = "") -> str:
        request = urllib.request.Request(
            self.url + path, headers={"Accept": accept} if accept else {}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            body: bytes = response.read()
            return body.decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(timeout=15)


@pytest.fixture
def agent(
    tmp_path: Path, free_port: Callable[[], int], wait_for: Callable[..., Any]
) -> Iterator[Callable[..., Process]]:
    """Starts `submeter run …` as a user would and waits until it answers."""
    started: list[Process] = []

    def start(
        *arguments: str,
        env: dict[str, str] | None = None,
        port: int = 0,
        healthy: Callable[[str], bool] | None = None,
    ) -> Process:
        port = port or free_port()
        log = tmp_path / f"agent-{len(started)}.log"
        command = [
            *(sys.executable, "-m", "submeter", "run"),
            *("--listen", f"127.0.0.1:{port}", "--state-dir", str(tmp_path / "state"), *arguments),
        ]
        with log.open("wb") as stderr:
            popen = subprocess.Popen(
                command, stdout=stderr, stderr=stderr, env={**os.environ, **(env or {})}
            )
        process = Process(popen, f"http://127.0.0.1:{port}", log)
        started.append(process)

        def answers() -> bool:
            assert popen.poll() is None, log.read_text()
            return bool((healthy or process.get)(process.url if healthy else "/-/healthy"))

        wait_for(answers, f"agent on {process.url}")
        return process

    yield start
    for process in started:
        try:
            process.stop()
        except subprocess.TimeoutExpired:
            process.popen.kill()
            raise AssertionError(f"did not end on SIGTERM: {process.log.read_text()}") from None


@dataclass
class Prometheus:
    """A real server with its data directory; can be restarted on the same data."""

    start: Callable[[], Process]
    process: Process

    def query(self, expression: str) -> list[dict[str, Any]]:
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        answer = json.loads(self.process.get(path))
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def restart(self) -> None:
        self.process.stop()
        self.process = self.start()


@pytest.fixture
def prometheus(
    tmp_path: Path, free_port: Callable[[], int], wait_for: Callable[..., Any]
) -> Iterator[Callable[..., Prometheus]]:
    """Starts the Debian package's `prometheus` on loopback, scraping one target each 0.5 s.

    ``rules`` is a pattern of rule files that it loads.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have the Debian package `prometheus`")
        pytest.skip("no `prometheus` here; apt-get install prometheus")
    running: list[Prometheus] = []

    def launch(target: str, rules: str = "") -> Prometheus:
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\n"
            f"rule_files: ['{rules}']\n"
            "scrape_configs:\n"
            f"- {{job_name: submeter, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
        port = free_port()

        def start() -> Process:
            log = tmp_path / "prometheus.log"
            with log.open("ab") as output:
                popen = subprocess.Popen(
                    [
                        binary,
                        f"--config.file={config}",
                        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                        f"--web.listen-address=127.0.0.1:{port}",
                    ],
                    stdout=output,
                    stderr=output,
                )
            process = Process(popen, f"http://127.0.0.1:{port}", log)
            wait_for(lambda: process.get("/-/ready"), "Prometheus")
            return process

        server = Prometheus(start, start())
        running.append(server)
        return server

    yield launch
    for server in running:
        server.process.stop()
