"""Bytes in, a file out that has them: in memory, and the same one each time."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from submeter.testing.memory import IN_MEMORY


class MemoryFile:
    """Owns one open file. Opened once: making and opening cost more than what is tested."""

    def __init__(self, name: str) -> None:
        self._path = folder(name) / name
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def holding(self, data: bytes | bytearray) -> Path:
        """Where the file is, which has nothing but these from now on."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)
        return self._path


@cache
def folder(name: str) -> Path:
    """An empty folder, for the life of this process."""
    made = Path(tempfile.mkdtemp(prefix=f"submeter-{name}-", dir=IN_MEMORY))
    made.chmod(0o700)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
