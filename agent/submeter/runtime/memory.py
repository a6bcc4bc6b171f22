"""What keeps the memory that the agent takes small.

The C library is told how to keep memory for many threads only where ctypes is there already, as it
is with a driver; else it would cost more than it gives.
"""

import importlib
import sys
from contextlib import suppress
from typing import Any, Final

_MALLOPT: Final = ((-8, 2), (-3, 128 * 1024), (-1, 256 * 1024))
"""M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD (malloc.h of glibc)."""


def keep_together() -> None:
    """Two arenas for all threads; large texts are mapped, and given back at once. By default glibc
    gives each thread an arena and lets the threshold for mapping grow: hours of scrapes by threads
    that come and go then leave more holes than memory in use. Measured with `make soak`."""
    for option, value in _MALLOPT:
        _call("mallopt", option, value)


def give_back() -> None:
    """What was used and freed: glibc keeps about 600 kB of it after starting otherwise, and about
    one MiB among churn. Takes less than a millisecond."""
    _call("malloc_trim", 0)


def do_without_tls() -> None:
    """From now on asyncio has no TLS, if it wasn't loaded yet; everybody else has. It loads OpenSSL
    whether anybody wants that or not: 4 MiB of an agent that serves plain HTTP."""
    if "asyncio" not in sys.modules and "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]  # as where Python was built without
        try:
            importlib.import_module("asyncio")
        finally:
            del sys.modules["ssl"]


def _call(function: str, *values: int) -> None:
    ctypes: Any = sys.modules.get("ctypes")
    if ctypes is not None:
        with suppress(AttributeError, OSError):  # other C libraries have no such function
            getattr(ctypes.CDLL(None), function)(*values)
