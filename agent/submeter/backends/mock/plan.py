"""A scenario as records: what the nodes' boards are, what runs on them, what goes wrong.

Integers with their unit in the name; levels and shares are parts per million (``_ppm``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

PPM: Final = 1_000_000


class MigInstance(NamedTuple):
    """One GPU instance of a partitioned board."""

    gpu_instance: int
    profile: str  # "1g.10gb"
    slices: int  # of MIG_SLICES

    @property
    def label(self) -> str:
        """As series and reports name it: "1g.10gb/7"."""
        return f"{self.profile}/{self.gpu_instance}"


MIG_SLICES: Final = 7


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """What the board's own instruments say, and how wrong they are."""

    refresh_ns: int
    window_ns: int  # the instant gauge is the mean over this
    average_ns: int  # the average gauge is the mean over this; 0: there is none
    instant: bool
    counter: bool
    counter_refresh_ns: int
    counter_step_uj: int
    counter_start_uj: int | None  # None: some seeded amount, as on a board that was used before
    gain_ppm: int  # what is shown ÷ the truth
    offset_mw: int  # power gauges only
    noise_mw: int  # standard deviation, power gauges only


@dataclass(frozen=True, slots=True)
class ThermalPlan:
    """First-order thermal behaviour; leakage grows above the temperature at rest."""

    ambient_uc: int  # µ°C
    resistance_uc_per_mw: int  # µ°C per mW = m°C per W
    lag_ns: int
    leakage_mw_per_c: int


@dataclass(frozen=True, slots=True)
class BoardPlan:
    """One simulated GPU."""

    name: str
    arch: str
    idle_mw: int
    context_mw: int
    limit_mw: int
    memory_bytes: int
    hbm: bool
    sm_clock_hz: int
    memory_clock_hz: int
    sensors: SensorPlan
    thermal: ThermalPlan
    mig: tuple[MigInstance, ...] = ()


class ShapePlan(NamedTuple):
    """A named course over time (`shapes.SHAPES`) with its parameters."""

    kind: str
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One simulated process; with ``every_ns`` it comes back again and again."""

    index: int
    name: str
    gpus: tuple[int, ...]
    mig_instance: int | None  # index into the board's layout
    pid: int
    start_ns: int
    end_ns: int | None  # None: never
    every_ns: int | None
    pid_step: int
    utilisation_ppm: int
    power_mw: Mapping[int, int]  # GPU → dynamic power at the shape's full level
    shape: ShapePlan
    kind: str = "compute"
    memory_bytes: int = 0
    visible: bool = True
    comm: str = ""
    argv: tuple[str, ...] = ()
    title: str | None = None
    user: str = ""
    uid: int | None = None
    cgroup: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    listen_ports: tuple[int, ...] = ()
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Something that goes wrong during [start, end) of scenario time."""

    kind: str
    gpus: tuple[int, ...]
    start_ns: int
    end_ns: int | None
    call: str = "all"
    code: int = 0
    hang_ns: int = 0
    value: int = 0
    energy_uj: int = 0
    reason: str = ""
    reload: bool = True

    def active(self, at_ns: int) -> bool:
        return self.start_ns <= at_ns and (self.end_ns is None or at_ns < self.end_ns)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything a simulated node does. Two equal scenarios give equal numbers, bit for bit."""

    seed: int
    boards: tuple[BoardPlan, ...]
    processes: tuple[ProcessPlan, ...] = ()
    faults: tuple[FaultPlan, ...] = ()


class Life(NamedTuple):
    """One run of a process: which PID, from when to when (scenario time)."""

    number: int
    pid: int
    start_ns: int
    end_ns: int | None


def life(plan: ProcessPlan, number: int) -> Life:
    """The n-th run of that process, from 0."""
    shift_ns = number * (plan.every_ns or 0)
    end_ns = None if plan.end_ns is None else plan.end_ns + shift_ns
    return Life(number, plan.pid + number * plan.pid_step, plan.start_ns + shift_ns, end_ns)


def life_at(plan: ProcessPlan, at_ns: int) -> Life | None:
    """The run that is alive at that time; None if there is none."""
    elapsed_ns = at_ns - plan.start_ns
    if elapsed_ns < 0:
        return None
    run = life(plan, elapsed_ns // plan.every_ns if plan.every_ns else 0)
    return run if run.end_ns is None or at_ns < run.end_ns else None
