"""Commits in, a durable ledger out: the only thing that writes to one.

Each commit is added to a log (log.py) and synced to the disk before it counts. Now and then the log
is folded in: a copy of the database gets the log's rows, is synced, and takes the database's place.
So neither file ever changes where somebody may be reading or copying it.
"""

import errno
import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from submeter.errors import SubmeterError
from submeter.ledger import chains, log
from submeter.ledger.files import connect_to_read, recover
from submeter.ledger.fold import fold, folded
from submeter.ledger.held import Held, sync_folder
from submeter.ledger.load import load
from submeter.ledger.records import Commit, Loaded
from submeter.ledger.retention import Keep, Retention
from submeter.ledger.rows import Row, decode
from submeter.ledger.schema import VERSION, version_of

_log = logging.getLogger(__name__)

_LEAST_BYTES: Final = 4 << 20
_LONGEST_S: Final = 3_600
"""A log is folded in when it is larger than that and a quarter of the database, so that copying the
database costs little beside writing the log; at the latest after an hour."""
_QUICK_BYTES: Final = 32 << 20
_KEPT_SEGMENTS: Final = 16
"""Log files that are folded in are kept for whoever copies the folder just now."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class NotWritten(SubmeterError):
    """The commit is not in the ledger: keep it and try again."""


class Damaged(SubmeterError):
    """The ledger is not what was written to it: nothing may be built upon it."""


class Store:
    """Owns the files. Opened in one thread; from then on one thread writes."""

    def __init__(self, path: Path, backend: str, keep: Keep | None = None) -> None:
        self.path = path
        self.damage = ""  # of the history, found while the agent runs; the log is whole
        self._backend = backend
        self._keep = keep or Keep()
        self._retention = Retention(self._keep)
        self._ledger_id = ""
        self._serial = 0  # of the last record
        self._folded = 0  # … that is in the database
        self._folded_s: int | None = None
        self._segment = 0
        self._bytes = 0  # of the log that are not folded in
        self._sound = 0  # bytes of the segment that are synced
        self._database: Held | None = None
        self._log: Held | None = None

    def open(self) -> Loaded:
        """Opens the ledger or begins a new one. Raises Damaged, NotWritten, StateUnusable."""
        self.close()
        self._serial = self._segment = 0
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error
        except chains.UNREADABLE as error:
            raise Damaged(f"{self.path}: {error}") from error
        except OSError as error:
            raise NotWritten(f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Lets go of the files."""
        for held in (self._log, self._database):
            if held is not None:
                os.close(held.handle)
        self._log = self._database = None

    def finish(self) -> None:
        """The same at the end of an agent: first folds the log in, where that is quickly done, so
        that the database is all there is."""
        held = self._database
        if held is not None and os.fstat(held.handle).st_size < _QUICK_BYTES and not self.damage:
            try:
                self._look()
                self.fold()
            except (NotWritten, Damaged, OSError) as error:
                _log.warning("the log is folded in at the next start: %s", error)
        self.close()

    def row(self, gpu: int, seq: int) -> Row | None:
        """A row of tens that was written; None if there is none."""
        self.fold()
        connection = connect_to_read(self.path)
        try:
            found = connection.execute(
                "SELECT start_s, body FROM tens WHERE gpu = ? AND seq = ?", (gpu, seq)
            ).fetchone()
        finally:
            connection.close()
        return None if found is None else decode(0, *found)

    def write(self, commit: Commit) -> None:
        """Makes a commit durable. Raises NotWritten; then it can be tried again."""
        try:
            self._look()
            self._append(commit)
        except OSError as error:
            raise NotWritten(f"{self.path}: {error.strerror}") from error
        if self._due(commit.now_s) and not self.damage:
            self._try_to_fold()

    def fold(self) -> None:
        """Folds the log in. Raises Damaged, NotWritten, StateUnusable; the log is as it was."""
        try:
            recover(self.path)
            fold(self.path, self._retention)
            self._hold()
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error
        except chains.UNREADABLE as error:
            raise Damaged(f"{self.path}: {error}") from error
        except OSError as error:
            raise NotWritten(f"{self.path}: {error.strerror}") from error
        self._clear()

    # ---- opening ---------------------------------------------------------------------------

    def _open(self) -> Loaded:
        if self.path.is_symlink():
            raise NotWritten(f"{self.path} is a symbolic link; a ledger must be a file")
        if self._unfinished():
            self.fold()
        else:
            self._hold()
        connection = connect_to_read(self.path)
        try:
            chains.check_structure(connection, quick=True)
            return load(connection, self._backend)
        finally:
            connection.close()

    def _unfinished(self) -> bool:
        """Whether there is anything to do before the database is all there is."""
        if not self.path.exists():
            return True
        recover(self.path)
        connection = connect_to_read(self.path)
        try:
            if version_of(connection) != VERSION:
                return True
            ledger, after = folded(connection)
        finally:
            connection.close()
        found = log.segments(self.path.parent, ledger)
        return any(True for _ in log.records(found, after))

    def _hold(self) -> None:
        """From now on this is the database."""
        handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        if self._database is not None:
            os.close(self._database.handle)
        self._database = Held(self.path, handle, os.O_RDONLY)
        connection = connect_to_read(self.path)
        try:
            self._ledger_id, self._folded = folded(connection)
        finally:
            connection.close()
        found = log.segments(self.path.parent, self._ledger_id)
        self._segment = max([self._segment, *(each.number for each in found)])
        self._serial = max(self._serial, self._folded)
        if self._log is not None:
            os.close(self._log.handle)
        self._log, self._bytes, self._folded_s = None, 0, None

    def _clear(self) -> None:
        """Removes log files that nobody needs any more, not even to finish a copy."""
        found = log.segments(self.path.parent, self._ledger_id)
        kept = {each.number for each in log.needed(found, self._folded)}
        old = [each for each in found if each.number not in kept]
        for each in old[:-_KEPT_SEGMENTS]:
            with suppress(OSError):
                each.path.unlink()

    # ---- writing ---------------------------------------------------------------------------

    def _append(self, commit: Commit) -> None:
        """Adds a record. After an error of the disk the log goes on in another file: what the
        operating system still says of bytes that it could not write is not to be believed."""
        whole = log.record(self._serial + 1, commit)
        held = self._log or self._begin()
        try:
            _write(held.handle, whole)
            os.fdatasync(held.handle)
        except OSError:
            self._give_up(held)
            raise
        self._serial += 1
        self._bytes += len(whole)
        self._sound += len(whole)

    def _begin(self) -> Held:
        self._segment += 1
        made = log.segment(self.path.parent, self._ledger_id, self._segment, self._serial + 1)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
        try:
            handle = os.open(made.path, flags, 0o600)
        except FileExistsError:  # a file that could not be removed after an error
            handle = os.open(made.path, flags & ~os.O_EXCL | os.O_TRUNC, 0o600)
        except OSError:
            self._segment -= 1
            raise
        self._log, self._sound = Held(made.path, handle, os.O_RDWR | os.O_APPEND), 0
        sync_folder(self.path.parent)
        return self._log

    def _give_up(self, held: Held) -> None:
        self._log = None
        with suppress(OSError):
            os.ftruncate(held.handle, self._sound)
        os.close(held.handle)
        if not self._sound:  # nothing was ever written to it: a full disk must not fill with these
            with suppress(OSError):
                held.path.unlink()
                self._segment -= 1

    def _due(self, now_s: int) -> bool:
        if self._folded_s is None:
            self._folded_s = now_s
        if abs(now_s - self._folded_s) >= _LONGEST_S:
            return True
        if self._database is None:
            return False
        return self._bytes >= _LEAST_BYTES + os.fstat(self._database.handle).st_size // 4

    def _try_to_fold(self) -> None:
        """The commit is safe whether this works or not."""
        try:
            self.fold()
        except NotWritten as error:
            self._bytes, self._folded_s = 0, None  # again when as much has come again
            _log.warning("the log is not folded into the ledger now: %s", error)
        except Damaged as error:
            self.damage = str(error)

    def _look(self) -> None:
        """Puts back what somebody deleted or replaced: it is still open here."""
        if self._database is not None:
            self._database = self._database.in_place()
        if self._log is not None:
            self._log = self._log.in_place()

    def _failure(self, error: sqlite3.Error) -> SubmeterError:
        kind = Damaged if _is_damage(error) else NotWritten
        return kind(f"{self.path}: {error}")


def _write(handle: int, whole: bytes) -> None:
    """Raises OSError where not all could be written."""
    if os.write(handle, whole) != len(whole):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_damage(error: sqlite3.Error) -> bool:
    # an error without a code is Python's: text that is no UTF-8, for example; a file that lacks a
    # table or a column is as damaged as one that is no database; the lowest byte has the kind
    code, text = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF, str(error)
    schema = code == sqlite3.SQLITE_ERROR and ("no such" in text or "already exists" in text)
    return code in _DAMAGED or code == 0 or schema
