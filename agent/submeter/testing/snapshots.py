"""Snapshots made by hand, for the tests of exporters here and elsewhere.

`node` has something in every field; `empty` has nothing but what must be there.
"""

from submeter.model import (
    Account,
    Activity,
    AgentUse,
    Component,
    EnergySource,
    ExporterState,
    Floors,
    Gauges,
    GpuInfo,
    GpuState,
    Histogram,
    Method,
    Missing,
    Owner,
    Phase,
    PowerPeaks,
    ProcessKey,
    ProcessView,
    Reading,
    Snapshot,
    SuspectReason,
    UnmeteredReason,
    Verdict,
    WorkServer,
)
from submeter.units import NS_PER_S, US_PER_S

WALL_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01T00:00:00Z
BOOT_NS = 5_000 * NS_PER_S
GPU_0 = "GPU-00000000-aaaa-bbbb-cccc-000000000000"
GPU_1 = "GPU-11111111-aaaa-bbbb-cccc-111111111111"

TRAINER = Owner(Phase.TRAINING, "llama-finetune", "alice", "research", "llama-0", "main", "")
SERVER = Owner(Phase.INFERENCE, "vllm", "bob", "", "", "", "4711")


def empty(sequence: int = 1) -> Snapshot:
    """An agent that has found no GPU yet."""
    return Snapshot(
        sequence=sequence,
        boottime_ns=BOOT_NS,
        wall_ns=WALL_NS,
        started_wall_ns=WALL_NS - 3_725 * NS_PER_S,
        version="0.1.0",
        backend="mock",
    )


def node(sequence: int = 1, *, second_gpu_up: bool = True, notice: str = "") -> Snapshot:
    """Two GPUs: one shared by a trainer and a server, one idle. Parts sum to totals exactly."""
    energy_uj = {
        Account(GPU_0, "", Component.DYNAMIC, TRAINER): 7_215_400_000_001,
        Account(GPU_0, "", Component.CONTEXT, TRAINER): 410_000_000_250,
        Account(GPU_0, "", Component.IDLE, TRAINER): 655_123_456_789,
        Account(GPU_0, "", Component.DYNAMIC, SERVER): 2_907_654_321_098,
        Account(GPU_0, "", Component.CONTEXT, SERVER): 398_000_000_750,
        Account(GPU_0, "", Component.IDLE, SERVER): 655_123_456_789,
        Account(GPU_0, "", Component.DYNAMIC, Owner(Phase.UNATTRIBUTED, "(agent down)")): 3_000_001,
        Account(GPU_1, "", Component.IDLE, Owner(Phase.IDLE)): 1_100_500_000_000,
    }
    power_mw = {
        Account(GPU_0, "", Component.DYNAMIC, TRAINER): 401_250,
        Account(GPU_0, "", Component.IDLE, TRAINER): 36_000,
        Account(GPU_0, "", Component.DYNAMIC, SERVER): 175_006,
        Account(GPU_1, "", Component.IDLE, Owner(Phase.IDLE)): 71_900,
    }
    return Snapshot(
        sequence=sequence,
        boottime_ns=BOOT_NS,
        wall_ns=WALL_NS,
        started_wall_ns=WALL_NS - 3_725 * NS_PER_S,
        version="0.1.0",
        backend="mock",
        gpus=(
            _shared_gpu(_total(energy_uj, GPU_0)),
            _idle_gpu(_total(energy_uj, GPU_1), up=second_gpu_up),
        ),
        energy_uj=energy_uj,
        power_mw=power_mw,
        standard_error_uj={
            Account(GPU_0, "", Component.DYNAMIC, TRAINER): 81_500_250_000,
            Account(GPU_0, "", Component.DYNAMIC, SERVER): 81_500_250_000,
        },
        components_up={"nvml": True, "ledger": True},
        lateness=Histogram((100_000, 1_000_000, 10_000_000), (7_000, 190, 9, 1), 912_345_678),
        folded_series=3,
        label_requests={("labelled", ""): 12, ("answered", ""): 3, ("refused", "foreign"): 1},
        power_budget_mw=1_400_000,
        footprint={
            ("facility_uj", "", "training"): 125_000_001,
            ("carbon_ug", "", "training"): 13_194_445,
            ("water_ul", "", "training"): 50_000,
            ("cost_micro", "EUR", "training"): 9_722,
        },
        factor_ages_s=(("carbon_g_per_kwh", 1_740),),
        factors=(("pue", "", "audit of 2025", 1_250_000), ("price", "EUR", "contract", 280_000)),
        agent=AgentUse(12_340_000_000, 31 << 20),
        exporters=(
            ExporterState("otlp", False, 7, 2, 30_012_345_678, WALL_NS - 9 * NS_PER_S),
            ExporterState("parquet", True, 60, 0, 912_345, WALL_NS - 4 * NS_PER_S, 17),
            ExporterState("prometheus", True, 240, 0, 2_412_345, WALL_NS - 15 * NS_PER_S),
        ),
        since_wall_ns=WALL_NS - 90 * 86_400 * NS_PER_S,
        done={
            (SERVER, "prompt_tokens"): 18_542_000,
            (SERVER, "generation_tokens"): 2_431_010,
            (SERVER, "requests"): 11_180,
            (SERVER, "uncounted_ns"): 15_000_000_000,
            (TRAINER, "tokens"): 7_000_000_000,
            (TRAINER, "steps"): 21_000,
        },
        work_servers=(
            WorkServer("http://127.0.0.1:8000/metrics", "vllm", "vllm", True),
            WorkServer("http://10.0.3.4:3000/metrics", "", "tgi", False, "slow"),
        ),
        notice=notice,
    )


def info(uuid: str, index: int) -> GpuInfo:
    """An H100."""
    return GpuInfo(
        uuid=uuid,
        index=index,
        name="NVIDIA H100 80GB HBM3",
        driver="580.95.05",
        pci_bus_id=f"00000000:{0x1B + index:02X}:00.0",
        arch="hopper",
        energy_source=EnergySource.COUNTER,
        power_window="25ms",
        refresh_ns=100_000_000,
        refresh_measured=True,
        memory_total_bytes=80 << 30,
        power_limit_max_mw=700_000,
        missing=(Missing("process utilisation", "the driver has no accounting here"),),
    )


def _shared_gpu(total_uj: int) -> GpuState:
    exclusive_uj = total_uj // 3
    return GpuState(
        info=info(GPU_0, 0),
        up=True,
        energy_uj=total_uj,
        reading=Reading(BOOT_NS, total_uj, 1, 612_256, 1, 598_750, 1),
        activity=Activity(BOOT_NS, 97, 61 << 30),
        gauges=Gauges(BOOT_NS, 61, 74, 700_000, (("sm", 1_980_000_000), ("memory", 2_619_000_000))),
        peaks=PowerPeaks(15 * NS_PER_S, 214_500, 688_125),
        processes=(
            _process(4242, TRAINER, 0.97, ("argv names torchrun", "writes checkpoints"), 437_250),
            _process(5151, SERVER, 0.64, ("listens on port 8000",), 175_006),
        ),
        energy_by_method_uj={
            Method.EXCLUSIVE: exclusive_uj,
            Method.PROPORTIONAL: total_uj - exclusive_uj - 3_000_001,
            Method.UNATTRIBUTED: 3_000_001,
        },
        suspect_uj={SuspectReason.JUMP: 9_000_000_000},
        unmetered_ns={UnmeteredReason.RESET: 2 * NS_PER_S},
        throttle_ns={"power": 12 * NS_PER_S, "thermal": 1_500_000},
        floors=Floors(idle_mw=70_104, context_mw=41_900),
        crosscheck_ppm=997_213,
        samples=36_011,
        missed_ticks=4,
        call_ns={"nvmlDeviceGetFieldValues": 7_123_456_789},
        errors={("nvmlDeviceGetTemperature", "NOT_SUPPORTED"): 2},
    )


def _idle_gpu(total_uj: int, *, up: bool) -> GpuState:
    return GpuState(
        info=info(GPU_1, 1),
        up=up,
        energy_uj=total_uj,
        down_reason="" if up else "gpu_is_lost",
        reading=Reading(BOOT_NS, total_uj, 1, 71_900, 1, None, None) if up else None,
        activity=Activity(BOOT_NS, 0, 3 << 20) if up else None,
        gauges=Gauges(BOOT_NS, 34, None, 700_000) if up else None,
        energy_by_method_uj={Method.IDLE: total_uj},
        samples=36_002,
        call_ns={"nvmlDeviceGetFieldValues": 6_000_000_000},
    )


def _process(
    pid: int, owner: Owner, confidence: float, evidence: tuple[str, ...], power_mw: int
) -> ProcessView:
    return ProcessView(
        key=ProcessKey("b007b007", pid, pid * US_PER_S),
        owner=owner,
        verdict=Verdict(owner.phase, confidence, evidence, "recognised"),
        memory_bytes=30 << 30,
        power_mw=power_mw,
    )


def _total(energy_uj: dict[Account, int], uuid: str) -> int:
    return sum(part_uj for account, part_uj in energy_uj.items() if account.gpu_uuid == uuid)
