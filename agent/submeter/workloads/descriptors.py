"""A process's open files in, its sockets and the kinds of files it writes out.

Given the descriptor of its directory in /proc, which the kernel ties to that very process. Names of
files are looked at and dropped.
"""

import os
from collections.abc import Iterator
from itertools import islice
from stat import S_IWUSR
from typing import Final

from submeter.workloads.rules import WRITTEN

_MOST: Final = 4096


def sockets(directory: int) -> Iterator[bytes]:
    """Inodes of its sockets. Nothing where its descriptors may not be seen."""
    for _, target, _ in _links(directory):
        if target.startswith("socket:["):
            yield target[8:-1].encode("ascii", "replace")


def written(directory: int) -> Iterator[str]:
    """The kind (`submeter.workloads.rules.WRITTEN`) of each file open for writing that has one.

    Of a link in fd/ the owner's right to write says how the file was opened: proc(5).
    """
    for name, target, folder in _links(directory):
        kind = _kind(target.rpartition("/")[2])
        if kind and _for_writing(name, folder):
            yield kind


def _links(directory: int) -> Iterator[tuple[str, str, int]]:
    """Each descriptor's name, what it is of, and the folder it is in."""
    try:
        folder = os.open("fd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
    except OSError:
        return
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, _MOST):
                yield entry.name, _target(entry.name, folder), folder
    except OSError:
        return
    finally:
        os.close(folder)


def _target(name: str, folder: int) -> str:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return ""  # closed in the meantime


def _kind(name: str) -> str:
    if "." not in name:
        return ""
    for one in WRITTEN:
        if name.endswith(one.endings) or (one.containing and one.containing in name):
            return one.kind
    return ""


def _for_writing(name: str, folder: int) -> bool:
    try:
        return bool(os.lstat(name, dir_fd=folder).st_mode & S_IWUSR)
    except OSError:
        return False
