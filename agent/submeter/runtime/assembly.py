"""A configuration in, the backend it asks for out, with what that needs from the node."""

import logging
from typing import TYPE_CHECKING

from submeter.backends import Backend, load
from submeter.clock import Clock, ScaledClock, SystemClock
from submeter.config import Config, backend_options
from submeter.workloads import ProcfsSource

if TYPE_CHECKING:
    from submeter.ticking import Library

_log = logging.getLogger(__name__)


def clock_of(config: Config) -> Clock:
    """Real time; for a recording, time as it was then, at the configured speed."""
    if config.backend != "replay" or config.replay.trace is None:
        return SystemClock()
    from submeter.backends.replay import opening

    first = opening(config.replay.trace)
    for warning in first.warnings:
        _log.warning("%s", warning)
    return ScaledClock(first.start_boottime_ns, first.start_wall_ns, config.replay.speed)


def backend_of(config: Config, clock: Clock) -> Backend:
    """The configured backend, not opened yet; real GPUs with the node's real processes.

    Raises InputError where its options are wrong.
    """
    options = dict(backend_options(config))
    if config.backend == "nvml":
        processes = ProcfsSource(read_environ=config.classify.read_environ)
        if not processes.sees_host_pids():
            _log.warning(
                "in a PID namespace of its own: who the driver names may not be visible here, and "
                "their energy stays unattributed; run on the host, or with its PIDs (hostPID)"
            )
        options["processes"] = processes
        options["compiled"] = ticking_of(config, clock)
    return load(config.backend, clock, options)


def ticking_of(config: Config, clock: Clock) -> "Library | None":
    """What polls the sensors and understands what they say, in C; None where Python does that:
    nothing but NVML in real time needs it, and it is there only where it could be compiled."""
    real = config.backend == "nvml" and isinstance(clock, SystemClock)
    if not real or not config.sampling.compiled:
        return None
    from submeter.ticking import library

    return library()
