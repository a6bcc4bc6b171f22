"""What everything speaks: frozen records of integers, the unit in every name.

Reading ──meter──▶ Interval ──attribute──▶ Posting… ──ledger──▶ Snapshot ──▶ exporters
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class EnergySource(StrEnum):
    """Where a GPU's joules come from, best first."""

    COUNTER = "counter"  # the hardware's own energy counter
    AVERAGE = "average"  # integral of the board's 1-s average power
    INSTANT = "instant"  # integral of instantaneous power at the sensor's refresh
    NONE = "none"  # not measurable: never reported as 0


class Phase(StrEnum):
    """What the energy was used for."""

    TRAINING = "training"
    INFERENCE = "inference"
    OTHER = "other"
    UNKNOWN = "unknown"
    IDLE = "idle"  # nobody held the GPU
    UNATTRIBUTED = "unattributed"  # no honest split exists


class Component(StrEnum):
    """Which layer of the GPU's draw it was."""

    DYNAMIC = "dynamic"  # work
    CONTEXT = "context"  # the extra draw because somebody holds the GPU
    IDLE = "idle"  # the bare floor


class Method(StrEnum):
    """How a joule was split: part of every posting, so no figure is without its provenance."""

    EXCLUSIVE = "exclusive"  # one holder
    WEIGHTED = "weighted"  # SM time × learnt watts; with video engines' time, × assumed ones
    PROPORTIONAL = "proportional"  # SM time
    MIG = "mig"
    EQUAL = "equal"  # between holders: the floor, and all when the driver says that none worked
    UNATTRIBUTED = "unattributed"
    IDLE = "idle"


class SuspectReason(StrEnum):
    """Why a movement of the counter was quarantined."""

    JUMP = "jump"  # forward by more than the board can draw
    RESET = "reset"  # the value after a reset is more than can have been used since


class UnmeteredReason(StrEnum):
    """Why some seconds have no energy figure at all."""

    GAP = "gap"  # power was not sampled, and there is no counter to cover the gap
    RESET = "reset"  # the counter restarted: what it had gained since the last reading is gone
    LOST = "lost"  # the device could not be read


class Reading(NamedTuple):
    """One fast read of one GPU. `None` means the board doesn't say; never 0 for "don't know".

    ``at_ns`` is boot time of the read. The ``*_at_us`` fields are the driver's own timestamps of
    the values (CPU wall clock, µs since 1970), kept as they came.
    """

    at_ns: int
    energy_uj: int | None
    energy_at_us: int | None
    instant_mw: int | None
    instant_at_us: int | None
    average_mw: int | None
    average_at_us: int | None


class Missing(NamedTuple):
    """A capability this board or driver lacks, and why, for `submeter doctor`."""

    capability: str
    reason: str


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """What doesn't change about a GPU while it is open."""

    uuid: str
    index: int  # a display label only; may differ after a reboot
    name: str
    driver: str
    pci_bus_id: str
    arch: str  # "hopper", "ada", …; "" if unknown
    energy_source: EnergySource
    power_window: str  # what the power gauge means: "25ms", "100ms", "1s", "" if unknown
    refresh_ns: int  # how often the sensors give a new value
    refresh_measured: bool  # False: refresh_ns is an assumption from the architecture
    memory_total_bytes: int | None = None
    power_limit_max_mw: int | None = None  # the most the board can be set to; None if unknown
    scope: str = "gpu"  # "module" where NVML only gives the whole superchip
    mig: bool = False
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Activity:
    """Cheap signals read every second: is anything going on, has the set of users changed?"""

    at_ns: int
    utilization_percent: int | None = None
    memory_used_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """Slow signals read every ten seconds."""

    at_ns: int
    temperature_core_c: int | None = None
    temperature_memory_c: int | None = None
    power_limit_mw: int | None = None
    clocks_hz: tuple[tuple[str, int], ...] = ()  # ("sm", …), ("memory", …), …
    throttle_ns: tuple[tuple[str, int], ...] = ()  # cumulative, by reason


class Holder(NamedTuple):
    """A process that the driver says has a context on the GPU."""

    pid: int
    kind: str = "compute"  # compute | graphics | mps
    memory_bytes: int | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    mig: str = ""  # profile and instance on a partitioned GPU: "1g.10gb/7"


class UtilisationSample(NamedTuple):
    """What the driver says of one process since the previous sample; percents are 0…100."""

    pid: int
    at_us: int  # the driver's timestamp, µs since 1970
    sm_percent: int
    memory_percent: int = 0
    encoder_percent: int = 0
    decoder_percent: int = 0


class InstanceActivity(NamedTuple):
    """How busy the SMs of one GPU instance (MIG) were since the previous call."""

    gpu_instance: int
    slices: int  # its compute slices
    sm_ppm: int  # of its own SMs' time


class ProcessKey(NamedTuple):
    """Who a process is: a PID alone is no identity, since PIDs are reused."""

    boot_id: str
    pid: int
    start_ticks: int  # field 22 of /proc/PID/stat


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What can be seen of a process. Read for recognition only; ``argv`` and ``environ`` are
    never stored, logged or exported."""

    key: ProcessKey
    comm: str = ""
    argv: tuple[str, ...] = ()
    title: str | None = None  # what setproctitle made of the command line
    user: str = ""
    uid: int | None = None
    cgroup: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)  # allow-listed keys only
    listen_ports: tuple[int, ...] = ()
    libraries: tuple[str, ...] = ()
    writing: tuple[str, ...] = ()  # kinds of files open for writing, never their names
    parent_argv: tuple[str, ...] = ()  # of who started it, where that says more than its own


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a process does with the GPU, how sure that is, and why."""

    phase: Phase
    confidence: float  # 0…1
    evidence: tuple[str, ...]  # readable; never quotes a command line
    source: str  # declared | rule | recognised | none


class Owner(NamedTuple):
    """The labels somebody's energy is booked under. Unused ones are empty strings."""

    phase: Phase
    workload: str = ""
    user: str = ""
    namespace: str = ""
    pod: str = ""
    container: str = ""
    job: str = ""


class Account(NamedTuple):
    """One energy series: an owner's component on one GPU (or one MIG instance of it)."""

    gpu_uuid: str
    mig: str
    component: Component
    owner: Owner


class Posting(NamedTuple):
    """So many microjoules for that account, and how it was found."""

    account: Account
    method: Method
    energy_uj: int


class CounterState(NamedTuple):
    """What is believed of a hardware energy counter at one moment; see `metering.counter`."""

    raw_uj: int  # the last value as it came
    base_uj: int  # the highest one believed
    at_ns: int  # boot time at which that was read
    bucket_pj: int
    booked_uj: int
    bridged_uj: int
    owed_uj: int
    epoch: int  # counts restarts of the counter
    marks: tuple[tuple[int, ...], ...] = ()


class MeterState(NamedTuple):
    """Where a meter stands at the end of an interval: everything up to here is in intervals, so
    whoever goes on from here neither loses nor doubles a joule. Times are boot time."""

    end_ns: int  # of the last interval
    read_ns: int  # of the last reading
    known_ns: int  # the energy is known, or its seconds are counted as unmetered, until then
    counter: CounterState | None = None  # None: no counter, or none read yet


class Checkpoint(NamedTuple):
    """A meter's state in the ledger: where the agent before this one stopped."""

    state: MeterState
    boot_id: str  # boot time means something within one boot only
    wall_ns: int  # when it was, as far as the wall clock can be trusted


@dataclass(frozen=True, slots=True)
class Interval:
    """What one GPU used between two moments of boot time.

    ``energy_uj`` is what the meter believes and what must be split, to the microjoule.
    ``observed`` is False where the agent was not watching (stopped, suspended, device lost) though
    the counter kept counting: such energy is never attributed to anybody. ``state`` is None where
    the energy of a moment is split between this interval and the ones after it: only with the
    next one that has a state are they complete.
    """

    gpu_uuid: str
    epoch: int  # counts restarts of the hardware counter
    start_ns: int
    end_ns: int
    energy_uj: int
    source: EnergySource
    observed: bool = True
    agent_down: bool = False  # not observed because no agent was running
    readings: int = 0
    power_min_mw: int | None = None
    power_max_mw: int | None = None
    integral_uj: int | None = None  # ∫power over the same time, for the cross-check
    counter_uj: int | None = None  # Δcounter over the same time, for the cross-check
    suspect_uj: tuple[tuple[SuspectReason, int], ...] = ()
    unmetered_ns: tuple[tuple[UnmeteredReason, int], ...] = ()
    jitters: int = 0  # times the counter went backwards a little
    resets: int = 0
    stalls: int = 0  # times the counter stood still though power was drawn
    state: MeterState | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Who held a GPU during an interval, and what SM time the driver names for each.

    ``sm_time`` maps holders to any common unit of SM time; None where the driver has no such
    signal, empty or all-zero where it has and says that nobody worked. On a partitioned GPU it is
    that of instances, shared between an instance's holders (`submeter.attribution.mig`).
    """

    holders: tuple[Owner, ...] = ()
    sm_time: Mapping[int, int] | None = None  # index into holders → SM time
    foreign_sm_time: int = 0  # SM time of PIDs that are no known holder
    mig: tuple[str, ...] = ()  # profile and instance of each holder; empty where not partitioned
    weights: Mapping[int, int] | None = None  # index into holders → learnt weight; None: not learnt
    foreign_weight: int = 0


@dataclass(frozen=True, slots=True)
class Floors:
    """What a board draws for nothing, as learnt; 0 where not learnt yet."""

    idle_mw: int = 0  # nobody holds it
    context_mw: int = 0  # additional draw because somebody does


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process on a GPU as people see it: who, for what, why we think so, how much."""

    key: ProcessKey
    owner: Owner
    verdict: Verdict
    kind: str = "compute"
    memory_bytes: int | None = None
    power_mw: int = 0


@dataclass(frozen=True, slots=True)
class PowerPeaks:
    """Lowest and highest power seen in the last ``window_ns``."""

    window_ns: int
    min_mw: int
    max_mw: int


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU in a Snapshot. Totals stay when the device is down; what was read is then None."""

    info: GpuInfo
    up: bool
    energy_uj: int
    settled_ns: int | None = None  # boot time up to which its energy is booked
    down_reason: str = ""
    reading: Reading | None = None
    activity: Activity | None = None
    gauges: Gauges | None = None
    peaks: PowerPeaks | None = None
    processes: Sequence[ProcessView] = ()
    energy_by_method_uj: Mapping[Method, int] = field(default_factory=dict)
    suspect_uj: Mapping[SuspectReason, int] = field(default_factory=dict)
    unmetered_ns: Mapping[UnmeteredReason, int] = field(default_factory=dict)
    throttle_ns: Mapping[str, int] = field(default_factory=dict)  # accumulated, monotonic
    floors: Floors = Floors()  # what is taken off before work is split; 0 where not learnt
    crosscheck_ppm: int | None = None  # ∫power ÷ Δcounter in parts per million; None if unknown
    samples: int = 0
    missed_ticks: int = 0
    call_ns: Mapping[str, int] = field(default_factory=dict)  # time spent in each NVML call
    errors: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (call, error) → count


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket (upper bounds in ns, the last one is +Inf) and the sum of all values."""

    bounds_ns: tuple[int, ...]
    counts: tuple[int, ...]  # len(bounds_ns) + 1, not cumulative
    sum_ns: int


class Counted(NamedTuple):
    """What was counted of one GPU, beside energy, since the ledger began."""

    samples: int = 0
    missed_ticks: int = 0
    call_ns: Mapping[str, int] = {}  # time spent in each NVML call
    errors: Mapping[tuple[str, str], int] = {}  # (call, error) → count
    throttle_ns: Mapping[str, int] = {}  # by reason


@dataclass(frozen=True, slots=True)
class AgentUse:
    """What the agent itself has cost: CPU time since the ledger began, memory now."""

    cpu_ns: int
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class ExporterState:
    """How one way out of the agent does. A run is a push, or a request that it answered."""

    name: str
    up: bool = True  # the last run went through, and none takes too long now
    runs: int = 0  # that went through
    failures: int = 0
    last_run_ns: int = 0  # how long the last one took
    succeeded_wall_ns: int | None = None  # None: not once yet
    missed_readings: int | None = None  # more than it could take; None: it wants none


class WorkServer(NamedTuple):
    """A server that is asked how much it has done."""

    address: str
    server: str  # what kind: vllm, sglang, …; "" until it has answered
    workload: str  # whose work it counts; "" while nobody of that name holds a GPU
    up: bool  # it was counted when it was last asked
    trouble: str = ""  # why not, a short word


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """Everything an exporter may know, at one moment. Immutable: reading it changes nothing.

    For each GPU: Σ ``energy_uj`` over its accounts = ``GpuState.energy_uj``
    = Σ ``energy_by_method_uj``.
    """

    sequence: int
    boottime_ns: int
    wall_ns: int
    started_wall_ns: int
    version: str
    backend: str
    gpus: tuple[GpuState, ...] = ()
    energy_uj: Mapping[Account, int] = field(default_factory=dict)
    power_mw: Mapping[Account, int] = field(default_factory=dict)  # last settlement, by account
    standard_error_uj: Mapping[Account, int] = field(default_factory=dict)  # of splitting
    remembered: Mapping[str, int] = field(default_factory=dict)  # GPU UUID → index it had last
    absent: tuple[Counted, ...] = ()  # what was counted of GPUs that only the ledger remembers
    components_up: Mapping[str, bool] = field(default_factory=dict)
    lateness: Histogram | None = None
    folded_series: int = 0  # accounts that went to workload="(other)"
    label_requests: Mapping[tuple[str, str], int] = field(default_factory=dict)  # result, reason
    power_budget_mw: int | None = None
    agent: AgentUse | None = None
    exporters: tuple[ExporterState, ...] = ()
    since_wall_ns: int | None = None  # when the ledger began, from which energies are counted
    footprint: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """What energies came to at the factors of their moments: by kind (`facility_uj`, `carbon_ug`,
    `water_ul`, `cost_micro`), currency ("" but for costs) and phase. Empty without factors."""
    factors: tuple[tuple[str, str, str, int], ...] = ()
    """Those in use: quantity, currency, source, millionths."""
    factor_ages_s: tuple[tuple[str, int], ...] = ()  # of those that were measured, by quantity
    done: Mapping[tuple[Owner, str], int] = field(default_factory=dict)
    """How much work was done where workloads tell, by owner and unit (`generation_tokens`, …)."""
    work_servers: tuple[WorkServer, ...] = ()
    notice: str = ""  # what every page must say loudly: simulated, replayed, blind
