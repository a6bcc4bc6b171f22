"""What an NVML return code means here: a number in, an action with its reason out. Total.

Every code of nvml.h 13.5 (1–30 and 999) has its row; a number that isn't in the table is retried,
because a driver newer than this table must not stop the meter.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed, SubmeterError

SUCCESS: Final = 0
UNINITIALIZED: Final = 1
NOT_SUPPORTED: Final = 3
INSUFFICIENT_SIZE: Final = 7
LIBRARY_NOT_FOUND: Final = 12
FUNCTION_NOT_FOUND: Final = 13
LIB_RM_VERSION_MISMATCH: Final = 18
UNKNOWN: Final = 999


class Action(StrEnum):
    """What the caller does about a code."""

    UNSUPPORTED = "unsupported"  # remember it, name it in GpuInfo.missing, don't call again
    EMPTY = "empty"  # nothing there this time: an empty answer, no error
    RETRY = "retry"  # count it, go on, ask again at the next tick
    DEVICE_LOST = "device_lost"  # this GPU is down; the others go on
    DRIVER_LOST = "driver_lost"  # all GPUs are down: close, open again with back-off
    PERMISSION = "permission"  # remember it, name it in GpuInfo.missing, don't call again
    GROW = "grow"  # ask again with a larger buffer
    BUG = "bug"  # we asked wrongly, or the handle is stale: count it, go on


class Code(NamedTuple):
    """One row: the number, NVML's name for it in lower case, what to do, and why."""

    number: int
    name: str
    action: Action
    reason: str


_A = Action

TABLE: Final[tuple[Code, ...]] = (
    Code(1, "uninitialized", _A.DRIVER_LOST, "NVML was shut down or never opened"),
    Code(2, "invalid_argument", _A.BUG, "the driver refuses the question, or the handle is stale"),
    Code(3, "not_supported", _A.UNSUPPORTED, "this GPU doesn't offer it"),
    Code(4, "no_permission", _A.PERMISSION, "this user may not ask for it"),
    Code(5, "already_initialized", _A.BUG, "deprecated: NVML counts its initialisations"),
    Code(6, "not_found", _A.EMPTY, "nothing matches, for instance no sample newer than the last"),
    Code(7, "insufficient_size", _A.GROW, "the buffer is too small for the answer"),
    Code(8, "insufficient_power", _A.DEVICE_LOST, "the external power cables aren't attached"),
    Code(9, "driver_not_loaded", _A.DRIVER_LOST, "the NVIDIA kernel module isn't loaded"),
    Code(10, "timeout", _A.RETRY, "the driver gave up waiting"),
    Code(11, "irq_issue", _A.DEVICE_LOST, "the kernel found an interrupt problem with the GPU"),
    Code(12, "library_not_found", _A.DRIVER_LOST, "libnvidia-ml.so.1 couldn't be loaded"),
    Code(13, "function_not_found", _A.UNSUPPORTED, "the driver's library is too old for it"),
    Code(14, "corrupted_inforom", _A.RETRY, "the board's infoROM is corrupted"),
    Code(15, "gpu_is_lost", _A.DEVICE_LOST, "the GPU fell off the bus"),
    Code(16, "reset_required", _A.DEVICE_LOST, "the GPU must be reset before it can be used"),
    Code(17, "operating_system", _A.RETRY, "the operating system blocked the request"),
    Code(18, "lib_rm_version_mismatch", _A.DRIVER_LOST, "library and kernel module differ"),
    Code(19, "in_use", _A.RETRY, "the GPU is in use by something that excludes us"),
    Code(20, "memory", _A.RETRY, "the driver ran out of memory"),
    Code(21, "no_data", _A.EMPTY, "there is no value yet"),
    Code(22, "vgpu_ecc_not_supported", _A.UNSUPPORTED, "not offered to a vGPU with ECC"),
    Code(23, "insufficient_resources", _A.RETRY, "the driver ran out of something"),
    Code(24, "freq_not_supported", _A.UNSUPPORTED, "the GPU doesn't offer that frequency"),
    Code(25, "argument_version_mismatch", _A.UNSUPPORTED, "the library speaks another version"),
    Code(26, "deprecated", _A.UNSUPPORTED, "the driver no longer answers this"),
    Code(27, "not_ready", _A.RETRY, "the system isn't ready yet"),
    Code(28, "gpu_not_found", _A.DEVICE_LOST, "the driver no longer has such a GPU"),
    Code(29, "invalid_state", _A.RETRY, "the GPU isn't in the right state for it"),
    Code(30, "reset_type_not_supported", _A.UNSUPPORTED, "the GPU has no such reset"),
    Code(999, "unknown", _A.RETRY, "an internal error of the driver"),
)

CODES: Final[Mapping[int, Code]] = {code.number: code for code in TABLE}

PERMANENT: Final = frozenset({Action.UNSUPPORTED, Action.PERMISSION})
"""Asking again while the device is open would give the same answer."""

LOST: Final = frozenset({Action.DEVICE_LOST, Action.DRIVER_LOST})
"""There is nothing to ask any more."""

_DRIVER_REASONS: Final[Mapping[int, str]] = {
    4: "no_permission",
    9: "driver_not_loaded",
    12: "library_missing",
    18: "version_mismatch",
    28: "no_gpu",
}


class Fault(Exception):
    """A call that gave a code other than success. Internal: devices turn it into `error_of`."""

    def __init__(self, call: str, number: int) -> None:
        super().__init__(call, number)
        self.call = call
        self.code = code_of(number)


def code_of(number: int) -> Code:
    """The row of any number at all."""
    known = CODES.get(number)
    if known is not None:
        return known
    return Code(number, f"error_{number}", Action.RETRY, "a code this version doesn't know")


def explain(code: Code) -> str:
    """The reason of a code for people, with the name to search for."""
    return f"{code.reason} ({code.name})"


def error_of(fault: Fault) -> SubmeterError:
    """What a device method raises for a fault."""
    code = fault.code
    message = f"{fault.call}: {explain(code)}"
    if code.action is Action.DEVICE_LOST:
        return DeviceLost(code.name, message)
    if code.action is Action.DRIVER_LOST:
        return unavailable(fault)
    return ReadFailed(message)


def unavailable(fault: Fault) -> DriverUnavailable:
    """The fault as the end of this driver session, with its short stable reason."""
    code = fault.code
    reason = _DRIVER_REASONS.get(code.number, "unknown")
    return DriverUnavailable(reason, f"{fault.call}: {explain(code)}")
