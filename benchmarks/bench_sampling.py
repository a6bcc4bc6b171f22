"""What metering costs: the agent and a bare C loop on the same stand-in NVML, in one run.

    python benchmarks/bench_sampling.py [--seconds 20] [--gpus 8] [--rates 10,100] [--json FILE]

Prints CPU as a share of one core, per GPU, as a ratio to the C loop; lateness; resident memory.
Needs a C compiler; see benchmarks/README.md for the last results.
"""

import argparse
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WARM_UP_S = 5.0


@dataclass(frozen=True)
class Result:
    """One measurement: CPU in percent of one core."""

    what: str
    gpus: int
    processes: int
    rate_hz: float
    cpu_percent: float
    late_p50_ms: float
    late_p99_ms: float
    resident_mib: float | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time per run")
    parser.add_argument("--gpus", default="8", help="numbers of GPUs, by comma")
    parser.add_argument("--processes", type=int, default=0, help="processes on all GPUs together")
    parser.add_argument("--rates", default="10,100", help="readings a second, by comma")
    parser.add_argument("--json", type=Path, help="write the results there")
    arguments = parser.parse_args()
    standin = load_standin()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        library = standin.build(folder / "lib")
        loop = build_loop(standin, folder, library)
        titles = f"{'CPU %':>8}{'per GPU':>9}{'× C loop':>10}{'p50 ms':>8}{'p99 ms':>8}{'MiB':>7}"
        print(f"{'':28}{titles}")
        for gpus in map(int, arguments.gpus.split(",")):
            with sleepers(arguments.processes) as pids:
                script = folder / f"node{gpus}.txt"
                script.write_text(node_script(gpus, pids))
                environment = os.environ | {
                    "LD_LIBRARY_PATH": str(library.parent),
                    standin.SCRIPT_ENV: str(script),
                }
                for rate in map(float, arguments.rates.split(",")):
                    base = run_loop(loop, gpus, rate, arguments.seconds, environment)
                    agent = run_agent(
                        (gpus, len(pids), rate), arguments.seconds, environment, folder
                    )
                    for result in (base, agent):
                        results.append(result)
                        show(result, base)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return 0


def show(result: Result, base: Result) -> None:
    ratio = result.cpu_percent / base.cpu_percent if base.cpu_percent else float("nan")
    memory = "" if result.resident_mib is None else f"{result.resident_mib:.1f}"
    title = f"{result.what}, {result.gpus} GPUs, {result.rate_hz:g} Hz"
    print(
        f"{title:28}{result.cpu_percent:8.3f}{result.cpu_percent / result.gpus:9.4f}{ratio:10.2f}"
        f"{result.late_p50_ms:8.3f}{result.late_p99_ms:8.3f}{memory:>7}",
        flush=True,
    )


def load_standin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standin", ROOT / "tests/standin/standin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["standin"] = module
    spec.loader.exec_module(module)
    return module


def build_loop(standin: ModuleType, folder: Path, library: Path) -> Path:
    loop = folder / "loop"
    command = [
        *(str(standin.compiler()), "-O2", "-Wall", "-Wextra", f"-I{standin.include_dir()}"),
        *(str(HERE / "loop.c"), "-o", str(loop), str(library)),
    ]
    subprocess.run(command, check=True)
    return loop


class sleepers:  # noqa: N801  a context manager, used like a function
    """Real processes for the driver to name: they sleep, on no GPU."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> list[int]:
        command = ["sleep", "100000"]
        self._processes = [subprocess.Popen(command) for _ in range(self._count)]
        return [process.pid for process in self._processes]

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def node_script(gpus: int, pids: Sequence[int]) -> str:
    """A node whose GPUs all work, each with its share of the processes."""
    lines = ["driver 580.95.05"]
    for gpu in range(gpus):
        lines.append(f'gpu {gpu} uuid=GPU-{gpu:08d} name="NVIDIA H100 80GB HBM3" arch=hopper')
        lines.append(f"load {gpu} constant mw={300_000 + 1_000 * gpu} from=0")
        lines += [
            f"process {gpu} pid={pid} type=compute mem=1000000000 sm=10 from=0"
            for pid in pids[gpu::gpus]
        ]
    return "\n".join(lines) + "\n"


def run_loop(
    loop: Path, gpus: int, rate: float, seconds: float, environment: dict[str, str]
) -> Result:
    command = [str(loop), f"{rate:g}", f"{seconds:g}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    said = dict(zip(words[::2], words[1::2], strict=True))
    cpu = 100 * float(said["cpu_seconds"]) / seconds
    p50, p99 = (int(said[key]) / 1000 for key in ("late_p50_us", "late_p99_us"))
    return Result("C loop", gpus, 0, rate, cpu, p50, p99, None)


def run_agent(
    size: tuple[int, int, float], seconds: float, environment: dict[str, str], folder: Path
) -> Result:
    """``size``: GPUs, processes, rate."""
    gpus, processes, rate = size
    port = free_port()
    command = [
        *(sys.executable, "-m", "submeter", "run", "--state-dir", str(folder / "state")),
        *("--listen", f"127.0.0.1:{port}", "--set", f"sampling.rate_hz={rate:g}"),
    ]
    with (folder / "agent.log").open("wb") as log:
        agent = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until_ready(port, folder / "agent.log")
        time.sleep(WARM_UP_S)
        before, late_before = cpu_seconds(agent.pid), lateness(port)
        start = time.monotonic()
        time.sleep(seconds)
        used = cpu_seconds(agent.pid) - before
        elapsed = time.monotonic() - start
        late = [now - then for now, then in zip(lateness(port), late_before, strict=True)]
        memory = resident_mib(agent.pid)
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=10)
    p50, p99 = quantile(late, 0.5), quantile(late, 0.99)
    return Result("agent", gpus, processes, rate, 100 * used / elapsed, p50, p99, memory)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        body: bytes = response.read()
        return body.decode()


def wait_until_ready(port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            get(port, "/-/ready")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"the agent is not ready:\n{log.read_text()}")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, to the nanosecond where the kernel counts that."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


BOUNDS_MS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 1000, 10_000, 60_000)


def lateness(port: int) -> list[int]:
    """Cumulative counts of the lateness histogram."""
    text = get(port, "/metrics")
    pattern = r"^submeter_sample_lateness_seconds_bucket\{le=\"[^\"]+\"\} (\d+)$"
    return [int(count) for count in re.findall(pattern, text, re.MULTILINE)]


def quantile(cumulative: Sequence[int], q: float) -> float:
    """Interpolated inside its bucket, in ms."""
    wanted = q * cumulative[-1]
    below, low = 0, 0.0
    for count, high in zip(cumulative, BOUNDS_MS, strict=True):
        if count >= wanted and count > below:
            return low + (high - low) * (wanted - below) / (count - below)
        below, low = count, high
    return low


if __name__ == "__main__":
    sys.exit(main())
