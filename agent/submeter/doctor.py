"""What a node offers in, findings with what to do about them out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from submeter.errors import DriverUnavailable
from submeter.model import EnergySource, GpuInfo
from submeter.text import printable, ranges
from submeter.units import NS_PER_MS
from submeter.web import figures


class Level(StrEnum):
    """How a finding reads: all is well, something is less than it could be, something fails."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the checklist. ``fix`` says what to do; empty where there is nothing to do."""

    level: Level
    subject: str
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the node lets the agent see, besides its GPUs."""

    host_pids: bool  # the PIDs NVML names are the PIDs we see
    foreign_environ: bool  # environments of other users' processes can be read
    state_dir: str
    state_dir_problem: str = ""
    compiled: bool = True  # the sensors are polled by the compiled library


_DRIVER_FIXES: Final = {
    "library_missing": "install the NVIDIA driver (libnvidia-ml.so.1 is part of it); in a "
    "container, give it the GPUs (--gpus all, or the NVIDIA runtime class)",
    "driver_not_loaded": "load the kernel module: modprobe nvidia; then look at dmesg",
    "version_mismatch": "the driver was updated while its old module is loaded: reboot, or stop "
    "everything on the GPUs and reload the module; a running agent finds the new one by itself",
    "no_permission": "make /dev/nvidia* readable for the user that runs the agent",
    "no_gpu": "the driver runs but shows no GPU: look at lspci and dmesg",
}

_SOURCES: Final = {
    EnergySource.COUNTER: (
        Level.OK,
        "energy from the hardware counter: nothing is lost between two readings",
    ),
    EnergySource.AVERAGE: (
        Level.NOTE,
        "no energy counter; energy is the integral of the 1-s average power",
    ),
    EnergySource.INSTANT: (
        Level.NOTE,
        "no energy counter; energy is the integral of instantaneous power: loads faster than the "
        "sensor's window are missed",
    ),
    EnergySource.NONE: (
        Level.FAIL,
        "neither an energy counter nor power: not measurable, and reported as such",
    ),
}

ACCURACY: Final = (
    "the parts add up to the counter exactly; the sensor itself is good for about ±5 % "
    "(16 boards against an external meter: −8 … +13 %, mean −2 %; arXiv 2312.02741)"
)


def driver_findings(error: DriverUnavailable) -> Iterator[Finding]:
    """Why there is no GPU to meter, and what to do."""
    fix = _DRIVER_FIXES.get(error.reason, "see the driver's messages: dmesg | grep -i nvidia")
    yield Finding(Level.FAIL, "driver", str(error), fix)
    yield Finding(
        Level.NOTE,
        "without a GPU",
        "everything else can be tried on the simulated node",
        "submeter demo",
    )


def gpu_findings(infos: Sequence[GpuInfo]) -> Iterator[Finding]:
    """What GPUs can and can't tell that are alike (`alike`); at least one."""
    info = infos[0]
    many = len(infos) > 1
    subject = f"GPU{'s' * many} {ranges(each.index for each in infos)}"
    which = f"{len(infos)} × {info.name}" if many else f"{info.name}, {info.uuid}"
    yield Finding(Level.OK, subject, f"{which}, driver {info.driver}")
    level, text = _SOURCES[info.energy_source]
    yield Finding(level, subject, text)
    how = "measured" if info.refresh_measured else "assumed: it could not be measured now"
    window = f"; a power value covers {info.power_window}" if info.power_window else ""
    every = _refresh([each.refresh_ns for each in infos])
    yield Finding(Level.OK, subject, f"new sensor values every {every} ({how}){window}")
    if info.scope != "gpu":
        yield Finding(
            Level.NOTE,
            subject,
            f"energy and power are of the whole {info.scope}, not the GPU alone",
        )
    if info.mig:
        yield Finding(
            Level.NOTE, subject, "partitioned (MIG): energy exists for the whole GPU only"
        )
    for missing in info.missing:
        yield Finding(Level.NOTE, subject, f"no {missing.capability}: {missing.reason}")


def alike(infos: Sequence[GpuInfo]) -> list[list[GpuInfo]]:
    """GPUs of which the same can be said, together; in the order of the first of each."""
    groups: dict[GpuInfo, list[GpuInfo]] = {}
    for info in infos:
        same = replace(info, uuid="", index=0, pci_bus_id="", refresh_ns=0)
        groups.setdefault(same, []).append(info)
    return list(groups.values())


def agent_findings(url: str, snapshot: Mapping[str, Any] | None, trouble: str) -> Iterator[Finding]:
    """Whether an agent runs, and how it does. ``snapshot`` is its newest (docs/api.md)."""
    if snapshot is None:
        fix = "submeter run, or systemctl start submeter" if "refused" in trouble else ""
        yield Finding(Level.NOTE, "agent", f"none can be asked at {url}: {trouble}", fix)
        return
    hours = figures.duration(snapshot["wall_ns"] - snapshot["started_wall_ns"])
    up = sum(gpu["up"] for gpu in snapshot["gpus"])
    yield Finding(
        Level.OK if up else Level.WARN,
        "agent",
        f"{snapshot['version']} at {url} since {hours}, backend {snapshot['backend']}: "
        f"{up} of {len(snapshot['gpus'])} GPUs readable",
    )
    for gpu in snapshot["gpus"]:
        if not gpu["up"]:
            reason = printable(gpu["down_reason"])
            fix = "docs/runbook.md, SubmeterGpuLost"
            yield Finding(Level.WARN, "agent", f"GPU {gpu['gpu']} can't be read: {reason}", fix)
    down = sorted(name for name, works in snapshot["components_up"].items() if not works)
    if down:
        fix = "its log says why: journalctl -u submeter"
        yield Finding(Level.WARN, "agent", f"not working: {', '.join(down)}", fix)
    doubt = snapshot.get("power_budget_doubt")  # agents of before have no such field
    if doubt:
        fix = "docs/runbook.md, SubmeterPowerBudgetBelowIdle"
        yield Finding(Level.WARN, "agent", printable(doubt), fix)


def summary(findings: Sequence[Finding], gpus: int) -> str:
    """The checklist in one line."""
    looks = sum(finding.level in (Level.WARN, Level.FAIL) for finding in findings)
    first = f"{gpus} GPU{'s' * (gpus != 1)} can be metered" if gpus else "nothing can be metered"
    return f"{first}; {looks or 'nothing'} to look at"


def node_findings(around: Surroundings) -> Iterator[Finding]:
    """What the node lets the agent see of processes, and whether it can keep a ledger."""
    if around.host_pids:
        yield Finding(Level.OK, "processes", "the PIDs that the driver names can be resolved")
    else:
        yield Finding(
            Level.WARN,
            "processes",
            "in a PID namespace of its own: what the driver names can't be resolved, and its "
            "energy stays unattributed",
            "run on the host, or with hostPID: true (Kubernetes), --pid=host (Docker)",
        )
    if not around.foreign_environ:
        yield Finding(
            Level.NOTE,
            "processes",
            "environments of other users' processes can't be read: SUBMETER_PHASE set there is "
            "not seen; nothing else needs it",
        )
    if around.state_dir_problem:
        yield Finding(
            Level.WARN,
            "state",
            around.state_dir_problem,
            f"make {around.state_dir} writable, or choose another with --state-dir",
        )
    else:
        yield Finding(Level.OK, "state", f"{around.state_dir} can be used")
    if around.compiled:
        yield Finding(Level.OK, "sampling", "sensors are polled in compiled code")
    else:
        yield Finding(
            Level.NOTE,
            "sampling",
            "sensors are polled in Python: the same results, at up to three times the processor "
            "time",
            "install a C compiler (Debian: gcc libc6-dev) and then submeter again, and leave "
            "sampling.compiled true",
        )


def worst(findings: Sequence[Finding]) -> Level:
    """The gravest level among findings."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def _refresh(refreshes_ns: Sequence[int]) -> str:
    low, high = (f"{bound(refreshes_ns) / NS_PER_MS:.0f}" for bound in (min, max))
    return f"{low} ms" if low == high else f"{low} to {high} ms"
