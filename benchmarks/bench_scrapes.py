"""What scrapes of a whole agent cost, and how late sampling gets: 16 GPUs × 200 workloads.

    python benchmarks/bench_scrapes.py              100 Hz, 20 s without and 20 s with ten a second
    python benchmarks/bench_scrapes.py --rate 10
    python benchmarks/bench_scrapes.py --fresh 20   instead: what a moment costs that nobody has
                                                    asked for, 20 of them for each encoding

The scraper is a process of its own and keeps its connection; ten a second are asked for without
gzip. A fresh scrape's cost is the processor time of the thread that answers, from before the
request until after the last byte. Needs a C compiler.
"""

import argparse
import http.client
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from bench_sampling import machine
from cost_runs import Bench, Node, Sleepers, free_port, lateness, quantile, wait_until_ready

BOUND_MS: Final = 5.0
SCRAPES_PER_S: Final = 10
FRESH_CPU_MS: Final = 8.0
FRESH_P50_MS: Final = 10.0
MOMENT_S: Final = 1.13
"""Between two scrapes of different moments: `settle.interval_s`, and at another point of it each
time."""
_OPENMETRICS: Final = "application/openmetrics-text;version=1.0.0"
_ENCODINGS: Final = {
    "text": {},
    "text, gzip": {"Accept-Encoding": "gzip"},
    "OpenMetrics": {"Accept": _OPENMETRICS},
    "OpenMetrics, gzip": {"Accept": _OPENMETRICS, "Accept-Encoding": "gzip"},
}
_SCRAPER: Final = """
import http.client, sys, time
port, seconds, rate = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
began, took, size = time.monotonic(), [], 0
while (due := began + len(took) / rate) < began + seconds:
    time.sleep(max(0.0, due - time.monotonic()))
    asked = time.monotonic()
    connection.request("GET", "/metrics")
    size = len(connection.getresponse().read())
    took.append(time.monotonic() - asked)
took.sort()
print(len(took), size, 1000 * took[len(took) // 2], 1000 * took[len(took) * 99 // 100])
"""


def main() -> int:
    arguments = _arguments()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        with Sleepers(arguments.gpus * arguments.workloads, apart=True) as pids:
            node = bench.node(arguments.gpus, pids)
            with _agent(bench, node, arguments) as (pid, port):
                if arguments.fresh:
                    _fresh(pid, port, arguments.fresh)
                else:
                    _lateness(port, arguments.seconds)
    return 0


@contextmanager
def _agent(bench: Bench, node: Node, arguments: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """An agent that knows every GPU's processes: its process and its port."""
    port, log = free_port(), bench.folder / "agent.log"
    command = [
        *(sys.executable, "-m", "submeter", "run", "--state-dir", str(bench.folder / "state")),
        *("--listen", f"127.0.0.1:{port}", "--set", f"sampling.rate_hz={arguments.rate:g}"),
        *(word for each in arguments.set for word in ("--set", each)),
    ]
    with log.open("wb") as stderr:
        agent = subprocess.Popen(command, env=node.environment, stdout=stderr, stderr=stderr)
    try:
        wait_until_ready(port, log)
        time.sleep(12)  # until every GPU's processes are listed
        yield agent.pid, port
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=10)


def _lateness(port: int, seconds: float) -> None:
    """Prints lateness without and with scrapes."""
    p99_ms = []
    for scraped in (False, True):
        before = lateness(port)
        if scraped:
            words = [str(port), f"{seconds:g}", str(SCRAPES_PER_S)]
            scraper = [sys.executable, "-c", _SCRAPER, *words]
            done = subprocess.run(scraper, capture_output=True, text=True, check=True)
            count, size, p50, p99 = map(float, done.stdout.split())
            print(f"{count:.0f} scrapes of {size / 1e6:.2f} MB: {p50:.1f} ms, p99 {p99:.1f} ms")
        else:
            time.sleep(seconds)
        late = [now - then for now, then in zip(lateness(port), before, strict=True)]
        p99_ms.append(quantile(late, 0.99))
        what = f"with {SCRAPES_PER_S} scrapes a second" if scraped else "without scrapes"
        print(f"{what}: lateness p50 {quantile(late, 0.5):.2f} ms, p99 {p99_ms[-1]:.2f} ms")
    grown_ms = p99_ms[1] - p99_ms[0]
    verdict = "kept" if grown_ms <= BOUND_MS else "OVER"
    print(f"p99 lateness grows by {grown_ms:.2f} ms, bound {BOUND_MS:g}: {verdict}")


def _fresh(pid: int, port: int, count: int) -> None:
    """Prints what scrapes of moments cost that nobody has asked for before. The encodings by turns,
    so that all of them meet the same agent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    clock = _answering(pid, connection)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in _ENCODINGS}
    sizes = {}
    series = 0
    for number in range(len(_ENCODINGS) * (count + 1)):
        time.sleep(MOMENT_S)
        name = tuple(_ENCODINGS)[number % len(_ENCODINGS)]
        used_ns, asked_ns = _run_ns(clock), time.monotonic_ns()
        connection.request("GET", "/metrics", headers=_ENCODINGS[name])
        body = connection.getresponse().read()
        whole_ns = time.monotonic_ns() - asked_ns
        time.sleep(0.02)  # until what comes after the last byte is done, too
        if number >= len(_ENCODINGS):  # the first of each makes what later ones have
            took[name].append((1e-6 * (_run_ns(clock) - used_ns), 1e-6 * whole_ns))
        sizes[name] = len(body)
        text = zlib.decompress(body, 31) if "gzip" in name else body
        series = sum(not line.startswith(b"#") for line in text.splitlines())
    print(f"{series} series, {count} moments each; bounds: {FRESH_CPU_MS:g} ms of processor time,")
    print(f"{FRESH_P50_MS:g} ms in all\n")
    for name, found in took.items():
        cpu, whole = zip(*found, strict=True)
        kept = median(cpu) <= FRESH_CPU_MS and median(whole) <= FRESH_P50_MS
        print(
            f"{name:18}{sizes[name] / 1e6:5.2f} MB  CPU {median(cpu):5.2f} ms (best"
            f" {min(cpu):5.2f})  whole {median(whole):5.2f} ms (best {min(whole):5.2f},"
            f" worst {max(whole):6.2f})  {'kept' if kept else 'OVER'}"
        )


def _answering(pid: int, connection: http.client.HTTPConnection) -> Path:
    """The account of the thread that answers: it is the one that works all the time while one
    request comes after the other, for longer than a settlement takes."""
    clocks = [place / "schedstat" for place in Path(f"/proc/{pid}/task").iterdir()]
    before = {clock: _run_ns(clock) for clock in clocks}
    until_s = time.monotonic() + 3 * MOMENT_S
    while time.monotonic() < until_s:
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
    return max(clocks, key=lambda clock: _run_ns(clock) - before[clock])


def _run_ns(clock: Path) -> int:
    return int(clock.read_text().split()[0])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=16, help="(16)")
    parser.add_argument(
        "--workloads", type=int, default=200, help="on each GPU, each a process of its own (200)"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="Hz (100)")
    parser.add_argument("--seconds", type=float, default=20.0, help="each half (20)")
    parser.add_argument("--fresh", type=int, default=0, metavar="N", help="moments an encoding (0)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
