"""What can go wrong, named for what the caller does next.

SubmeterError
├── InputError            tell the user file, line, found, expected; exit 2
├── ListenFailed          the address can't be listened on now; exit 1
├── StateUnusable         the state directory can't be used; exit 73
├── DriverUnavailable     no usable driver: stay up, say so, retry (exit 69 if one is required)
├── DeviceLost            this GPU is gone: mark it down, look for it again, leave the others alone
└── ReadFailed            this value is missing this time: count it and go on
"""

from typing import Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_GPU: Final = 69
EXIT_STATE: Final = 73
EXIT_TRY_AGAIN: Final = 75


class SubmeterError(Exception):
    """Base of everything submeter raises on purpose. ``exit_code`` is what a command returns."""

    exit_code = EXIT_FAILED


class InputError(SubmeterError):
    """A configuration, scenario or trace is wrong. The message says where and what was expected."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None) -> None:
        where = "" if source is None else f"{source}: " if line is None else f"{source}:{line}: "
        super().__init__(f"{where}{message}")
        self.source = source
        self.line = line


class ListenFailed(SubmeterError):
    """The address is right but can't be had now, as when another program listens on it."""


class StateUnusable(SubmeterError):
    """The state directory or ledger can't be used, or another agent holds it."""

    exit_code = EXIT_STATE


class DriverUnavailable(SubmeterError):
    """No usable driver now. ``reason`` is a short stable word for metrics and logs.

    Reasons: ``library_missing``, ``driver_not_loaded``, ``version_mismatch``, ``no_permission``,
    ``no_gpu``, ``unknown``.
    """

    exit_code = EXIT_NO_GPU

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DeviceLost(SubmeterError):
    """A GPU that was there can't be reached any more. Its totals stay, its gauges go."""

    exit_code = EXIT_TRY_AGAIN

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class ReadFailed(SubmeterError):
    """One call failed this time. Already counted by the backend; the caller just goes on."""
