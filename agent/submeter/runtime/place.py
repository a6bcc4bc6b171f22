"""A state directory in, whether a ledger may be kept there out."""

import ctypes
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from submeter.errors import StateUnusable

_NETWORK: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x47504653: "GPFS",
    0xAAD7AAEA: "PanFS",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
}
"""f_type of file systems that other machines write to as well (linux/magic.h, statfs(2)): their
locks are not kept as SQLite needs them (sqlite.org/faq.html#q5)."""

_DOUBTFUL: Final = {
    0x01021994: "tmpfs, whose files are gone when the machine restarts",
    0x858458F6: "ramfs, whose files are gone when the machine restarts",
    0x794C7630: "an overlay, as of a container, whose files go with it",
    0x65735546: "FUSE, which may be a network's",
    0x01021997: "9P, which may be a network's",
}

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_STATFS_BYTES: Final = 256  # struct statfs has 120 on 64-bit Linux; f_type is its first word


def filesystem_type(directory: Path) -> int:
    """f_type of the file system that a directory is on; 0 where it can't be told."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.statfs(os.fsencode(directory), buffer) != 0:
        return 0
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], "little") & 0xFFFFFFFF


def refuse_unsafe(directory: Path, filesystem: Callable[[Path], int] = filesystem_type) -> str:
    """Raises StateUnusable for a directory in which others could change the ledger, or where a
    ledger can't be kept; gives in words what is doubtful about it, or ""."""
    try:
        link = directory.is_symlink()
        found = directory.stat()
    except OSError as error:
        raise StateUnusable(f"{directory} can't be used: {error.strerror}") from error
    if link and not _of_systemd(directory):
        raise StateUnusable(
            f"{directory} is a symbolic link, which others could turn elsewhere; name the "
            "directory itself with --state-dir"
        )
    if not stat.S_ISDIR(found.st_mode):
        raise StateUnusable(f"{directory} is no directory; choose another with --state-dir")
    if found.st_mode & _OTHERS_WRITE:
        raise StateUnusable(
            f"{directory} can be written by others (mode {stat.S_IMODE(found.st_mode):o}): "
            f"chmod go-w {directory}"
        )
    if found.st_uid not in {os.geteuid(), 0}:
        raise StateUnusable(f"{directory} belongs to another user (UID {found.st_uid})")
    kind = filesystem(directory)
    if kind in _NETWORK:
        raise StateUnusable(
            f"{directory} is on a network file system ({_NETWORK[kind]}), where a ledger can be "
            "corrupted; choose a local directory with --state-dir"
        )
    return _DOUBTFUL.get(kind, "")


def _of_systemd(link: Path) -> bool:
    """DynamicUser= with StateDirectory=X makes /var/lib/X a link of root's to private/X."""
    own = link.lstat().st_uid == 0
    return own and link.resolve() == (link.parent / "private" / link.name).resolve()
