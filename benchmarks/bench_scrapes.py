"""How late sampling gets while ten scrapes a second are answered: 16 GPUs × 200 workloads.

    python benchmarks/bench_scrapes.py              100 Hz, 20 s without and 20 s with scrapes
    python benchmarks/bench_scrapes.py --rate 10

The scraper is a process of its own, keeps its connection and asks for the text without gzip.
Needs a C compiler.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench_sampling import machine
from cost_runs import Bench, Node, Sleepers, free_port, lateness, quantile, wait_until_ready

BOUND_MS: Final = 5.0
SCRAPES_PER_S: Final = 10
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
            p99_ms = _measure(bench, node, arguments)
    grown_ms = p99_ms[1] - p99_ms[0]
    verdict = "kept" if grown_ms <= BOUND_MS else "OVER"
    print(f"p99 lateness grows by {grown_ms:.2f} ms, bound {BOUND_MS:g}: {verdict}")
    return 0


def _measure(bench: Bench, node: Node, arguments: argparse.Namespace) -> list[float]:
    """The p99 lateness without and with scrapes, in ms."""
    port, log = free_port(), bench.folder / "agent.log"
    command = [
        *(sys.executable, "-m", "submeter", "run", "--state-dir", str(bench.folder / "state")),
        *("--listen", f"127.0.0.1:{port}", "--set", f"sampling.rate_hz={arguments.rate:g}"),
        *(word for each in arguments.set for word in ("--set", each)),
    ]
    found = []
    with log.open("wb") as stderr:
        agent = subprocess.Popen(command, env=node.environment, stdout=stderr, stderr=stderr)
    try:
        wait_until_ready(port, log)
        time.sleep(12)  # until every GPU's processes are listed
        for scraped in (False, True):
            before = lateness(port)
            if scraped:
                words = [str(port), f"{arguments.seconds:g}", str(SCRAPES_PER_S)]
                scraper = [sys.executable, "-c", _SCRAPER, *words]
                done = subprocess.run(scraper, capture_output=True, text=True, check=True)
                count, size, p50, p99 = map(float, done.stdout.split())
                print(f"{count:.0f} scrapes of {size / 1e6:.2f} MB: {p50:.1f} ms, p99 {p99:.1f} ms")
            else:
                time.sleep(arguments.seconds)
            late = [now - then for now, then in zip(lateness(port), before, strict=True)]
            found.append(quantile(late, 0.99))
            what = f"with {SCRAPES_PER_S} scrapes a second" if scraped else "without scrapes"
            print(f"{what}: lateness p50 {quantile(late, 0.5):.2f} ms, p99 {found[-1]:.2f} ms")
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=10)
    return found


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
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
