"""NVIDIA GPUs through nvidia-ml-py: `create` gives the backend, not yet opened.

Reads only, by the calls listed in `calls`; the only package that imports pynvml.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from submeter.backends import ProcessSource
from submeter.backends.nvml.backend import NvmlBackend, Unopened
from submeter.clock import Clock
from submeter.errors import InputError
from submeter.model import ProcessFacts, ProcessKey
from submeter.ticking import Library

__all__ = ["NvmlBackend", "Unopened", "create"]

_OPTIONS = ("compiled", "processes", "sysfs")


class Unidentified:
    """Nobody is known: for callers that want the GPUs alone."""

    def identify(self, pid: int) -> ProcessKey | None:  # noqa: ARG002
        return None

    def facts(self, key: ProcessKey) -> ProcessFacts | None:  # noqa: ARG002
        return None


def create(clock: Clock, options: Mapping[str, object]) -> NvmlBackend:
    """The backend. Options: ``processes``, a ProcessSource, without which nobody is identified;
    ``sysfs``, where to see which GPUs are asleep (default ``/sys``); ``compiled``, what understands
    answers in C (`submeter.ticking`). Raises InputError."""
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InputError(f"backend nvml has no option {unknown[0]!r}; it has {', '.join(_OPTIONS)}")
    processes = options.get("processes", Unidentified())
    if not callable(getattr(processes, "identify", None)):
        raise InputError("backend nvml: option processes must be a ProcessSource")
    sysfs = Path(str(options.get("sysfs", "/sys")))
    functions = options.get("compiled")
    if functions is not None and not isinstance(functions, Library):
        raise InputError(
            "backend nvml: option compiled must be what submeter.ticking.library gives"
        )
    return NvmlBackend(clock, cast("ProcessSource", processes), sysfs, functions)
