"""Bytes in, files that are whole at every moment out."""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Puts ``data`` at ``path`` in one step: whoever opens it sees the old file or the new one.

    Raises OSError, and leaves nothing behind, where that fails.
    """
    # A dot and no ending of its own: readers of a folder look for endings such as ".prom".
    new = path.with_name(f".{path.name}.{os.getpid()}~")
    try:
        new.unlink(missing_ok=True)  # of an agent that was killed and had our PID
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def append(fd: int, data: bytes) -> None:
    """Appends all of ``data`` to an open file, or nothing of it. Raises OSError if not all."""
    size = os.fstat(fd).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def mend(fd: int) -> None:
    """Takes away a last line without an end: its writer was killed, or its disk full."""
    size = os.fstat(fd).st_size
    kept = size
    while kept:
        start = max(0, kept - (1 << 16))
        newline = os.pread(fd, kept - start, start).rfind(b"\n")
        if newline >= 0:
            kept = start + newline + 1
            break
        kept = start
    if kept != size:
        os.ftruncate(fd, kept)
