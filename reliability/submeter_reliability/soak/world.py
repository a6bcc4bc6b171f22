"""A seed and the present moment in, the stand-in NVML's script out: boards, jobs, faults.

Jobs are real processes, so that the agent looks at a real /proc. The loads of the boards never
change, so that the energy of a board over the whole soak has a closed form.
"""

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

GPUS: Final = 8
RESTARTING: Final = (6, 7)
"""Boards whose counters begin anew when the driver is reloaded; what the others draw is checked."""
JUMPING: Final = 5
"""The board whose counter jumps further than anybody can draw."""
_IDLE_C: Final = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
_LOADS: Final = (
    "constant mw=300000",
    "square low_mw=50000 high_mw=550000 period_ms=3700 duty=0.4",
    "sine mean_mw=300000 amplitude_mw=200000 period_ms=9000",
    "square low_mw=20000 high_mw=450000 period_ms=970 duty=0.5",
)
_CALLS: Final = (
    *("nvmlDeviceGetFieldValues", "nvmlDeviceGetComputeRunningProcesses_v3"),
    *("nvmlDeviceGetProcessUtilization", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetTemperature"),
)
_SCRIPTS: Final = ("train.py --lr 3e-4", "-m vllm.entrypoints.openai.api_server", "prepare.py")


@dataclass(slots=True)
class Job:
    """One process that holds a board."""

    popen: subprocess.Popen[bytes]
    gpu: int


@dataclass(slots=True)
class World:
    """Owns the jobs and the faults of the node. One thread."""

    standin: Any  # tests/standin/standin.py's Standin, which is loaded by its path
    idle: Path  # a program that does nothing, with any command line
    dice: random.Random
    jobs: list[Job] = field(default_factory=list)
    started: int = 0
    faults: list[str] = field(default_factory=list)  # in force now
    kept: list[str] = field(default_factory=list)  # what made the counters what they are
    told: list[str] = field(default_factory=list)  # every fault there was, in words
    _until_s: float = 0.0

    def fill(self, count: int) -> None:
        """Starts jobs until there are so many."""
        while len(self.jobs) < count:
            self._start()
        self.write()

    def churn(self, count: int) -> None:
        """So many jobs end, and as many others begin."""
        for _ in range(count):
            job = self.jobs.pop(self.dice.randrange(len(self.jobs)))
            job.popen.kill()
            job.popen.wait()
            self._start()
        self.write()

    def next_fault(self) -> None:
        """Another fault in the place of the last one, now and for some seconds."""
        now_s = self.standin.now()
        kind = self.dice.choice(tuple(_FAULTS))
        gpu = self.dice.randrange(GPUS)
        self.faults, kept = _FAULTS[kind](self.dice, gpu, now_s)
        self.kept += kept
        self.told.append(f"{now_s:.0f} s: {kind} on GPU {gpu}")
        self.write()

    def heal(self) -> None:
        """No fault any more; counters stay what they have become."""
        self.faults = []
        self.write()

    def write(self) -> None:
        """Writes the script as things are."""
        lines = ["driver 580.95.05"]
        for gpu in range(GPUS):
            lines += [
                f'gpu {gpu} uuid=GPU-{gpu:08d} name="NVIDIA H100 80GB HBM3" arch=hopper '
                "limit_mw=700000",
                f"load {gpu} {_LOADS[gpu % len(_LOADS)]}",
            ]
        lines += [
            f"process {job.gpu} pid={job.popen.pid} type=compute mem=1G sm=3" for job in self.jobs
        ]
        self.standin.write([*lines, *self.kept, *self.faults])

    def close(self) -> None:
        """Ends every job."""
        for job in self.jobs:
            job.popen.kill()
            job.popen.wait()
        self.jobs.clear()

    def _start(self) -> None:
        self.started += 1
        words = self.dice.choice(_SCRIPTS).split()
        words[0] = words[0].replace(".py", f"-{self.started}.py")
        popen = subprocess.Popen(["python3", *words], executable=self.idle)
        self.jobs.append(Job(popen, self.started % GPUS))


def build_idle(compiler: str, folder: Path) -> Path:
    """A program of a few kilobytes that waits for ever. Raises CalledProcessError."""
    target = folder / "idle"
    subprocess.run(
        [compiler, "-O2", "-x", "c", "-", "-o", str(target)], input=_IDLE_C.encode(), check=True
    )
    return target


_Lines = tuple[list[str], list[str]]


def _hang(dice: random.Random, gpu: int, now_s: float) -> _Lines:
    seconds = dice.choice((3, 20, 45))
    return [f"fault call=* gpu={gpu} hang={seconds} from={now_s} to={now_s + 2}"], []


def _lost(dice: random.Random, gpu: int, now_s: float) -> _Lines:
    return [f"vanish gpu={gpu} from={now_s} to={now_s + dice.choice((2, 15))}"], []


def _error(dice: random.Random, gpu: int, now_s: float) -> _Lines:
    code = dice.choice((1, 3, 4, 6, 10, 15, 16, 17, 20, 27, 999))
    call = dice.choice((*_CALLS, "*"))
    return [f"fault call={call} gpu={gpu} error={code} from={now_s} to={now_s + 12}"], []


def _garbage(dice: random.Random, gpu: int, now_s: float) -> _Lines:
    value = dice.choice((0, 4294967295, 2**63 - 1))
    field_ = dice.choice((186, 185, 82))  # power: instant, average, memory temperature
    call = f"call=nvmlDeviceGetFieldValues field={field_}"
    return [f"fault {call} gpu={gpu} garbage={value} from={now_s} to={now_s + 10}"], []


def _reload(_dice: random.Random, _gpu: int, now_s: float) -> _Lines:
    anew = [f"counter_reset gpu={gpu} at={now_s + 2:.3f} mj=0" for gpu in RESTARTING]
    return [f"fault call=* error=9 from={now_s} to={now_s + 4}"], anew


def _stall(dice: random.Random, _gpu: int, now_s: float) -> _Lines:
    return [], [f"counter_stall gpu={dice.choice(RESTARTING)} from={now_s:.3f} to={now_s + 8:.3f}"]


def _jump(_dice: random.Random, _gpu: int, now_s: float) -> _Lines:
    return [], [f"counter_jump gpu={JUMPING} at={now_s:.3f} mj=10000000000"]


_FAULTS: Final[dict[str, Callable[[random.Random, int, float], _Lines]]] = {
    "a call hangs": _hang,
    "the board is lost": _lost,
    "a call fails": _error,
    "garbage": _garbage,
    "the driver is reloaded": _reload,
    "the counter stands still": _stall,
    "the counter jumps": _jump,
}
