"""A path that others write in, its names or content out, bounded; nothing where it can't be read.

Managers' files come and go while they are looked at.
"""

import os
from itertools import islice
from pathlib import Path


def entries(folder: Path, most: int) -> list[str]:
    """The names in a folder, ``most`` at most."""
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in islice(found, most)]
    except OSError:
        return []


def content(path: Path, most_bytes: int) -> bytes:
    """The beginning of a file. A pipe that nobody writes to holds nobody up."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most_bytes)
    except OSError:
        return b""
