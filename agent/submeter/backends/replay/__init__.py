"""A recording played back: a trace or a power log in, devices that answer as the recorded ones did.

`opening` says when a recording began, so that a clock can be set before `create`:

    first = opening(path)
    clock = ScaledClock(first.start_boottime_ns, first.start_wall_ns, speed)
    backend = create(clock, {"trace": path})
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from submeter.backends.replay.backend import ReplayBackend
from submeter.clock import Clock
from submeter.errors import InputError
from submeter.trace import open_trace

_OPTIONS = ("trace", "speed")  # the speed is the clock's; it may be named all the same


@dataclass(frozen=True, slots=True)
class Opening:
    """When a recording began and how long it is. ``start_wall_ns`` is 0 where it has no dates."""

    start_boottime_ns: int
    start_wall_ns: int
    duration_ns: int
    truncated_at: int | None
    warnings: tuple[str, ...]


def opening(path: str | Path) -> Opening:
    """What a clock must be set to before the recording is played. Raises InputError."""
    trace = open_trace(path)
    header = trace.header
    start_ns = min(trace.first_ns, header.start_boottime_ns)
    return Opening(
        start_boottime_ns=start_ns,
        start_wall_ns=max(0, header.start_wall_ns - (header.start_boottime_ns - start_ns)),
        duration_ns=trace.last_ns - start_ns,
        truncated_at=trace.truncated_at,
        warnings=trace.warnings,
    )


def create(clock: Clock, options: Mapping[str, object]) -> ReplayBackend:
    """The backend for the recording ``options["trace"]``. Raises InputError for a bad one."""
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InputError(f"replay: unknown option {unknown[0]!r}, expected {', '.join(_OPTIONS)}")
    path = options.get("trace")
    if not isinstance(path, str | Path):
        raise InputError(f"replay: found trace {path!r}, expected the path of a recording")
    return ReplayBackend(clock, open_trace(path))


__all__ = ["Opening", "ReplayBackend", "create", "opening"]
