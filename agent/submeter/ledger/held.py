"""A file that is held open in; the same file in its place out, whatever others did to it."""

import logging
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from submeter.ledger.fold import FRESH_SUFFIX

_log = logging.getLogger(__name__)


class Held(NamedTuple):
    """A file that is open, so that it can be told from another one, and restored."""

    path: Path
    handle: int
    flags: int  # it is opened with

    def in_place(self) -> "Held":
        """The file in its place: put back, and opened again, if somebody deleted or replaced it.
        Raises OSError."""
        if self._there():
            return self
        self._put_back()
        again = os.open(self.path, self.flags | os.O_NOFOLLOW)
        os.close(self.handle)
        return self._replace(handle=again)

    def _there(self) -> bool:
        """Whether the file is still where it was."""
        try:
            found = os.stat(self.path, follow_symlinks=False)  # noqa: PTH116
        except FileNotFoundError:
            return False
        mine = os.fstat(self.handle)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def _put_back(self) -> None:
        fresh = self.path.with_name(self.path.name + FRESH_SUFFIX)
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(os.dup(self.handle), "rb") as source, open(os.dup(handle), "wb") as target:  # noqa: PTH123
                source.seek(0)
                shutil.copyfileobj(source, target)
            os.fsync(handle)
        finally:
            os.close(handle)
        stranger = aside(self.path, "replaced", 0)
        replaced = self.path.exists() or self.path.is_symlink()
        if replaced:
            self.path.rename(stranger)
        fresh.rename(self.path)
        sync_folder(self.path.parent)
        _log.error(
            "%s was %s while the agent runs; it is restored, and nothing is lost",
            self.path,
            f"replaced by another file, which is kept as {stranger.name},"
            if replaced
            else "deleted",
        )


def aside(path: Path, why: str, now_s: int) -> Path:
    """A name beside a file that was never used."""
    for number in range(1_000):
        suffix = f"-{number}" if number else ""
        found = path.with_name(f"{path.stem}.{why}-{now_s}{suffix}")
        if not found.exists():
            break
    return found


def sync_folder(directory: Path) -> None:
    """Makes new names in it durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
