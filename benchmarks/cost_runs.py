"""A program that polls NVML in, what it costs out: CPU, memory, lateness, on the stand-in NVML.

All programs are measured alike, from outside: the processor clock of the process and of all its
descendants (nanoseconds of run time, ended threads included), resident memory, and the stand-in's
own log of calls for the rate that was really reached.
"""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
WARM_UP_S: Final = 5.0
READ_CALLS: Final = (  # the calls that a tool reads power or energy with, once per GPU and tick
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
)
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_HISTOGRAM_MS: Final = (
    *(0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 1000, 10_000, 60_000),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One measurement. CPU in percent of one core; None is what can't be known of that program."""

    what: str
    gpus: int
    processes: int
    rate_hz: float
    cpu_percent: float
    reads_per_s: float  # of each GPU, as the driver saw it
    calls_per_s: float
    others_percent: float  # what everything else on the machine used meanwhile
    late_p50_ms: float | None = None
    late_p99_ms: float | None = None
    resident_mib: float | None = None


@dataclass(frozen=True)
class Node:
    """One scripted node: its size, the environment that finds it, its log of calls."""

    gpus: int
    pids: tuple[int, ...]
    environment: dict[str, str]
    calls: Callable[[], dict[str, int]]


@dataclass(frozen=True)
class _Mark:
    """The state of things at one moment."""

    at_s: float
    cpu_s: dict[int, float]
    calls: dict[str, int]
    machine_s: float


class Bench:
    """The stand-in library and the C loop, built once; nodes are scripted on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._standin = _load_standin()
        self._library: Path = self._standin.build(folder / "lib")
        smi = folder / "lib" / "nvidia-smi"  # codecarbon looks for GPUs only where it runs
        smi.write_text("#!/bin/sh\n")
        smi.chmod(0o755)
        self._loop = _build_loop(self._standin, folder, self._library)

    def node(self, gpus: int, pids: Sequence[int]) -> Node:
        """A node whose GPUs all work, at a power that changes, each with its processes."""
        script, log = self.folder / f"node{gpus}.txt", self.folder / f"calls{gpus}.bin"
        script.write_text(_node_script(gpus, pids))
        environment = os.environ | {
            "LD_LIBRARY_PATH": str(self._library.parent),
            "PATH": f"{self._library.parent}:{os.environ['PATH']}",
            self._standin.SCRIPT_ENV: str(script),
            self._standin.CALLS_ENV: str(log),
        }

        def calls() -> dict[str, int]:
            found = self._standin.read_calls(log)
            return {name: entry.count for name, entry in found.items()}

        return Node(gpus, tuple(pids), environment, calls)

    def run_loop(self, node: Node, rate_hz: float, seconds: float) -> Result:
        """The C loop; it counts its own processor time, with the same clock."""
        mark = _mark(node, None)
        command = [str(self._loop), f"{rate_hz:g}", f"{seconds:g}"]
        done = subprocess.run(
            command, env=node.environment, capture_output=True, text=True, check=True
        )
        words = done.stdout.split()
        said = dict(zip(words[::2], words[1::2], strict=True))
        used_s = float(said["cpu_seconds"])
        result = _result("C loop", node, rate_hz, mark, _mark(node, None))
        return replace(
            result,
            cpu_percent=100 * used_s / seconds,
            others_percent=max(0.0, result.others_percent - 100 * used_s / seconds),
            late_p50_ms=int(said["late_p50_us"]) / 1000,
            late_p99_ms=int(said["late_p99_us"]) / 1000,
        )

    def run_agent(self, node: Node, rate_hz: float, seconds: float) -> Result:
        """`submeter run` as an operator starts it, with a ledger on disk."""
        with self.running(node, rate_hz) as (pid, port):
            time.sleep(WARM_UP_S)
            late_before = lateness(port)
            result = watch("agent", node, rate_hz, seconds, pid)
            late = [now - then for now, then in zip(lateness(port), late_before, strict=True)]
        return replace(result, late_p50_ms=quantile(late, 0.5), late_p99_ms=quantile(late, 0.99))

    @contextmanager
    def running(self, node: Node, rate_hz: float) -> Iterator[tuple[int, int]]:
        """An agent that is ready: its process and its port."""
        port, log = free_port(), self.folder / "agent.log"
        state = tempfile.mkdtemp(dir=self.folder)  # a new ledger each time: its clock starts anew
        command = [
            *(sys.executable, "-m", "submeter", "run", "--state-dir", state),
            *("--listen", f"127.0.0.1:{port}", "--set", f"sampling.rate_hz={rate_hz:g}"),
        ]
        with log.open("wb") as stderr:
            agent = subprocess.Popen(command, env=node.environment, stdout=stderr, stderr=stderr)
        try:
            wait_until_ready(port, log)
            yield agent.pid, port
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(timeout=10)


def watch(what: str, node: Node, rate_hz: float, seconds: float, pid: int) -> Result:
    """Measures a running program, and everything that it has started, for so long."""
    before = _mark(node, pid)
    time.sleep(seconds)
    result = _result(what, node, rate_hz, before, _mark(node, pid))
    return replace(result, resident_mib=sum(map(_resident_mib, _family(pid))))


def middle(results: Sequence[Result]) -> Result:
    """The median of every figure of repeated measurements."""
    found: dict[str, float] = {}
    for field in fields(Result):
        values = [getattr(result, field.name) for result in results]
        if all(isinstance(value, int | float) for value in values):
            found[field.name] = median(values)
    found["gpus"], found["processes"] = results[0].gpus, results[0].processes
    return replace(results[0], **found)  # type: ignore[arg-type]


class Sleepers(AbstractContextManager[list[int]]):
    """Real processes for the driver to name: they sleep, on no GPU. ``apart``: each says that it
    is another workload."""

    def __init__(self, count: int, *, apart: bool = False) -> None:
        self._count = count
        self._apart = apart
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> list[int]:
        command = ["sleep", "100000"]
        for number in range(self._count):
            names = {"SUBMETER_WORKLOAD": f"job-{number}", "SUBMETER_PHASE": "training"}
            environment = os.environ | (names if self._apart else {})
            self._processes.append(subprocess.Popen(command, env=environment))
        return [process.pid for process in self._processes]

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _mark(node: Node, pid: int | None) -> _Mark:
    cpu_s = {} if pid is None else {each: _cpu_seconds(each) for each in _family(pid)}
    return _Mark(time.monotonic(), cpu_s, node.calls(), _machine_seconds())


def _result(what: str, node: Node, rate_hz: float, before: _Mark, after: _Mark) -> Result:
    elapsed_s = after.at_s - before.at_s
    used_s = sum(now - before.cpu_s.get(pid, 0.0) for pid, now in after.cpu_s.items())
    made = {name: now - before.calls.get(name, 0) for name, now in after.calls.items()}
    reads = max(made.get(name, 0) for name in READ_CALLS)
    others_s = after.machine_s - before.machine_s - used_s
    return Result(
        what=what,
        gpus=node.gpus,
        processes=len(node.pids),
        rate_hz=rate_hz,
        cpu_percent=100 * used_s / elapsed_s,
        reads_per_s=reads / elapsed_s / node.gpus,
        calls_per_s=sum(made.values()) / elapsed_s,
        others_percent=max(0.0, 100 * others_s / elapsed_s),
    )


def _family(pid: int) -> list[int]:
    """The process and all its descendants that live."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(place.parent.name)] = int(_stat(place)[1])
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _cpu_seconds(pid: int) -> float:
    """Run time of a process, all its threads, and the children that it has waited for."""
    try:
        own_s = time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), in nanoseconds
        reaped = sum(map(int, _stat(Path(f"/proc/{pid}/stat"))[13:15]))
    except OSError:
        return 0.0  # ended meanwhile
    return own_s + reaped / _TICKS_PER_S


def _machine_seconds() -> float:
    """Processor time of everything on this machine, and what the host took from it."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def _stat(place: Path) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on."""
    return place.read_text().rpartition(")")[2].split()


def _resident_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _load_standin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standin", ROOT / "tests/standin/standin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["standin"] = module
    spec.loader.exec_module(module)
    return module


def _build_loop(standin: ModuleType, folder: Path, library: Path) -> Path:
    loop = folder / "loop"
    command = [
        *(str(standin.compiler()), "-O2", "-Wall", "-Wextra", f"-I{standin.include_dir()}"),
        *(str(HERE / "loop.c"), "-o", str(loop), str(library)),
    ]
    subprocess.run(command, check=True)
    return loop


def _node_script(gpus: int, pids: Sequence[int]) -> str:
    lines = ["driver 580.95.05"]
    for gpu in range(gpus):
        lines += [
            f'gpu {gpu} uuid=GPU-{gpu:08d} name="NVIDIA H100 80GB HBM3" arch=hopper',
            f"load {gpu} sine mean_mw=300000 amplitude_mw=100000 period_ms={5_000 + 100 * gpu}",
        ]
        lines += [
            f"process {gpu} pid={pid} type=compute mem=1000000000 sm=10 from=0"
            for pid in pids[gpu::gpus]
        ]
    return "\n".join(lines) + "\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        body: bytes = response.read()
        return body.decode()


def wait_until_ready(port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            _get(port, "/-/ready")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"the agent is not ready:\n{log.read_text()}")


def lateness(port: int) -> list[int]:
    """Cumulative counts of the lateness histogram."""
    pattern = r"^submeter_sample_lateness_seconds_bucket\{le=\"[^\"]+\"\} (\d+)$"
    return [int(count) for count in re.findall(pattern, _get(port, "/metrics"), re.MULTILINE)]


def quantile(cumulative: Sequence[int], q: float) -> float:
    """Interpolated inside its bucket, in ms."""
    wanted = q * cumulative[-1]
    below, low = 0, 0.0
    for count, high in zip(cumulative, _HISTOGRAM_MS, strict=True):
        if count >= wanted and count > below:
            return low + (high - low) * (wanted - below) / (count - below)
        below, low = count, high
    return low
