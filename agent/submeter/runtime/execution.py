"""A command line in, the command's run and what the GPUs used meanwhile out.

The command is the only child; a thread watches the GPUs, so that waiting, signals and exit code
are the command's alone.
"""

import json
import math
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from submeter.client.link import link
from submeter.client.measuring import Measurement, levels
from submeter.client.page import Level
from submeter.client.protocol import checked_workload, frame
from submeter.workloads.rules import DECLARED_PHASE, DECLARED_WORKLOAD

_PACE_S: Final = 0.1
_MW_PER_W: Final = 1_000
_UJ_PER_J: Final = 1_000_000
_J_PER_WH: Final = 3_600
_KILLED: Final = 128
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
_SETTLED_S: Final = 1.5


@dataclass(slots=True)
class Powers:
    """Highest draw seen of each GPU, and of all at once; and the GPUs' numbers."""

    number: dict[str, int] = field(default_factory=dict)
    peak_mw: dict[str, int] = field(default_factory=dict)
    peak_sum_mw: int = 0

    def see(self, now: Mapping[str, Level]) -> None:
        self.number.update({uuid: level.gpu for uuid, level in now.items()})
        draws = {uuid: level.power_mw for uuid, level in now.items() if level.power_mw is not None}
        for uuid, power_mw in draws.items():
            self.peak_mw[uuid] = max(power_mw, self.peak_mw.get(uuid, 0))
        self.peak_sum_mw = max(self.peak_sum_mw, sum(draws.values()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command's run came to. ``joules`` is nan where nothing could be measured."""

    exit_code: int
    seconds: float
    joules: float
    source: str  # agent | nvml | "" where nothing could be measured
    number: Mapping[str, int]  # of each GPU, by UUID, as are the next two
    per_gpu: Mapping[str, float]
    peak_w: Mapping[str, float]
    peak_sum_w: float
    booked_joules: float | None  # what the agent booked to the workload
    notice: str = ""  # what the agent says of its figures, as that they are simulated

    @property
    def mean_w(self) -> float:
        return self.joules / self.seconds if self.seconds > 0 else math.nan

    def fields(self) -> dict[str, object]:
        """For machines; null for what isn't known."""
        measured = not math.isnan(self.joules)
        return {
            "schema": 1,
            "exit_code": self.exit_code,
            "seconds": self.seconds,
            "source": self.source,
            "notice": self.notice or None,
            "joules": self.joules if measured else None,
            "wh": self.joules / _J_PER_WH if measured else None,
            "mean_w": self.mean_w if measured else None,
            "peak_w": self.peak_sum_w if measured else None,
            "booked_joules": self.booked_joules,
            "gpus": [
                {
                    "gpu": self.number.get(uuid),
                    "uuid": uuid,
                    "joules": None if math.isnan(joules) else joules,
                    "mean_w": None if math.isnan(joules) else joules / self.seconds,
                    "peak_w": self.peak_w.get(uuid),
                }
                for uuid, joules in self.per_gpu.items()
            ],
        }


def execute(command: Sequence[str], *, phase: str = "", workload: str = "") -> Outcome:
    """Runs the command to its end. Raises OSError where it can't be started, ValueError for a
    workload's name that isn't printable."""
    environ = dict(os.environ)
    said: dict[str, object] = {}
    if phase:
        environ[DECLARED_PHASE] = said["phase"] = phase
    if workload:
        environ[DECLARED_WORKLOAD] = said["workload"] = checked_workload(workload)
    before_uj = _booked_uj(workload)
    powers = Powers()
    done = threading.Event()
    with Measurement() as measured:
        watching = threading.Thread(target=_watch, args=(measured.source, powers, done))
        with _signals() as child:
            process = subprocess.Popen(command, env=environ)  # noqa: S603  what the user asked for
            child.append(process)
            if said:
                link().send(frame({**said, "pid": process.pid}), greeting=())
            watching.start()
            code = process.wait()
    done.set()
    watching.join()
    booked = None
    if before_uj is not None:
        threading.Event().wait(_SETTLED_S)  # until the agent has booked the end as well
        after_uj = _booked_uj(workload)
        booked = None if after_uj is None else (after_uj - before_uj) / _UJ_PER_J
    return Outcome(
        exit_code=code if code >= 0 else _KILLED - code,
        seconds=measured.seconds,
        joules=measured.joules,
        source=measured.source,
        number=powers.number,
        per_gpu=dict(measured.per_gpu),
        peak_w={uuid: mw / _MW_PER_W for uuid, mw in powers.peak_mw.items()},
        peak_sum_w=powers.peak_sum_mw / _MW_PER_W,
        booked_joules=booked,
        notice=_notice() if measured.source == "agent" else "",
    )


def _watch(source: str, powers: Powers, done: threading.Event) -> None:
    while source:
        powers.see(levels(source)[1])
        if done.wait(_PACE_S):
            return


def _booked_uj(workload: str) -> int | None:
    """What the agent has booked to that name so far; None without a name or an agent."""
    answer = _answer({"ask": "used", "workload": workload}) if workload else {}
    try:
        return int(sum(answer["used"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _notice() -> str:
    return str(_answer({"ask": "gpus"}).get("notice", ""))


def _answer(question: Mapping[str, object]) -> Mapping[str, Any]:
    """What the agent says; nothing where there is none."""
    line = link().ask(frame(question))
    try:
        answer: Any = json.loads(line) if line else {}
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


@contextmanager
def _signals() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Passes signals on to the child in the list. A terminal's own (^C, ^\\) reach the child
    without our help, and must not end us before it."""
    child: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in child:
            if process.poll() is None:
                process.send_signal(number)

    def leave_to_child(_number: int, _frame: FrameType | None) -> None:
        return

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    of_the_terminal = leave_to_child if _has_terminal() else pass_on
    for number in (signal.SIGINT, signal.SIGQUIT):
        before[number] = signal.signal(number, of_the_terminal)
    try:
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
