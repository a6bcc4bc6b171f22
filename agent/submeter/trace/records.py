"""What a trace consists of: a header, then records of what a backend's devices answered, and when.

Nothing here identifies a machine, and nothing of a process but its identity, its ``comm`` and the
labels it was booked under: command lines and environments are never stored.
"""

from dataclasses import dataclass
from typing import NamedTuple

from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.model import (
    Activity,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    ProcessKey,
    Reading,
    UtilisationSample,
)

DEVICE_LOST = "device_lost"
DRIVER_UNAVAILABLE = "driver_unavailable"
READ_FAILED = "read_failed"
ERROR_KINDS = (DEVICE_LOST, DRIVER_UNAVAILABLE, READ_FAILED)

BackendError = DeviceLost | DriverUnavailable | ReadFailed
"""Everything a device may raise."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what was recorded, with what, and what time it was when it began."""

    start_boottime_ns: int
    start_wall_ns: int
    gpus: tuple[GpuInfo, ...]
    submeter: str  # version that wrote it
    backend: str  # what was recorded: "nvml", "mock", or the format a log was imported from
    created: str = ""  # ISO 8601, for people; "" where the log has no dates
    notice: str = ""  # what the recorded backend had to say loudly


class GpuRecord(NamedTuple):
    """From here on GPU number ``gpu`` is this one: it came back changed, or is new."""

    gpu: int
    at_ns: int
    info: GpuInfo


class ReadingRecord(NamedTuple):
    gpu: int
    reading: Reading

    @property
    def at_ns(self) -> int:
        return self.reading.at_ns


class ActivityRecord(NamedTuple):
    gpu: int
    activity: Activity

    @property
    def at_ns(self) -> int:
        return self.activity.at_ns


class GaugesRecord(NamedTuple):
    gpu: int
    gauges: Gauges

    @property
    def at_ns(self) -> int:
        return self.gauges.at_ns


class HoldersRecord(NamedTuple):
    """``holders`` is None where the driver could not list them."""

    gpu: int
    at_ns: int
    holders: tuple[Holder, ...] | None


class UtilisationRecord(NamedTuple):
    """``samples`` is None where the board has no such signal."""

    gpu: int
    at_ns: int
    samples: tuple[UtilisationSample, ...] | None


class InstancesRecord(NamedTuple):
    """How busy each GPU instance was; ``instances`` is None where there is no such signal."""

    gpu: int
    at_ns: int
    instances: tuple[InstanceActivity, ...] | None


class ProcessRecord(NamedTuple):
    """Who a PID was. ``workload`` and ``phase`` are "" where the recorder had no label for it."""

    at_ns: int
    key: ProcessKey
    comm: str = ""
    workload: str = ""
    phase: str = ""


class ErrorRecord(NamedTuple):
    """A call that failed. ``gpu`` is None where no device could be reached at all."""

    gpu: int | None
    at_ns: int
    call: str
    kind: str  # one of ERROR_KINDS
    reason: str
    message: str = ""


class EndRecord(NamedTuple):
    """The last line of a whole trace. Without it, the recorder was cut off."""

    at_ns: int
    reason: str = ""


Record = (
    GpuRecord
    | ReadingRecord
    | ActivityRecord
    | GaugesRecord
    | HoldersRecord
    | UtilisationRecord
    | InstancesRecord
    | ProcessRecord
    | ErrorRecord
    | EndRecord
)


def error_record(gpu: int | None, at_ns: int, call: str, error: BackendError) -> ErrorRecord:
    """The record of an exception that a backend raised."""
    if isinstance(error, DeviceLost):
        return ErrorRecord(gpu, at_ns, call, DEVICE_LOST, error.reason, str(error))
    if isinstance(error, DriverUnavailable):
        return ErrorRecord(gpu, at_ns, call, DRIVER_UNAVAILABLE, error.reason, str(error))
    return ErrorRecord(gpu, at_ns, call, READ_FAILED, "", str(error))


def recorded_error(record: ErrorRecord) -> BackendError:
    """The same exception again."""
    if record.kind == DEVICE_LOST:
        return DeviceLost(record.reason, record.message)
    if record.kind == DRIVER_UNAVAILABLE:
        return DriverUnavailable(record.reason, record.message)
    return ReadFailed(record.message)
