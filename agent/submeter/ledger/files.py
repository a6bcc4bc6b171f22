"""A ledger's file in, a connection that only reads out, whoever else has it open or died on it."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from submeter.errors import StateUnusable
from submeter.ledger.schema import APPLICATION_ID, FILE_NAME, TABLES, VERSION, version_of

_PATIENCE_S: Final = 10.0
_JOURNAL: Final = "-journal"


class DamagedFile(StateUnusable):
    """The file is no database any more, or not the one that was made."""


@contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to the ledger of a state directory; a newer version is read, too, as
    far as it has the tables of this one.

    An agent that was killed leaves a journal which has to be rolled back first; a reader has no
    right to, so it does that to a copy. Raises StateUnusable where there is no ledger to read.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        raise StateUnusable(f"there is no ledger in {directory}; name its folder with --state-dir")
    connection = _open(path, "ro")
    try:
        if _readable(path, connection):
            yield connection
            return
    finally:
        connection.close()
    with tempfile.TemporaryDirectory(prefix="submeter-") as scratch:
        copy = Path(scratch) / FILE_NAME
        for name in (path.name, path.name + _JOURNAL):
            source = path.with_name(name)
            if source.exists():
                shutil.copyfile(source, copy.with_name(name))
        connection = _open(copy, "rw")
        try:
            if not _readable(path, connection):
                raise StateUnusable(f"{path} can't be read")
            yield connection
        finally:
            connection.close()


def _open(path: Path, mode: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=_PATIENCE_S,
            isolation_level=None,
        )
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except sqlite3.Error as error:
        raise StateUnusable(f"{path} can't be read: {error}") from error
    return connection


def _readable(path: Path, connection: sqlite3.Connection) -> bool:
    """False where a journal must be rolled back first."""
    try:
        version = version_of(connection)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
            return False
        raise StateUnusable(f"{path} can't be read now: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise DamagedFile(
            f"{path} is damaged ({error}); the next start of the agent keeps it aside and saves "
            "what can be saved"
        ) from error
    if version == 0 and not names:
        raise StateUnusable(f"{path} is empty: nothing was ever booked in it")
    missing = TABLES.keys() - names
    if application != APPLICATION_ID or missing:
        if version > VERSION:
            raise StateUnusable(f"{path} is of version {version}, this submeter reads {VERSION}")
        raise DamagedFile(f"{path} is not the ledger that was made")
    return True
