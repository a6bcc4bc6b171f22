"""What metering costs: the agent, a bare C loop and other tools on the same stand-in NVML.

    python benchmarks/bench_sampling.py                          8 GPUs at 10 and 100 Hz
    python benchmarks/bench_sampling.py --processes 200          with 200 processes on them
    python benchmarks/bench_sampling.py --processes 8 --peers    beside Zeus, nvitop, codecarbon
    python benchmarks/bench_sampling.py --plot benchmarks/cost.svg   from 1 to 64 GPUs

Everything is measured several times, in turn, and the median printed; starting and warming up
don't count. Needs a C compiler; README.md has the last results and what they mean.
"""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from cost_plot import draw
from cost_runs import Bench, Node, Result, Sleepers, middle
from peers import PEERS, run_peer

SWEEP: Final = "1,2,4,8,16,32,64"
COLUMNS: Final = (
    *("", "GPUs", "Hz", "reads/s", "CPU %", "per GPU %", "× C loop"),
    *("late p50 ms", "p99 ms", "MiB", "NVML calls/s", "others %"),
)
BOUNDS: Final[tuple[tuple[str, float, float, Callable[[Result, float], float | None]], ...]] = (
    ("CPU % with 8 GPUs at 10 Hz", 10, 0.5, lambda result, _: result.cpu_percent),
    ("CPU % with 8 GPUs at 100 Hz", 100, 3.0, lambda result, _: result.cpu_percent),
    ("times the C loop's CPU at 100 Hz", 100, 4.0, lambda _, ratio: ratio),
    ("resident MiB at 100 Hz", 100, 40.0, lambda result, _: result.resident_mib),
    ("p99 lateness in ms at 10 Hz", 10, 2.0, lambda result, _: result.late_p99_ms),
    ("p99 lateness in ms at 100 Hz", 100, 2.0, lambda result, _: result.late_p99_ms),
)
"""What, at which rate, at most how much, taken from the agent's result and its ratio."""


def main() -> int:
    arguments = _arguments()
    print(f"{machine()}; {arguments.repeats} × {arguments.seconds:g} s each, the median\n")
    print("| " + " | ".join(COLUMNS) + " |\n|---" + "|---:" * (len(COLUMNS) - 1) + "|")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for gpus in arguments.gpus:
            with Sleepers(arguments.processes) as pids:
                node = bench.node(gpus, pids)
                for rate_hz in arguments.rates:
                    results += _compare(bench, node, rate_hz, arguments)
    print()
    for line in verdicts(results):
        print(line)
    if arguments.peers:
        print("\n" + "\n".join(f"{peer.title}: {peer.how}." for peer in PEERS))
    if arguments.json:
        whole = {"machine": machine(), "results": [asdict(result) for result in results]}
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n")
    if arguments.plot:
        arguments.plot.write_text(draw(results, machine()))
    return 0


def machine() -> str:
    """What was measured on, and when, in one line."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    virtual = " (virtual)" if re.search(r"^flags.*\bhypervisor\b", info, re.MULTILINE) else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {model[1] if model else platform.machine()}"
        f"{virtual}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.2f}"
    )


def verdicts(results: Sequence[Result]) -> list[str]:
    """One line for each bound that these results can tell of."""
    lines = []
    for what, rate_hz, bound, value_of in BOUNDS:
        found = {r.what: r for r in results if (r.gpus, r.rate_hz) == (8, rate_hz)}
        if "agent" not in found:
            continue
        agent = found["agent"]
        value = value_of(agent, agent.cpu_percent / found["C loop"].cpu_percent)
        assert value is not None
        lines.append(
            f"{what}: {value:.3g}, bound {bound:g}: {'kept' if value <= bound else 'OVER'}"
        )
    return lines


def _compare(
    bench: Bench, node: Node, rate_hz: float, arguments: argparse.Namespace
) -> list[Result]:
    """All programs at one rate on one node; in turn, so that none has the quiet minute alone."""
    runs: list[Callable[[], Result]] = [
        partial(bench.run_loop, node, rate_hz, arguments.seconds),
        partial(bench.run_agent, node, rate_hz, arguments.seconds),
    ]
    if arguments.peers:
        runs += [partial(run_peer, peer, node, rate_hz, arguments.seconds) for peer in PEERS]
    rounds = [[run() for run in runs] for _ in range(arguments.repeats)]
    results = [middle(column) for column in zip(*rounds, strict=True)]
    for result in results:
        print(_row(result, results[0]), flush=True)
    return results


def _row(result: Result, loop: Result) -> str:
    def shown(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    cells = (
        *(result.what, str(result.gpus), f"{result.rate_hz:g}", shown(result.reads_per_s, 1)),
        *(shown(result.cpu_percent, 2), shown(result.cpu_percent / result.gpus, 3)),
        shown(result.cpu_percent / loop.cpu_percent, 1),
        *(shown(result.late_p50_ms, 2), shown(result.late_p99_ms, 2)),
        *(shown(result.resident_mib, 1), shown(result.calls_per_s, 0)),
        shown(result.others_percent, 1),
    )
    return "| " + " | ".join(cells) + " |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def numbers(text: str) -> list[float]:
        return [float(word) for word in text.split(",")]

    def counts(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser.add_argument("--gpus", type=counts, help="numbers of GPUs, by comma (8)")
    parser.add_argument("--rates", type=numbers, default=[10.0, 100.0], help="Hz, by comma")
    parser.add_argument("--processes", type=int, default=0, help="on all GPUs together (0)")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, each time (10)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--peers", action="store_true", help="other tools beside it, from PyPI")
    parser.add_argument("--plot", type=Path, metavar="SVG", help=f"plot; GPUs default to {SWEEP}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    arguments = parser.parse_args()
    if arguments.gpus is None:
        arguments.gpus = counts(SWEEP if arguments.plot else "8")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
