"""What goes wrong: a board's fault plans in, the right exception, delay or wrong value out.

Error codes are those of the public nvml.h (``nvmlReturn_t``), their names in lower case.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from submeter.backends import Tally
from submeter.backends.mock.plan import FaultPlan
from submeter.clock import Clock
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.units import NS_PER_MS

_SLICE_NS: Final = 100 * NS_PER_MS  # a hanging call looks this often whether it may give up


class ErrorCode(NamedTuple):
    """An NVML return code and what it means for whoever called."""

    name: str
    means: str  # value: nothing this time | lost: this GPU | else DriverUnavailable's reason


ERRORS: Final = {
    1: ErrorCode("uninitialized", "unknown"),
    2: ErrorCode("invalid_argument", "value"),
    3: ErrorCode("not_supported", "value"),
    4: ErrorCode("no_permission", "value"),
    5: ErrorCode("already_initialized", "value"),
    6: ErrorCode("not_found", "value"),
    7: ErrorCode("insufficient_size", "value"),
    8: ErrorCode("insufficient_power", "lost"),
    9: ErrorCode("driver_not_loaded", "driver_not_loaded"),
    10: ErrorCode("timeout", "value"),
    11: ErrorCode("irq_issue", "lost"),
    12: ErrorCode("library_not_found", "library_missing"),
    13: ErrorCode("function_not_found", "value"),
    14: ErrorCode("corrupted_inforom", "value"),
    15: ErrorCode("gpu_is_lost", "lost"),
    16: ErrorCode("reset_required", "lost"),
    17: ErrorCode("operating_system", "value"),
    18: ErrorCode("lib_rm_version_mismatch", "version_mismatch"),
    19: ErrorCode("in_use", "value"),
    20: ErrorCode("memory", "value"),
    21: ErrorCode("no_data", "value"),
    22: ErrorCode("vgpu_ecc_not_supported", "value"),
    23: ErrorCode("insufficient_resources", "value"),
    24: ErrorCode("freq_not_supported", "value"),
    25: ErrorCode("argument_version_mismatch", "value"),
    26: ErrorCode("deprecated", "value"),
    27: ErrorCode("not_ready", "value"),
    28: ErrorCode("gpu_not_found", "lost"),
    29: ErrorCode("invalid_state", "value"),
    30: ErrorCode("reset_type_not_supported", "value"),
    999: ErrorCode("unknown", "value"),
}

CALLS: Final = {
    # What a scenario calls it → the NVML call that the error counters name.
    "readings": "nvmlDeviceGetFieldValues",
    "energy": "nvmlDeviceGetFieldValues",
    "instant": "nvmlDeviceGetFieldValues",
    "average": "nvmlDeviceGetFieldValues",
    "activity": "nvmlDeviceGetUtilizationRates",
    "gauges": "nvmlDeviceGetTemperature",
    "holders": "nvmlDeviceGetComputeRunningProcesses",
    "utilisation": "nvmlDeviceGetProcessUtilization",
    "instances": "nvmlGpmMetricsGet",
}

VALUE_CALLS: Final = ("energy", "instant", "average")
"""Values that come with `readings`: one may be missing while the others are there."""

DRIVER_REASONS: Final = (
    "library_missing", "driver_not_loaded", "version_mismatch", "no_permission", "no_gpu",
    "unknown",
)  # fmt: skip


def loses_board(plan: FaultPlan) -> bool:
    """Whether the board can't even be found while that fault lasts."""
    every_call = plan.kind == "error" and plan.call in {"all", "readings"}
    return plan.kind == "vanish" or (every_call and ERRORS[plan.code].means == "lost")


class Faults:
    """The faults of one opened board. Counts in ``tally`` what it makes fail."""

    def __init__(
        self, plans: tuple[FaultPlan, ...], gpu: int, clock: Clock, origin_ns: int, tally: Tally
    ) -> None:
        self._plans = tuple(plan for plan in plans if gpu in plan.gpus)
        self._clock = clock
        self._origin_ns = origin_ns
        self._opened_ns = clock.boottime_ns() - origin_ns
        self.tally = tally
        self.closed = False

    def __bool__(self) -> bool:
        return bool(self._plans)

    def check(self, call: str, at_ns: int) -> int:
        """Lets a call through, late perhaps: gives the time at which it comes back.

        Raises DeviceLost, DriverUnavailable or ReadFailed where the scenario says so.
        """
        if self.closed:
            raise DeviceLost("closed", "the backend was closed meanwhile")
        if not self._plans:
            return at_ns
        self._whole_board(call, at_ns)
        for plan in self._active("hang", call, at_ns):
            at_ns = self._hang(at_ns + plan.hang_ns)
        for plan in self._active("error", call, at_ns):
            self._fail(call, plan.code)
        return at_ns

    def value(self, call: str, at_ns: int, value: int | None, limit: int) -> int | None:
        """That value, or the garbage the scenario puts in its place; None beyond ``limit``."""
        for plan in self._active("error", call, at_ns) if self._plans else ():
            try:
                self._fail(call, plan.code)
            except ReadFailed:
                return None
        for garbage in self.garbage(call, at_ns):
            value = garbage
        if value is not None and not 0 <= value <= limit:
            self.implausible(call)
            return None
        return value

    def garbage(self, call: str, at_ns: int) -> Iterator[int]:
        """Wrong values that are to be seen instead of the true ones."""
        return (plan.value for plan in self._plans if self._hits(plan, "garbage", call, at_ns))

    def answers(self, call: str, at_ns: int, code: int) -> bool:
        """True (and counted) while that call is to answer with just this code."""
        for plan in self._plans:
            if self._hits(plan, "error", call, at_ns) and plan.code == code:
                self.tally.failed(CALLS[call], ERRORS[code].name)
                return True
        return False

    def implausible(self, call: str) -> None:
        """Counts a value that was thrown away."""
        self.tally.failed(CALLS[call], "implausible")

    def _whole_board(self, call: str, at_ns: int) -> None:
        for plan in self._plans:
            # Once lost, a handle stays lost: the board must be looked for again.
            begun = plan.start_ns <= at_ns and (
                plan.end_ns is None or plan.end_ns > self._opened_ns
            )
            if plan.kind == "vanish" and begun:
                self._fail(call, 15)
            if plan.kind == "driver_unavailable" and begun:
                self.tally.failed(CALLS[call], plan.reason)
                raise DriverUnavailable(plan.reason, f"simulated: {plan.reason}")

    def _active(self, kind: str, call: str, at_ns: int) -> list[FaultPlan]:
        return [plan for plan in self._plans if self._hits(plan, kind, call, at_ns)]

    @staticmethod
    def _hits(plan: FaultPlan, kind: str, call: str, at_ns: int) -> bool:
        everywhere = plan.call == "all" and call not in VALUE_CALLS
        return plan.kind == kind and (plan.call == call or everywhere) and plan.active(at_ns)

    def _hang(self, until_ns: int) -> int:
        """Blocks the calling thread as a stuck driver call does."""
        until_ns += self._origin_ns
        while not self.closed and (now_ns := self._clock.boottime_ns()) < until_ns:
            self._clock.sleep_until(min(until_ns, now_ns + _SLICE_NS))
        if self.closed:
            raise DeviceLost("closed", "the backend was closed meanwhile")
        return max(self._clock.boottime_ns(), until_ns) - self._origin_ns

    def _fail(self, call: str, code: int) -> NoReturn:
        error, means = ERRORS[code]
        self.tally.failed(CALLS[call], error)
        message = f"simulated: {CALLS[call]}: {error}"
        if means == "lost":
            raise DeviceLost(error, message)
        if means == "value":
            raise ReadFailed(message)
        raise DriverUnavailable(means, message)
