"""Every NVML call × every return code × when, on the stand-in library: what a node made of it.

One thread and the library's own clock: a life of 24 seconds takes some milliseconds. Two boards
draw a known energy between second 6 and second 18 and nothing before and after, so that each
board's joules must be the truth to the µJ, whenever it was read for the first and last time.
GPU 1 never has the fault: its joules may not change at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import pynvml

from submeter.backends.nvml import NvmlBackend, calls, create, holders
from submeter.backends.nvml.codes import CODES, Action
from submeter.errors import DriverUnavailable
from submeter.ledger import Ledger
from submeter.model import ProcessFacts, ProcessKey, Snapshot
from submeter.sampling.jobs import Job, run_until
from submeter.sampling.node import Node
from submeter.settlement import About, Health, Settlement
from submeter.units import NS_PER_MS, NS_PER_S
from submeter.workloads import ProcessTable
from submeter_reliability import _standin

WHEN: Final = ("first", "middle", "always")
"""The first call fails; all from second 8 to 13, in which the driver is opened anew; all."""

LIFE_S: Final = 24
_MIDDLE_S: Final = (8, 13)
_LOADS_MW: Final = (300_000, 250_000)
_DRAWN_UJ: Final = tuple(mw * 12 * 1_000 for mw in _LOADS_MW)
_SINGLE: Final = (calls.TOTAL_ENERGY, calls.POWER_USAGE)
"""For boards whose fields don't have it all. Where one of these is refused there may be nothing
but power to integrate: GPU 0 then has an idle draw, and its joules are the truth to a percent."""
_IDLE_MW: Final = 50_000
_ABOUT_UJ: Final = tuple(_DRAWN_UJ[0] + _IDLE_MW * 1_000 * seconds for seconds in (20, 25))
_GARBAGE: Final = (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 9223372036854775794, 808334905)
"""Bounds of types, DCGM's mark of no value, and a utilisation seen in the wild (dcgm-exporter
issue 418)."""
_OLD_MJ: Final = 900_000_000
"""A counter that has counted for weeks. What a young one shows may be a restart or nonsense."""
_MOST_UJ: Final = 700_000 * 1_000 * LIFE_S
"""What the limit of a board allows."""
_START_NS: Final = 10**12
_WALL_NS: Final = 1_767_225_600 * NS_PER_S
_BY_UUID: Final = "nvmlDeviceGetHandleByUUID"
_GPU: Final = "uuid=GPU-{} pci=00000000:0{}:00.0 idle_mw={} limit_mw=700000"

_MIG: Final = (
    "mig 0 gi=7 ci=0 slices=1 memory=10G",
    "mig 0 gi=8 ci=0 slices=2 memory=20G",
    "process 0 pid=11 mem=1G sm=50 gi=7 ci=0",
    "process 0 pid=12 mem=1G sm=30 gi=8 ci=0",
)
_WHOLE: Final = ("process 0 pid=11 mem=1G sm=50", "process 0 pid=12 mem=1G sm=30")
_NO_POWER_FIELDS: Final = tuple(
    f"fault call=nvmlDeviceGetFieldValues gpu=0 field={field} error=3"
    for field in (83, 185, 186, 191)
)
_NEEDS: Final[Mapping[str, Sequence[str]]] = {
    "nvmlDeviceGetTemperature": ("fault call=nvmlDeviceGetTemperatureV gpu=0 error=13",),
    "nvmlDeviceGetMemoryInfo": ("fault call=nvmlDeviceGetMemoryInfo_v2 gpu=0 error=13",),
    "nvmlDeviceGetEnforcedPowerLimit": (
        "fault call=nvmlDeviceGetFieldValues gpu=0 field=190 error=3",
    ),
    "nvmlDeviceGetPowerManagementLimitConstraints": tuple(
        f"fault call=nvmlDeviceGetFieldValues gpu=0 field={field} error=3" for field in (188, 189)
    ),
    calls.TOTAL_ENERGY: _NO_POWER_FIELDS,
    calls.POWER_USAGE: _NO_POWER_FIELDS,
}
"""What must fail for a call to be made; the others are made in any world."""
_OF_NO_GPU: Final = frozenset(
    {
        calls.INIT,
        calls.SHUTDOWN,
        "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        _BY_UUID,
        "nvmlDeviceGetHandleByPciBusId_v2",
        "nvmlGpmSampleAlloc",
        "nvmlGpmSampleFree",
        "nvmlGpmMetricsGet",
    }
)
"""Calls without a device: a fault in them can't be one GPU's."""


class Case(NamedTuple):
    """One fault: this call gives this code then."""

    call: str
    code: int
    when: str
    garbage: int | None = None  # the call succeeds, with this for every number, instead

    @property
    def driver_wide(self) -> bool:
        """Whether it may concern every GPU, not GPU 0 alone."""
        return self.call in _OF_NO_GPU or CODES[self.code].action is Action.DRIVER_LOST


class Outcome(NamedTuple):
    """What came of a case: how often the call was made, and what isn't as it must be."""

    case: Case
    made: int
    energy_uj: tuple[int | None, int | None]
    wrong: tuple[str, ...]


def cases() -> list[Case]:
    """All of them."""
    return [
        Case(call, code, when)
        for call in sorted(calls.ALLOWED_CALLS)
        for code in sorted(CODES)
        for when in WHEN
    ]


def garbage_cases() -> list[Case]:
    """Success with a value that can't be, or hardly."""
    return [
        Case(call, 999, when, value)
        for call in sorted(calls.ALLOWED_CALLS)
        for value in _GARBAGE
        for when in ("middle", "always")
    ]


class Bench:
    """A stand-in library in this process, for one case after the other."""

    def __init__(self, library: Path, directory: Path) -> None:
        self._standin = _standin.module()
        self._world = self._standin.Standin(library, directory)
        self._world.time0_ns = _START_NS
        self._sysfs = directory / "sys"
        self._asleep = directory / "sys-asleep"
        _write_sysfs(self._asleep)

    @property
    def environment(self) -> dict[str, str]:
        """What must be set before the first case."""
        return {
            self._standin.SCRIPT_ENV: str(self._world.script_path),
            self._standin.CALLS_ENV: str(self._world.calls_path),
        }

    def run(self, case: Case) -> Outcome:
        """Lives one life with that fault."""
        library = self._world.load()
        self._world.write(script(case))
        pynvml._nvmlLib_refcount = 0  # whatever a fault in nvmlShutdown left behind
        clock = self._standin.StandinClock(library, _START_NS, _WALL_NS)
        sleeping = case.call == "nvmlDeviceGetHandleByPciBusId_v2"
        life = _Life(clock, self._asleep if sleeping else self._sysfs)
        versions = ("_v2",) if case.call.endswith("Processes_v2") else holders._VERSIONS
        try:
            with mock.patch.object(holders, "_VERSIONS", versions):
                made = self._live(life, case)
        finally:
            life.node.close()  # where it ended by a crash
            self._world.reset()
            clock.stop()
        energy_uj = life.energy_uj("GPU-0"), life.energy_uj("GPU-1")
        return Outcome(case, made, energy_uj, tuple([*life.wrong, *_judge(case, energy_uj, made)]))

    def _live(self, life: "_Life", case: Case) -> int:
        if case.when != "middle":
            before = self._made(case.call)
            life.until(LIFE_S)
            life.finish()
            return self._made(case.call) - before
        life.until(_MIDDLE_S[0])
        before = self._made(case.call)
        life.until(_MIDDLE_S[1])
        made = self._made(case.call) - before
        life.until(LIFE_S)
        life.finish()
        return made

    def _made(self, call: str) -> int:
        return int(self._world.calls().get(call, 0))


class _Life:
    """The agent in one thread, with what its runtime does where the driver is gone."""

    def __init__(self, clock: Any, sysfs: Path) -> None:
        self.clock = clock
        self.wrong: list[str] = []
        self.snapshot: Snapshot | None = None
        backend: NvmlBackend = create(clock, {"sysfs": sysfs, "processes": _People()})
        self.node = Node(
            backend,
            clock,
            period_ns=100 * NS_PER_MS,
            settle_ns=NS_PER_S,
            on_driver_error=self._lost,
        )
        about = About("nvml", "0", clock.wall_ns())
        self._settlement = Settlement(
            about, Ledger(100), ProcessTable(backend.processes), self.node.watches
        )
        self._jobs: list[Job] = []
        self._open = False

    def until(self, second: int) -> None:
        """Lives on, second by second, opening the driver again where it is gone."""
        end_ns = _START_NS + second * NS_PER_S
        while self.clock.boottime_ns() < end_ns:
            if not self._open:
                self._try_to_open()
            else:
                self._add(*self._rescan())
            next_ns = min(end_ns, self.clock.boottime_ns() + NS_PER_S)
            run_until(self.clock, self._jobs, next_ns)
            self._settle(next_ns)
            if not self._open and self._jobs:
                self.node.close()
                self._jobs = []

    def finish(self) -> None:
        """Books what is open and lets go of the driver."""
        now_ns = self.clock.boottime_ns()
        for watch in self.node.watches():
            watch.finish(now_ns)
        self._settle(now_ns)
        self.node.close()

    def energy_uj(self, uuid: str) -> int | None:
        """What was booked for a GPU; None where it was never seen."""
        gpus = () if self.snapshot is None else self.snapshot.gpus
        return next((gpu.energy_uj for gpu in gpus if gpu.info.uuid == uuid), None)

    def _try_to_open(self) -> None:
        try:
            self.node.open()
        except DriverUnavailable:
            return
        self._open = True
        self._add(*self.node.jobs())

    def _rescan(self) -> tuple[list[Job], list[Job]]:
        try:
            return self.node.jobs(self.node.rescan())
        except DriverUnavailable as error:
            self._lost(error)
            return [], []

    def _add(self, fast: list[Job], slow: list[Job]) -> None:
        self._jobs += [*slow, *fast]

    def _lost(self, _error: DriverUnavailable) -> None:
        self._open = False

    def _settle(self, now_ns: int) -> None:
        self._settlement.settle(now_ns, self.clock.wall_ns(), _healthy)
        before, self.snapshot = self.snapshot, self._settlement.snapshot(_healthy)
        if self.snapshot is not None:
            self.wrong += _adds_up(self.snapshot, before)


def script(case: Case, effect: str = "") -> list[str]:
    """The world of a case. The first fault that fits counts. ``effect``: what happens instead of
    the code, in the words of the stand-in."""
    when = {
        "first": "first=1",
        "middle": f"from={_MIDDLE_S[0]} to={_MIDDLE_S[1]}",
        "always": "",
    }[case.when]
    gpu = "" if case.call in _OF_NO_GPU else "gpu=0 "
    start = ""
    if case.garbage is not None:
        effect, start = f"garbage={case.garbage}", f" energy_start_mj={_OLD_MJ}"
    instances = "Gpm" in case.call or "Mig" in case.call or "InstanceId" in case.call
    lines = [
        *_NEEDS.get(case.call, ()),
        f"fault call={case.call} {gpu}{effect or f'error={case.code}'} {when}",
        f"gpu 0 {_GPU.format(0, 1, _IDLE_MW if case.call in _SINGLE else 0)}{start}",
        f"gpu 1 {_GPU.format(1, 2, 0)}",
        *(f"load {number} constant mw={mw} from=6 to=18" for number, mw in enumerate(_LOADS_MW)),
        *(_MIG if instances else _WHOLE),
        "process 1 pid=13 mem=1G sm=50",
    ]
    if case.call == _BY_UUID:  # it is for a GPU that was lost alone
        lines.append("vanish gpu=0 from=9 to=11")
    elif case.when == "middle":
        lines.append(f"fault call={calls.FIELD_VALUES} gpu=1 error=9 from=9.2 to=10.8")
    return lines


def _judge(case: Case, energy_uj: Sequence[int | None], made: int) -> Iterator[str]:
    faulty, healthy = energy_uj
    if not made:
        yield "the call was never made"
    hidden = case.when == "always" and case.driver_wide
    if healthy != _DRAWN_UJ[1] and not (hidden and healthy in (None, 0)):
        yield f"GPU 1: {healthy} µJ, not {_DRAWN_UJ[1]}"
    if faulty is not None and not 0 <= faulty <= _MOST_UJ:
        yield f"GPU 0: {faulty} µJ, which can't be"
    least, most = _ABOUT_UJ if case.call in _SINGLE else (_DRAWN_UJ[0], _DRAWN_UJ[0])
    if case.when != "always" and not least <= (faulty or 0) <= most:
        yield f"GPU 0: {faulty} µJ, not {least}"


def _adds_up(snapshot: Snapshot, before: Snapshot | None) -> Iterator[str]:
    """Parts = total for each GPU, by account and by method; nothing falls."""
    parts: dict[str, int] = {}
    for account, energy_uj in snapshot.energy_uj.items():
        parts[account.gpu_uuid] = parts.get(account.gpu_uuid, 0) + energy_uj
        if energy_uj < (before.energy_uj.get(account, 0) if before is not None else 0):
            yield f"{account} fell to {energy_uj} µJ"
    for gpu in snapshot.gpus:
        if (
            not parts.get(gpu.info.uuid, 0)
            == gpu.energy_uj
            == sum(gpu.energy_by_method_uj.values())
        ):
            yield f"{gpu.info.uuid}: the parts aren't {gpu.energy_uj} µJ"


class _People:
    """Every PID is somebody, for ever."""

    def identify(self, pid: int) -> ProcessKey | None:
        return ProcessKey("boot", pid, 1)

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, comm=f"process-{key.pid}")


def _healthy() -> Health:
    return Health({})


def _write_sysfs(root: Path) -> None:
    """Both boards awake and a third one asleep: then the others are opened by their address."""
    for number, status in enumerate(("active", "active", "suspended"), 1):
        device = root / f"bus/pci/devices/0000:0{number}:00.0"
        (device / "power").mkdir(parents=True, exist_ok=True)
        (device / "vendor").write_text("0x10de\n")
        (device / "class").write_text("0x030200\n")
        (device / "power/runtime_status").write_text(status)
        (device / "power/control").write_text("on")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for a while."""
    with mock.patch.dict("os.environ", variables):
        yield
