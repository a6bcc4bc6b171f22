"""A ledger's files in, a connection that only reads out, whoever writes to it or died on it.

Nobody is ever locked out or waited for: the database of a ledger does not change in place, so what
is read is the database as it is now, or a copy of it with the log added.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from submeter.errors import StateUnusable
from submeter.ledger import chains, log
from submeter.ledger.fold import add_log, folded
from submeter.ledger.schema import APPLICATION_ID, FILE_NAME, TABLES, VERSION, version_of

_JOURNAL: Final = "-journal"
_ATTEMPTS: Final = 5


class DamagedFile(StateUnusable):
    """The ledger is no database any more, or not the one that was made."""


@contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to the ledger of a state directory; a newer version is read, too, as
    far as it has the tables of this one. Raises StateUnusable where there is no ledger to read."""
    path = directory / FILE_NAME
    if not path.is_file():
        raise StateUnusable(
            f"there is no ledger in {directory}: an agent begins it (submeter run); name another "
            "folder with --state-dir"
        )
    with tempfile.TemporaryDirectory(prefix="submeter-") as scratch:
        connection = _opened(path, Path(scratch) / FILE_NAME)
        try:
            yield connection
        finally:
            connection.close()


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection to a database that nobody writes to. Raises sqlite3.Error."""
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def recover(path: Path) -> None:
    """Undoes what an agent of version 1, which wrote into the database itself, was killed at."""
    journal = path.with_name(path.name + _JOURNAL)
    if not path.exists() or not journal.exists():
        return
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        connection.close()
    journal.unlink(missing_ok=True)


def _opened(path: Path, copy: Path) -> sqlite3.Connection:
    """The database itself where that is all; else the copy, which then has everything."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            if _is_all(path):
                return connect_to_read(path)
            _copy(path, copy)
            return connect_to_read(copy)
        except FileNotFoundError as error:  # a log file that was folded in meanwhile
            if attempt == _ATTEMPTS:
                raise StateUnusable(f"{path} can't be read now: {error}") from error
        except OSError as error:
            raise StateUnusable(f"{path} can't be read: {error.strerror}") from error
        except sqlite3.OperationalError as error:
            raise StateUnusable(f"{path} can't be read now: {error}") from error
        except chains.UNREADABLE as error:
            raise DamagedFile(
                f"{path} is damaged ({error}); the next start of the agent keeps it aside and "
                "saves what can be saved"
            ) from error
    raise AssertionError


def _is_all(path: Path) -> bool:
    """Whether the database is of a version to be read as it is, and has all of its log."""
    if path.with_name(path.name + _JOURNAL).exists():
        return False
    connection = connect_to_read(path)
    try:
        version = version_of(connection)
        if not _looks_right(path, connection, version):
            return False
        if version > VERSION:
            return True
        ledger, after = folded(connection)
    finally:
        connection.close()
    found = log.segments(path.parent, ledger)
    return not any(each.path.stat().st_size for each in log.needed(found, after))


def _looks_right(path: Path, connection: sqlite3.Connection, version: int) -> bool:
    """Whether it is a ledger; False for an older one."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    if version == 0 and not names:
        raise StateUnusable(f"{path} is empty: nothing was ever booked in it")
    if 0 < version < VERSION and application == APPLICATION_ID:
        return False
    if application != APPLICATION_ID or TABLES.keys() - names:
        if version > VERSION:
            raise StateUnusable(f"{path} is of version {version}, this submeter reads {VERSION}")
        raise DamagedFile(f"{path} is not the ledger that was made")
    return True


def _copy(path: Path, copy: Path) -> None:
    """Copies the database, and what version 1 may have left beside it, and adds the log."""
    for suffix in ("", _JOURNAL):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, copy.with_name(copy.name + suffix))
    recover(copy)
    add_log(copy, path.parent)
