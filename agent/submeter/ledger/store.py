"""Commits in, a durable file out: the only connection to a ledger that writes.

The file is SQLite's, with a rollback journal: versions before 3.51.3 can corrupt a write-ahead log
(sqlite.org/wal.html, "The WAL-reset bug"), and at one commit a second its speed buys nothing. Each
commit is synced to the disk before it counts.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from submeter.errors import SubmeterError
from submeter.ledger import chains
from submeter.ledger.load import load
from submeter.ledger.records import Commit, Loaded
from submeter.ledger.retention import Keep, Retention
from submeter.ledger.rows import LEVELS, BadRow, Row, decode
from submeter.ledger.schema import (
    CHAINED,
    GPU_COLUMNS,
    gpu_hash,
    migrate,
)

_PRAGMAS: Final = (
    "journal_mode = TRUNCATE",  # cheaper than DELETE: no directory entry changes
    "synchronous = EXTRA",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)
_BUSY_S: Final = 2.0
"""How long to wait for a reader: `reader.py` reads in chunks that take a few milliseconds."""

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class NotWritten(SubmeterError):
    """The commit is not in the file: keep it and try again."""


class Damaged(SubmeterError):
    """The file is not what was written to it: nothing may be built upon it."""


class _Tip(NamedTuple):
    seq: int
    hash: bytes


class Store:
    """Owns the file and the connection. Opened in one thread; from then on one thread writes."""

    def __init__(self, path: Path, backend: str, keep: Keep | None = None) -> None:
        self.path = path
        self._backend = backend
        self._retention = Retention(keep or Keep())
        self._connection: sqlite3.Connection | None = None
        self._written: dict[int, _Tip] = {}  # the last row of tens of each GPU
        self._ledger_id = ""

    def open(self) -> Loaded:
        """Opens the file or begins a new one. Raises Damaged, NotWritten, StateUnusable."""
        try:
            connection = self._connect()
            migrate(connection)
            loaded = load(connection, self._backend)
        except sqlite3.DatabaseError as error:
            self.close()
            if _is_damage(error):
                raise Damaged(f"{self.path}: {error}") from error
            raise NotWritten(f"{self.path}: {error}") from error
        except chains.UNREADABLE as error:
            self.close()
            raise Damaged(f"{self.path}: {error}") from error
        except SubmeterError:
            self.close()
            raise
        self._ledger_id = loaded.ledger_id
        self._written = {gpu: _Tip(*history.tips[0]) for gpu, history in loaded.gpus.items()}
        return loaded

    def close(self) -> None:
        """Lets go of the file. The next `write` opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def row(self, gpu: int, seq: int) -> Row | None:
        """A row of tens that is in the file; None if it isn't."""
        connection = self._connection or self._reopen()
        found = connection.execute(
            "SELECT start_s, body FROM tens WHERE gpu = ? AND seq = ?", (gpu, seq)
        ).fetchone()
        return None if found is None else decode(0, *found)

    def write(self, commit: Commit) -> None:
        """Makes a commit durable. Raises NotWritten and Damaged; then it can be tried again.

        After an error of the disk the connection is made anew: what the operating system still
        says of pages that it could not write is not to be believed.
        """
        try:
            connection = self._connection or self._reopen()
            self._transact(connection, commit)
        except (BadRow, Damaged) as error:
            self.close()
            self._condemn()
            raise Damaged(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            if _code(error) not in _BUSY:
                self.close()
            if _is_damage(error):
                self._condemn()
                raise Damaged(f"{self.path}: {error}") from error
            raise NotWritten(f"{self.path}: {error}") from error
        for row in commit.sealed:
            if row.level == 0:
                self._written[row.gpu] = _Tip(row.seq, row.hash)

    @property
    def condemned(self) -> Path:
        """A file that is there if the ledger was found damaged when it was written to: damage in
        places that are not read at a start would be found again and again."""
        return self.path.with_suffix(".damaged")

    def _condemn(self) -> None:
        try:
            self.condemned.touch(mode=0o600)
        except OSError:
            return  # then it is found again

    def _transact(self, connection: sqlite3.Connection, commit: Commit) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert(connection, commit)
            self._retention.prune(connection, commit)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _insert(self, connection: sqlite3.Connection, commit: Commit) -> None:
        for gpu in commit.gpus:
            connection.execute(_UPSERT_GPU, (*gpu, gpu_hash(self._ledger_id, gpu)))
        for row in commit.chained:
            connection.execute(_INSERT_CHAINED[row.table], (*row.values, row.hash))
        for level, statement in enumerate(_INSERT_SEALED):
            rows = [row[1:] for row in commit.sealed if row.level == level]
            if rows:
                connection.executemany(statement, rows)
        connection.executemany(_UPSERT_OPEN, commit.opens)

    def _reopen(self) -> sqlite3.Connection:
        connection = self._connect()
        for gpu, tip in self._written.items():
            found = connection.execute(
                "SELECT hash FROM tens WHERE gpu = ? AND seq = ?", (gpu, tip.seq)
            ).fetchone()
            if tip.seq and (found is None or found[0] != tip.hash):
                raise Damaged(f"tens {tip.seq} of GPU {gpu} is gone")
        return connection

    def _connect(self) -> sqlite3.Connection:
        _create(self.path)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection


def _create(path: Path) -> None:
    """An empty file for its owner alone, if there is none; never through a link."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise NotWritten(f"{path} is a symbolic link; a ledger must be a file") from None
    except OSError as error:
        raise NotWritten(f"{path} can't be made: {error.strerror}") from error


def _code(error: sqlite3.Error) -> int:
    """The primary result code of SQLite; extended ones have it in their lowest byte."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    # an error without a code is Python's: text that is no UTF-8, for example; a file that lacks a
    # table or a column is as damaged as one that is no database
    code = _code(error)
    schema = code == sqlite3.SQLITE_ERROR and "no such" in str(error)
    return code in _DAMAGED or code == 0 or schema


def _insert(table: str, columns: Iterable[str], conflict: str) -> str:
    names = list(columns)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) {conflict}"  # noqa: S608


def _update(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns)


_SEALED: Final = ("gpu", "seq", "start_s", "body", "hash")
_OPEN: Final = ("gpu", "start_s", "body", "state", "hash")
_UPSERT_GPU: Final = _insert(
    "gpus",
    (*GPU_COLUMNS, "hash"),
    f"ON CONFLICT (id) DO UPDATE SET {_update(('name', 'position', 'hash'))}",
)
_UPSERT_OPEN: Final = _insert(
    "open", _OPEN, f"ON CONFLICT (gpu) DO UPDATE SET {_update(_OPEN[1:])}"
)
_INSERT_SEALED: Final = [
    _insert(level.name, _SEALED, "ON CONFLICT (gpu, seq) DO NOTHING") for level in LEVELS
]
_INSERT_CHAINED: Final[Mapping[str, str]] = {
    table: _insert(table, (*columns, "hash"), "ON CONFLICT (id) DO NOTHING")
    for table, columns in CHAINED.items()
}
