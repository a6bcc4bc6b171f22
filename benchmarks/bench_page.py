"""What the live page costs the agent and the browser, with GPUs of the stand-in NVML.

    python benchmarks/bench_page.py                    16 GPUs at 10 Hz, ten pages: 3 minutes
    python benchmarks/bench_page.py --gpus 64 --seconds 20

The agent's processor time with ten open pages and without, in turn; the pages are requests as a
browser makes them, from another process. Then, in a real Chromium: bytes, first paint, frames.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench_sampling import machine
from browser import CHROMIUM, Tab, browser
from cost_runs import WARM_UP_S, Bench, Node, Sleepers, watch

HERE: Final = Path(__file__).parent
LOADS: Final = 7
FRAMES_S: Final = 10
_FRAMES: Final = (
    "new Promise((done) => {{ const at = []; const end = performance.now() + {ms}; "
    "const look = (now) => {{ at.push(now); if (now < end) requestAnimationFrame(look); "
    "else done(at.slice(1).map((each, n) => each - at[n])); }}; requestAnimationFrame(look); }})"
)


def main() -> int:
    arguments = _arguments()
    print(f"{machine()}; {arguments.gpus} GPUs at {arguments.rate:g} Hz\n")
    print("| | measured | bound | |\n|---|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder, Sleepers(arguments.gpus) as pids:
        bench = Bench(Path(folder))
        node = bench.node(arguments.gpus, pids)
        with bench.running(node, arguments.rate) as (pid, port):
            time.sleep(WARM_UP_S)
            url = f"http://127.0.0.1:{port}"
            if not arguments.browser_only:
                cost, others = _pages(node, pid, url, arguments)
                what = f"{arguments.pages} open pages, % of a core (others {others:.0f} %)"
                _row(what, cost, 1.0)
            if CHROMIUM is not None and not arguments.agent_only:
                _in_browser(url)
    return 0


def _pages(node: Node, pid: int, url: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """What pages add to the agent's processor time, and what all else used meanwhile."""
    added, others = [], []
    command = [sys.executable, str(HERE / "page_clients.py"), url, str(arguments.pages)]
    for _ in range(arguments.repeats):
        alone = watch("alone", node, arguments.rate, arguments.seconds, pid)
        with subprocess.Popen(command, stdin=subprocess.PIPE) as clients:
            time.sleep(2)  # loading doesn't count
            looked_at = watch("pages", node, arguments.rate, arguments.seconds, pid)
            assert clients.stdin is not None
            clients.stdin.close()
        time.sleep(1)
        print(f"  {alone.cpu_percent:.2f} -> {looked_at.cpu_percent:.2f}", file=sys.stderr)
        added.append(looked_at.cpu_percent - alone.cpu_percent)
        others.append(alone.others_percent)
    return median(added), median(others)


def _in_browser(url: str) -> None:
    with browser() as running:
        tab = running.tab()
        tab.look(1280, 900)
        tab.call("Network.enable")
        paints = [_load(tab, url) for _ in range(LOADS)]
        print(" ", paints, file=sys.stderr)
        _row("first contentful paint, ms (median of 7)", median(paints[1:]), 300)
        sizes = tab.value(
            "performance.getEntriesByType('navigation').concat(performance"
            ".getEntriesByType('resource').filter((e) => /css|js|svg/.test(e.name)))"
            ".map((e) => e.encodedBodySize + 300)"
        )
        _row("page with styles and scripts, KB as sent", sum(sizes) / 1000, 150)
        tab.call("Performance.enable")
        time.sleep(3)
        before = _seconds(tab)
        frames: list[float] = sorted(tab.value(_FRAMES.format(ms=1000 * FRAMES_S)))
        busy = 100 * (_seconds(tab) - before) / FRAMES_S
        _row("frames a second (at least)", len(frames) / FRAMES_S, 60)
        late = sum(each > 1.5 * 1000 / 60 for each in frames)
        _row("frames that came late, %", 100 * late / len(frames), None)
        _row("99th percentile of frame times, ms", frames[int(0.99 * len(frames))], None)
        _row("main thread of the page, % of a core", busy, None)
        tab.close()


def _load(tab: Tab, url: str) -> float:
    tab.call("Network.clearBrowserCache")
    tab.call("Page.navigate", url=url)
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    tab.wait(f"location.href.startsWith('{url}') && {paint} > 0")
    found: float = tab.value(paint)
    return found


def _seconds(tab: Tab) -> float:
    metrics: list[dict[str, Any]] = tab.call("Performance.getMetrics")["metrics"]
    return sum(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


def _row(what: str, value: float, bound: float | None) -> None:
    kept = "" if bound is None else "kept" if _keeps(what, value, bound) else "**over**"
    print(f"| {what} | {value:.2f} | {'' if bound is None else f'{bound:g}'} | {kept} |")


def _keeps(what: str, value: float, bound: float) -> bool:
    return value >= 0.97 * bound if "at least" in what else value <= bound


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--gpus", type=int, default=16)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--browser-only", action="store_true")
    parser.add_argument("--agent-only", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
