"""A server that listens in one process and works in others, the installed agent: joules a token.

The server is a script called vllm whose engine, a process of its own, holds the GPU of the
stand-in library, as the real one's does; its page is as vLLM documents it.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parents[1] / "agent" / "throughput" / "pages"
SERVER = """
import http.server, subprocess, sys
workers = [subprocess.Popen([sys.executable, sys.argv[2], "--rank", str(n)]) for n in range(2)]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[3], "rb") as file:
            page = file.read()
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *_):
        pass

http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(*(worker.pid for worker in workers), flush=True)
http_server.serve_forever()
"""
WORKER = "import signal; signal.pause()"
TRAINER = """
import sys, submeter
for _ in sys.stdin:
    with submeter.measure("step", units={"tokens": 500, "steps": 1}):
        pass
    print("done", flush=True)
"""
LINE = re.compile(r"(\w+)\{(.*)\} (\S+)")


@pytest.fixture
def vllm(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], list[int]]]]:
    """Starts the server; itself and the processes that hold GPUs."""
    started: list[tuple[subprocess.Popen[str], list[int]]] = []
    (tmp_path / "vllm").write_text(SERVER)
    (tmp_path / "worker.py").write_text(WORKER)

    def start() -> tuple[subprocess.Popen[str], list[int]]:
        server = subprocess.Popen(
            [
                *(sys.executable, str(tmp_path / "vllm"), "serve", str(tmp_path / "worker.py")),
                str(tmp_path / "page.prom"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        workers = [int(pid) for pid in server.stdout.readline().split()]
        started.append((server, workers))
        return started[-1]

    yield start
    for server, workers in started:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        server.kill()
        server.communicate()


def figures(text: str, name: str) -> dict[tuple[str, str, str], Decimal]:
    """The samples of a metric by phase, workload and kind or unit."""
    found: dict[tuple[str, str, str], Decimal] = {}
    for metric, labels, value in LINE.findall(text):
        if metric == name:
            named: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            kind = named.get("kind", named.get("unit", ""))
            key = named["phase"], named["workload"], kind
            found[key] = found.get(key, Decimal()) + Decimal(value)
    return found


def tokens(process: Any) -> dict[tuple[str, str, str], Decimal]:
    return figures(process.get("/metrics"), "submeter_tokens_total")


def test_joules_per_token_of_a_server_with_workers(
    agent: Callable[..., Any],
    standin: "Standin",
    vllm: Callable[[], tuple[subprocess.Popen[str], list[int]]],
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    board = ["gpu 0 arch=hopper", "load 0 constant mw=200000", "gpu 1 arch=hopper"]
    board.append("load 1 constant mw=300000")
    standin.write(board)
    start = ("--set", "throughput.interval_s=1")
    process = agent(*start, env=standin.env)
    page = PAGES.joinpath("vllm.prom").read_text()
    (tmp_path / "page.prom").write_text(page)
    _, (first, second) = vllm()
    standin.write([*board, f"process 0 pid={first} sm=40", f"process 1 pid={second} sm=40"])

    def generated(process: Any) -> Decimal | None:
        return tokens(process).get(("inference", "worker.py", "generation"))

    wait_for(lambda: generated(process) == 243_101, "the tokens since the server began")
    (tmp_path / "page.prom").write_text(page.replace("243101.0", "243201.0"))
    wait_for(lambda: generated(process) == 243_201, "a hundred more")
    text = process.get("/metrics")
    assert figures(text, "submeter_requests_total") == {("inference", "worker.py", ""): 1_118}
    used = figures(text, "submeter_energy_joules_total")["inference", "worker.py", ""]
    boards = sum(
        Decimal(value)
        for metric, labels, value in LINE.findall(text)
        if metric == "submeter_energy_joules_total" and 'workload="worker.py"' in labels
    )
    assert used == boards > 0  # of both workers: tensor-parallel ranks are one server

    (tmp_path / "page.prom").write_text("no page of metrics")
    wait_for(lambda: 'trouble="foreign"} 0' in process.get("/metrics"), "trouble that is seen")
    process.stop()
    (tmp_path / "page.prom").write_text(page.replace("243101.0", "250000.0"))
    again = agent(*start, env=standin.env)
    down = ("unattributed", "(agent down)", "generation")
    wait_for(lambda: tokens(again).get(down) == 250_000 - 243_201, "what was done meanwhile")
    assert generated(again) == 243_201
    again.stop()


def test_a_training_loop_counts_its_own_tokens(
    agent: Callable[..., Any], standin: "Standin", wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    board = ["gpu 0 arch=hopper", "load 0 constant mw=200000"]
    standin.write(board)
    process = agent(env=standin.env)
    script = tmp_path / "train.py"
    script.write_text(TRAINER)
    job = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "SUBMETER_SOCKET": str(tmp_path / "state/submeter.sock")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        standin.write([*board, f"process 0 pid={job.pid} sm=40"])
        assert job.stdin is not None
        assert job.stdout is not None
        for _ in range(3):
            job.stdin.write("step\n")
            job.stdin.flush()
            assert job.stdout.readline() == "done\n"
        wait_for(lambda: tokens(process) == {("training", "train.py", ""): 1_500}, "three steps")
        steps = figures(process.get("/metrics"), "submeter_work_units_total")
        assert steps == {("training", "train.py", "steps"): 3}
    finally:
        job.kill()
        job.communicate()
