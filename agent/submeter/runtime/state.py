"""A state directory in, the right to be its only agent out."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from submeter.errors import StateUnusable
from submeter.runtime.place import refuse_unsafe

_log = logging.getLogger(__name__)

LOCK_NAME: Final = "agent.lock"


@contextmanager
def held(directory: Path) -> Iterator[Path]:
    """Holds the state directory for this process; the kernel lets go whatever ends it.

    Raises StateUnusable where it can't be used, or another agent has it.
    """
    handle = _locked(directory)
    try:
        yield directory
    finally:
        os.close(handle)


def refuse_mixing(directory: Path) -> None:
    """For what is simulated or replayed, where nobody has named the directory: raises StateUnusable
    where it has a ledger of real GPUs. A ledger keeps the two apart, but what reads it shows what
    was written last."""
    # With SQLite, which `submeter --help` can do without.
    from submeter.ledger.reader import open_reader
    from submeter.ledger.schema import FILE_NAME

    if not (directory / FILE_NAME).exists():
        return
    try:
        with open_reader(directory) as reader:
            real = "nvml" in reader.backends
    except StateUnusable:
        return  # damaged: that is seen to when it is opened to be written
    if real:
        raise StateUnusable(
            f"{directory} has the ledger of this node's real GPUs, and what is simulated or "
            "replayed would be written beside it: name another directory with --state-dir"
        )


def problem(directory: Path) -> str:
    """Why the directory could not be held now; empty where it could. One that is not there yet
    is not made: nobody asked for it."""
    if not directory.exists():
        parent = next(each for each in directory.absolute().parents if each.exists())
        if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return ""
        return f"{directory} can't be made in {parent}; choose another with --state-dir"
    try:
        with held(directory):
            return ""
    except StateUnusable as error:
        return str(error)


def _locked(directory: Path) -> int:
    try:
        if not directory.is_symlink():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        doubtful = refuse_unsafe(directory)
        path = directory / LOCK_NAME
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateUnusable(
            f"the state directory {directory} can't be used: {error.strerror}; "
            "choose another with --state-dir"
        ) from error
    if doubtful:
        _log.warning("the ledger in %s is on %s", directory, doubtful)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        if error.errno != errno.EWOULDBLOCK:
            raise StateUnusable(f"{directory} can't be locked: {error.strerror}") from error
        raise StateUnusable(
            f"another agent (PID {holder}) uses {directory}; stop it, or choose another "
            "directory with --state-dir"
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def boot_id() -> str:
    """Which boot of this machine it is; empty where the kernel doesn't say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
