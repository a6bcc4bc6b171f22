"""A path in, the agent's Unix socket listening there out: who may connect, what is in the way."""

import errno
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from submeter.errors import InputError, ListenFailed

_BACKLOG: Final = 64
_UMASK: Final = 0o117  # what is left is 0660


def listening(path: Path, group: str | None) -> socket.socket:
    """Listens there: mode 0660, owned by the agent's user and that group (its own if None).

    What a dead agent left behind is taken away. Raises ListenFailed, and InputError for an
    unknown group.
    """
    gid = None if group is None else _gid(group)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear(path)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _umask(_UMASK):
                server.bind(os.fspath(path))
            if gid is not None:
                os.chown(path, -1, gid, follow_symlinks=False)
            server.listen(_BACKLOG)
        except OSError:
            server.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenFailed(f"can't listen on {path}: {reason}") from error
    return server


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise InputError(f"classify.socket_group: there is no group {group!r} here") from error


def _clear(path: Path) -> None:
    """Takes a socket away that nobody listens on any more; anything else stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "something that is no socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # its queue is full: somebody is there
    raise OSError(errno.EADDRINUSE, "another agent listens there")


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
