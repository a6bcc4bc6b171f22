"""The stand-in NVML from Python: build it, write its scripts, know its truth, count its calls.

Works without pytest and without third-party packages, so that benchmarks can load it by path.
From a shell: ``standin.py build OUTDIR [--version TEXT]``, ``standin.py calls FILE``.
"""

import argparse
import ctypes
import importlib.metadata
import math
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
SONAME = "libnvidia-ml.so.1"
SCRIPT_ENV = "SUBMETER_STANDIN_SCRIPT"
CALLS_ENV = "SUBMETER_STANDIN_CALLS"

_CFLAGS = (
    *("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden"),
    *("-shared", f"-Wl,-soname,{SONAME}", "-pthread"),
)
_CHANGES = re.compile(
    r"(Set|Setup|Reset|Clear|Create|Destroy|Remove|Modify|Freeze|Lock|Discover|Activate|Update"
    r"|Force|Write|Validate)(?=[A-Z_]|$)"
)
_CHANGES_NOT = re.compile("Get|EventSet")
_ENTRY = struct.Struct("112sQQ")  # log_entry_t in nvml_standin.c


class BuildError(Exception):
    """No compiler, no header, or the compiler refused."""


# ---- building ----


def compiler() -> str | None:
    """The C compiler: $CC, else cc, gcc or clang; None if there is none."""
    names = (os.environ.get("CC", "cc"), "gcc", "clang")
    return next((found for found in map(shutil.which, names) if found), None)


def include_dir() -> Path:
    """Where the public nvml.h of the PyPI package nvidia-nvml-dev lies."""
    for package in ("nvidia-nvml-dev", "nvidia-nvml-dev-cu12", "nvidia-nvml-dev-cu13"):
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "nvml.h":
                return Path(str(file.locate())).parent
    raise BuildError("nvml.h not found: install nvidia-nvml-dev (pip install -e '.[dev]')")


def build(outdir: Path, version: str | None = None) -> Path:
    """Compiles the library into ``outdir``; returns its path.

    ``version`` is what nvmlSystemGetNVMLVersion answers, so that a replaced file can be told
    apart, and what a script's ``library`` line must say for calls to succeed. The file appears
    by a rename: a process that has loaded an older one keeps it.
    """
    cc = compiler()
    if cc is None:
        raise BuildError("no C compiler (cc, gcc or clang, or name one in CC)")
    include = include_dir()
    outdir.mkdir(parents=True, exist_ok=True)
    target = outdir / SONAME
    with tempfile.TemporaryDirectory(dir=outdir) as scratch:
        generated = Path(scratch)
        _generate(include / "nvml.h", generated)
        made = generated / SONAME
        sources = [*sorted(SOURCES.glob("*.c")), generated / "stubs.c"]
        defines = [] if version is None else [f'-DSTANDIN_VERSION="{version}"']
        places = [f"-I{generated}", f"-I{SOURCES}", "-isystem", str(include)]
        command = [cc, *_CFLAGS, *defines, *places, *map(str, sources), "-o", str(made), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{shlex.join(command)}\n{done.stderr}")
        made.replace(target)
    return target


def state_changing(call: str) -> bool:
    """Whether an NVML call changes something on the machine: a telemetry client never may."""
    return _CHANGES.search(call) is not None and _CHANGES_NOT.search(call) is None


def _generate(header: Path, outdir: Path) -> None:
    """Writes calls.h (every call of nvml.h) and stubs.c (those that no source here defines)."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
    declared = dict(
        re.findall(r"\bDECLDIR\s+(?:char\s*\*\s*)?(nvml\w+)\s*\(\s*(?:const\s+)?(\w+)", text)
    )
    if not declared:
        raise BuildError(f"{header}: no calls found")
    written = {
        name
        for source in SOURCES.glob("*.c")
        for name in re.findall(
            r"^(?:API\(|EXPORT PROCESS_LIST\(|__attribute__.*?\* ?)(nvml\w+)",
            source.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    }
    names = sorted(declared)
    calls = [
        "#define ALL_CALLS(X) \\",
        *(f"    X({name}) \\" for name in names),
        "",
        "#define CALL_NUMBER(name) CALL_##name,",
        "enum call_id { ALL_CALLS(CALL_NUMBER) CALL_COUNT };",
        "extern const char *const call_names[];",
        "",
    ]
    (outdir / "calls.h").write_text("\n".join(calls), encoding="utf-8")
    stubs = ['#include "calls.h"', "int standin_stub(int id, void *device, int result);"]
    for name in names:
        if name in written:
            continue
        device = "first" if declared[name] == "nvmlDevice_t" else "((void)first, (void *)-1)"
        result = 4 if state_changing(name) else 3  # NO_PERMISSION, NOT_SUPPORTED
        stubs += [
            f'__attribute__((visibility("default"))) int {name}(void *first);',
            f"int {name}(void *first) {{ return standin_stub(CALL_{name}, {device}, {result}); }}",
        ]
    (outdir / "stubs.c").write_text("\n".join(stubs) + "\n", encoding="utf-8")


# ---- the call log ----


@dataclass(frozen=True, slots=True)
class Calls:
    """How often one NVML call was entered, and the time spent inside it."""

    count: int
    total_ns: int


def read_calls(path: Path) -> dict[str, Calls]:
    """The counters of every call made so far, by all processes that share the file."""
    if not path.exists():
        return {}
    found = {}
    for name, count, total_ns in _ENTRY.iter_unpack(path.read_bytes()):
        if count:
            found[name.rstrip(b"\0").decode()] = Calls(count, total_ns)
    return found


# ---- scripts ----


def line(verb: str, *words: object, **pairs: object) -> str:
    """One line of a script: ``line("load", 0, "constant", mw=300000, to=60)``."""
    parts = [verb, *map(str, words)]
    for key, value in pairs.items():
        text = str(int(value)) if isinstance(value, bool) else str(value)
        name = "from" if key == "from_" else key
        parts.append(f'{name}="{text}"' if re.search(r"[\s#]", text) else f"{name}={text}")
    return " ".join(parts)


def script(lines: Iterable[str]) -> str:
    """A script of these lines."""
    return "\n".join(lines) + "\n"


def gpus(count: int, **pairs: object) -> list[str]:
    """``count`` equal boards, numbered from 0."""
    return [line("gpu", number, **pairs) for number in range(count)]


# ---- truth ----


@dataclass(frozen=True, slots=True)
class Load:
    """One load line: power over scripted seconds, as in board.c."""

    kind: str
    start: float = 0.0
    end: float = math.inf
    pid: int = 0
    values: Mapping[str, float] = field(default_factory=dict)

    def energy_mj(self, start: float, end: float) -> float:
        low, high = max(start, self.start), min(end, self.end)
        if high <= low:
            return 0.0
        return self._integral(high - self.start) - self._integral(low - self.start)

    def _integral(self, x: float) -> float:
        get = self.values.get
        period, phase = get("period_ms", 1000.0) / 1e3, get("phase_ms", 0.0) / 1e3
        if self.kind == "constant":
            return get("mw", 0.0) * x
        if self.kind == "ramp":
            rise = get("to_mw", 0.0) - get("from_mw", 0.0)
            return get("from_mw", 0.0) * x + rise * x * x / (2 * (self.end - self.start))
        if self.kind == "sine":
            turn = math.cos(2 * math.pi * (x + phase) / period)
            return get("mean_mw", 0.0) * x - get("amplitude_mw", 0.0) * period / math.tau * turn
        on_time = get("duty", 0.5) * period
        periods = math.floor((x + phase) / period)
        on = periods * on_time + min(x + phase - periods * period, on_time)
        low_mw, high_mw = get("low_mw", 0.0), get("high_mw", 0.0)
        return low_mw * (x + phase) + (high_mw - low_mw) * on


@dataclass(slots=True)
class Board:
    """What of a gpu line and its loads and processes matters for energy."""

    idle_mw: float = 70000.0
    context_mw: float = 0.0
    loads: list[Load] = field(default_factory=list)
    lives: list[tuple[float, float]] = field(default_factory=list)

    def held_s(self, start: float, end: float) -> float:
        """Seconds of an interval in which anybody held the board."""
        held, covered = 0.0, start
        for low, high in sorted(self.lives):
            low, high = max(low, covered), min(high, end)
            if high > low:
                held += high - low
                covered = high
        return held


class Truth:
    """The energy that every board of a script really draws, in closed form."""

    def __init__(self, boards: Mapping[int, Board]) -> None:
        self._boards = boards

    def energy_uj(self, gpu: int, start: float, end: float) -> int:
        """True energy in µJ of a board between two moments in scripted seconds."""
        board = self._boards[gpu]
        energy_mj = board.idle_mw * (end - start) + board.context_mw * board.held_s(start, end)
        energy_mj += sum(load.energy_mj(start, end) for load in board.loads)
        return round(energy_mj * 1e3)

    def process_uj(self, gpu: int, pid: int, start: float, end: float) -> int:
        """True dynamic energy in µJ of the loads that carry a PID."""
        loads = (load for load in self._boards[gpu].loads if load.pid == pid)
        return round(sum(load.energy_mj(start, end) for load in loads) * 1e3)


def read_truth(text: str) -> Truth:
    """The truth of a script's gpu, load and process lines. Values are checked by the library."""
    boards: dict[int, Board] = {}
    for row in text.splitlines():
        words = shlex.split(row, comments=True)
        if not words or words[0] not in {"gpu", "load", "process"}:
            continue
        pairs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        gpu = int(words[1])
        if words[0] == "gpu":
            idle, context = pairs.get("idle_mw", 70000), pairs.get("context_mw", 0)
            boards[gpu] = Board(float(idle), float(context))
        elif words[0] == "load":
            boards[gpu].loads.append(_load(words[2], pairs))
        else:
            boards[gpu].lives.append((float(pairs.get("from", 0)), float(pairs.get("to", "inf"))))
    return Truth(boards)


def _load(kind: str, pairs: dict[str, str]) -> Load:
    start, end = float(pairs.pop("from", 0)), float(pairs.pop("to", "inf"))
    pid = int(pairs.pop("pid", 0))
    return Load(kind, start, end, pid, {key: float(value) for key, value in pairs.items()})


# ---- one scripted world ----


class Standin:
    """A built library, a script that may be rewritten at any time, and a call log.

    Time 0 of the script is ``time0_ns`` (CLOCK_BOOTTIME), the moment this object was made,
    unless a script says otherwise itself.
    """

    def __init__(self, library: Path, directory: Path) -> None:
        self.library = library
        self.script_path = directory / "standin.script"
        self.calls_path = directory / "standin.calls"
        self.time0_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.truth = Truth({})
        self._loaded: ctypes.CDLL | None = None

    @property
    def time0(self) -> float:
        """Time 0 of the script in seconds of CLOCK_BOOTTIME."""
        return self.time0_ns / 1e9

    @property
    def env(self) -> dict[str, str]:
        """The environment for a subprocess that shall find this library and this script."""
        places = [str(self.library.parent), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(filter(None, places)),
            SCRIPT_ENV: str(self.script_path),
            CALLS_ENV: str(self.calls_path),
        }

    def write(self, text: str | Iterable[str]) -> None:
        """Replaces the script at once; a running client sees it within 50 ms of calls.

        Counters follow from the whole script each time: to keep the past, keep its lines.
        """
        whole = text if isinstance(text, str) else script(text)
        stated = re.search(r"^\s*time0_ns\s+(\d+)", whole, flags=re.MULTILINE)
        if stated:
            self.time0_ns = int(stated[1])
        else:
            whole = f"time0_ns {self.time0_ns}\n{whole}"
        self.truth = read_truth(whole)
        scratch = self.script_path.with_suffix(".new")
        scratch.write_text(whole, encoding="utf-8")
        scratch.replace(self.script_path)

    def load(self) -> ctypes.CDLL:
        """Loads the library into this process, where a later CDLL("libnvidia-ml.so.1") finds it
        by its SONAME. It stays for the life of the process; the script and the log are the ones
        named in os.environ at the first nvmlInit."""
        self._loaded = ctypes.CDLL(str(self.library), mode=ctypes.RTLD_GLOBAL)
        return self._loaded

    def reset(self) -> None:
        """Undoes what this process did with the library since `load`: every nvmlInit is taken
        back, calls that hang in other threads end. Does nothing if it was never loaded."""
        if self._loaded is not None:
            self._loaded.standin_reset()

    def calls(self) -> dict[str, int]:
        """How often each NVML call was made, by name; calls never made are left out."""
        return {name: calls.count for name, calls in read_calls(self.calls_path).items()}

    def offences(self) -> dict[str, int]:
        """Calls that would have changed the machine's state."""
        return {name: count for name, count in self.calls().items() if state_changing(name)}

    def now(self) -> float:
        """The present moment in scripted seconds."""
        return self.seconds(time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def seconds(self, boottime_ns: int) -> float:
        """A CLOCK_BOOTTIME moment in scripted seconds."""
        return (boottime_ns - self.time0_ns) / 1e9

    def truth_uj(self, gpu: int, start: float, end: float) -> int:
        """True energy in µJ of a board between two moments in scripted seconds."""
        return self.truth.energy_uj(gpu, start, end)

    def process_uj(self, gpu: int, pid: int, start: float, end: float) -> int:
        """True dynamic energy in µJ of a process between two moments in scripted seconds."""
        return self.truth.process_uj(gpu, pid, start, end)


class StandinClock:
    """A library's own time, to be moved by whoever sleeps on it: a `submeter.clock.Clock`. One
    thread. Until `stop`, every board of this process lives in it."""

    def __init__(self, library: ctypes.CDLL, boottime_ns: int, wall_ns: int) -> None:
        self._boottime = ctypes.c_longlong.in_dll(library, "standin_boottime_ns")
        self._wall = ctypes.c_longlong.in_dll(library, "standin_wall_ns")
        self._wall.value = wall_ns
        self._boottime.value = boottime_ns

    def boottime_ns(self) -> int:
        return self._boottime.value

    def monotonic_ns(self) -> int:
        return self._boottime.value

    def wall_ns(self) -> int:
        return self._wall.value

    def sleep_until(self, boottime_ns: int) -> None:
        self.advance(max(0, boottime_ns - self._boottime.value))

    def advance(self, duration_ns: int) -> None:
        self._boottime.value += duration_ns
        self._wall.value += duration_ns

    def stop(self) -> None:
        """The boards' time is the real one again."""
        self._boottime.value = 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: build, calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="compile the library into a directory")
    building.add_argument("outdir", type=Path)
    building.add_argument("--version", help="what nvmlSystemGetNVMLVersion answers")
    listing = commands.add_parser("calls", help="print a call log: name, count, nanoseconds")
    listing.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "calls":
        for name, calls in sorted(read_calls(options.file).items()):
            sys.stdout.write(f"{name} {calls.count} {calls.total_ns}\n")
        return 0
    try:
        sys.stdout.write(f"{build(options.outdir, options.version)}\n")
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
