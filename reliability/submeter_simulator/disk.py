"""A folder in; the same folder on a disk that fails out, and what a crash leaves of it.

The calls of the operating system that change files below the folder are replaced while it is in
use; what SQLite does itself is real. After a power cut, of each file is there what was synced, and
perhaps a part of what was written since, torn at any byte, with blocks that never arrived; of names
are there those that were synced, and perhaps some of the changes since, in their order.

Only for one thread, and for files of some MiB: each sync takes a copy.
"""

import errno
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from unittest import mock

from submeter.ledger import fold

FAULTS: Final = ("full", "unreadable", "unsynced", "read_only", "lying")
"""No room; EIO on writing; EIO on syncing, and what was to be synced is lost; EROFS; what is synced
is not on the disk."""

_BLOCK: Final = 512
_CODES: Final = {"full": errno.ENOSPC, "unreadable": errno.EIO, "read_only": errno.EROFS}

Listing = dict[str, int]
"""Inodes by path below the folder."""


class Crashed(BaseException):
    """The process ended here, or the machine's power did."""


class FailingDisk:
    """Owns a folder. `in_use` replaces the calls; `fault`, `chance` and `crash_after` say what
    happens to them."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.fault = ""
        self.chance = 1.0  # that a call meets the fault
        self.crash_after: int | None = None  # so many changes from now
        self.lied = False  # something that was synced may not be there after a power cut
        self._rng = rng
        self._real = {name: getattr(os, name) for name in _CALLS}
        self._handles: dict[int, str] = {}
        self._synced: dict[int, bytes] = {}
        self._cursed: set[int] = set()  # inodes that lost what could not be synced
        self._gone: dict[int, bytes] = {}
        self._listings: list[Listing] = [{}]  # as synced, and after each change since

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While it lasts, the folder is on this disk."""
        with (
            mock.patch.multiple(os, **{name: getattr(self, f"_{name}") for name in _CALLS}),
            mock.patch.object(shutil, "copyfile", self._copyfile(shutil.copyfile)),
            mock.patch.object(fold, "add_log", self._add_log(fold.add_log)),
        ):
            yield

    def kill(self) -> None:
        """The process ends: its files are closed, and everything it wrote is there."""
        for handle in list(self._handles):
            with suppress(OSError):
                self._real["close"](handle)
        self._handles.clear()
        self.crash_after = None

    def cut_power(self) -> None:
        """The machine ends: the folder is what the disk has."""
        self.kill()
        left = self._left()
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                self._real["rmdir"](path)
            else:
                self._real["unlink"](path)
        for name, content in left.items():
            path = self.root / name
            if not path.parent.exists():
                self._real["mkdir"](path.parent, 0o700)
            path.write_bytes(content)
            path.chmod(0o600)
        self._gone.clear()
        self._cursed.clear()
        self._listings = [self._listing()]
        self._synced = {inode: left[name] for name, inode in self._listings[0].items()}
        self.lied = False

    # ---- what is on the disk ---------------------------------------------------------------

    def _listing(self) -> Listing:
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118  called after each change
                found[path[len(str(self.root)) + 1 :]] = os.lstat(path).st_ino
        return found

    def _left(self) -> dict[str, bytes]:
        now = self._listing()
        content = dict(self._gone)
        content.update({inode: (self.root / name).read_bytes() for name, inode in now.items()})
        names = self._rng.choice([*self._listings, now])
        return {
            name: self._torn(self._synced.get(inode, b""), content.get(inode, b""))
            for name, inode in names.items()
        }

    def _torn(self, synced: bytes, written: bytes) -> bytes:
        """What may be there of a file, from nothing but what was synced to all of it."""
        rng = self._rng
        if synced == written or rng.random() < 0.4:
            return synced
        if not written.startswith(synced):
            return written if rng.random() < 0.5 else synced
        end = rng.randint(len(synced), len(written))
        if rng.random() < 0.4:
            return written[:end]
        # the file has its new length already, and not all of its blocks
        torn = bytearray(written)
        first = len(synced) // _BLOCK * _BLOCK
        for at in range(first, len(written), _BLOCK):
            if rng.random() < 0.4:
                low = max(at, len(synced))
                high = min(at + _BLOCK, len(written))
                torn[low:high] = bytes(high - low)
        return bytes(torn)

    def _keep(self, path: str) -> None:
        """What is deleted or replaced now may be there again after a power cut."""
        with suppress(OSError):
            inode = os.lstat(path).st_ino
            self._gone[inode] = Path(path).read_bytes()

    # ---- what happens to a call ------------------------------------------------------------

    def _inside(self, path: Any) -> str:
        """The path, if it is the folder or below it; else ""."""
        if isinstance(path, int):
            return ""
        whole = os.path.abspath(os.fspath(path))  # noqa: PTH100
        return whole if f"{whole}/".startswith(f"{self.root}/") else ""

    def _change(self, call: Callable[[], Any], *, named: bool) -> Any:
        """A change that is about to happen. ``named``: of what the folder lists."""
        crashing = self._counted()
        if crashing and self._rng.random() < 0.5:
            raise Crashed
        if self._hit("full", "unreadable", "read_only"):
            self._fail(_CODES[self.fault])
        result = call()
        if named:
            self._listings.append(self._listing())
        if crashing:
            raise Crashed
        return result

    def _counted(self) -> bool:
        if self.crash_after is None:
            return False
        self.crash_after -= 1
        return self.crash_after < 0

    def _hit(self, *faults: str) -> bool:
        return self.fault in faults and self._rng.random() < self.chance

    def _fail(self, code: int) -> None:
        raise OSError(code, os.strerror(code))

    # ---- the calls -------------------------------------------------------------------------

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        real = self._real["open"]
        whole = self._inside(path) if dir_fd is None else ""
        if not whole:
            handle: int = real(path, flags, mode, dir_fd=dir_fd)
            return handle
        if flags & os.O_CREAT and not os.path.lexists(whole):
            handle = self._change(lambda: real(path, flags, mode), named=True)
        elif self._hit("read_only") and flags & (os.O_WRONLY | os.O_RDWR):
            self._fail(errno.EROFS)
        else:
            handle = real(path, flags, mode)
        self._handles[handle] = whole
        return handle

    def _close(self, handle: int) -> None:
        self._handles.pop(handle, None)
        self._real["close"](handle)

    def _write(self, handle: int, data: bytes) -> int:
        real = self._real["write"]
        if handle not in self._handles:
            return int(real(handle, data))
        part = self._rng.randrange(len(data) + 1)
        if self._counted():
            real(handle, data[:part])
            raise Crashed
        if self._hit("full"):
            if not part:
                self._fail(errno.ENOSPC)
            return int(real(handle, data[:part]))
        if self._hit("unreadable", "read_only"):
            self._fail(_CODES[self.fault])
        return int(real(handle, data))

    def _fsync(self, handle: int) -> None:
        self._sync(handle, "fsync")

    def _fdatasync(self, handle: int) -> None:
        self._sync(handle, "fdatasync")

    def _sync(self, handle: int, name: str) -> None:
        path = self._handles.get(handle)
        if path is None and self._inside_handle(handle) is None:
            self._real[name](handle)
            return
        inode = os.fstat(handle).st_ino
        if self._counted():
            if self._rng.random() < 0.5:
                self._made_durable(handle, inode)
            raise Crashed
        if self._hit("unsynced"):
            self._cursed.add(inode)
            self._fail(errno.EIO)
        if self._hit("lying"):
            self.lied = True
            return
        self._made_durable(handle, inode)

    def _inside_handle(self, handle: int) -> str | None:
        return self._inside(_path_of(handle)) or None

    def _made_durable(self, handle: int, inode: int) -> None:
        if _path_of(handle).is_dir():
            self._listings = [self._listing()]
            self._forget()
            return
        size = os.fstat(handle).st_size
        again = self._real["open"](f"/proc/self/fd/{handle}", os.O_RDONLY)
        try:
            content = os.pread(again, size, 0)
        finally:
            self._real["close"](again)
        before = self._synced.get(inode, b"")
        if inode in self._cursed and content[: len(before)] == before:
            content = before  # the system thinks that the lost part is on the disk
        self._synced[inode] = content

    def _forget(self) -> None:
        """Files whose names are gone for good, whatever happens: a year deletes gigabytes."""
        left = {*self._listings[0].values(), *(os.fstat(each).st_ino for each in self._handles)}
        self._synced = {inode: text for inode, text in self._synced.items() if inode in left}
        self._gone = {inode: text for inode, text in self._gone.items() if inode in left}
        self._cursed &= left

    def _ftruncate(self, handle: int, length: int) -> None:
        if handle not in self._handles:
            self._real["ftruncate"](handle, length)
            return
        self._change(lambda: self._real["ftruncate"](handle, length), named=False)

    def _rename(self, source: Any, target: Any, **where: Any) -> None:
        whole = self._inside(target)
        if not whole:
            self._real["rename"](source, target, **where)
            return
        self._keep(whole)
        self._change(lambda: self._real["rename"](source, target), named=True)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        whole = self._inside(path) if dir_fd is None else ""
        if not whole:
            self._real["unlink"](path, dir_fd=dir_fd)
            return
        self._keep(whole)
        self._change(lambda: self._real["unlink"](path), named=True)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if not self._inside(path):
            self._real["mkdir"](path, mode, dir_fd=dir_fd)
            return
        self._change(lambda: self._real["mkdir"](path, mode), named=False)

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._real["rmdir"](path, dir_fd=dir_fd)

    def _copyfile(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def copyfile(source: Any, target: Any, **options: Any) -> Any:
            if self._inside(target):
                if self._hit("full", "read_only"):
                    self._fail(_CODES[self.fault])
                if self._counted():
                    raise Crashed
            return real(source, target, **options)

        return copyfile

    def _add_log(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def add_log(copy: Path, *rest: Any) -> Any:
            if self._inside(copy):
                if self._hit("full", "unreadable"):
                    raise _sqlite_error(self.fault)
                if self._counted():
                    raise Crashed
            return real(copy, *rest)

        return add_log


def _path_of(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}").readlink()


def _sqlite_error(fault: str) -> sqlite3.OperationalError:
    full = fault == "full"
    error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
    return error


_CALLS: Final = (
    *("open", "close", "write", "fsync", "fdatasync"),
    *("ftruncate", "rename", "unlink", "mkdir", "rmdir"),
)
