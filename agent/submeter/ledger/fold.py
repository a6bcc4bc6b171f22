"""A database and the log that goes on from it in, the database with both out."""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from submeter.ledger import chains, log
from submeter.ledger.records import Commit, Note, Open
from submeter.ledger.retention import Retention
from submeter.ledger.rows import LEVELS, BadRow
from submeter.ledger.schema import CHAINED, GPU_COLUMNS, gpu_hash, migrate, note_hash

FRESH_SUFFIX: Final = ".new"
FOLDED: Final = "folded"
"""The note that says which record of the log is the last one in the database."""

_PRAGMAS: Final = (
    "journal_mode = MEMORY",  # the file is nobody's yet, and synced when it is complete
    "synchronous = OFF",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)


def folded(connection: sqlite3.Connection) -> tuple[str, int]:
    """Whose ledger it is, and the last record of its log that it has. Raises BadRow."""
    ledger = chains.ledger_id(connection)
    text = chains.notes(connection, ledger).get(FOLDED, "0")
    if not text.isdecimal():
        raise BadRow(f"notes: {FOLDED} is {text!r}")
    return ledger, int(text)


def fold(path: Path, retention: Retention) -> None:
    """Makes the database anew with its log folded in, or the first one where there is none, and
    puts it in the old one's place. Whatever ends it halfway, that is as it was.

    Raises BadRow, OSError, sqlite3.DatabaseError; StateUnusable for a newer version.
    """
    fresh = path.with_name(path.name + FRESH_SUFFIX)
    fresh.unlink(missing_ok=True)
    fresh.with_name(fresh.name + "-journal").unlink(missing_ok=True)
    handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if path.exists():
            shutil.copyfile(path, fresh)
        add_log(fresh, path.parent, retention)
        os.fsync(handle)
        fresh.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.close(handle)
        fresh.unlink(missing_ok=True)


def add_log(copy: Path, directory: Path, retention: Retention | None = None) -> None:
    """Brings a copy of a database up to date: its version, and the log in that folder."""
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection)
        connection.execute("BEGIN")
        _add(connection, directory, retention)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _add(connection: sqlite3.Connection, directory: Path, retention: Retention | None) -> None:
    ledger, after = folded(connection)
    opens: dict[int, Open] = {}
    notes: dict[str, Note] = {}
    for serial, commit in log.records(log.segments(directory, ledger), after):
        insert(connection, ledger, commit)
        opens.update((row.gpu, row) for row in commit.opens)
        notes.update((note.name, note) for note in commit.notes)
        if retention is not None:
            retention.prune(connection, commit)
        text = str(serial)
        notes[FOLDED] = Note(FOLDED, text, note_hash(ledger, FOLDED, text))
    connection.executemany(_UPSERT_OPEN, opens.values())
    connection.executemany(_UPSERT_NOTE, notes.values())


def insert(connection: sqlite3.Connection, ledger: str, commit: Commit) -> None:
    """Adds what a commit adds for ever; what newer ones replace is left to the caller."""
    for gpu in commit.gpus:
        connection.execute(_UPSERT_GPU, (*gpu, gpu_hash(ledger, gpu)))
    for row in commit.chained:
        connection.execute(_INSERT_CHAINED[row.table], (*row.values, row.hash))
    for level, statement in enumerate(_INSERT_SEALED):
        rows = [row[1:] for row in commit.sealed if row.level == level]
        if rows:
            connection.executemany(statement, rows)


def _insert(table: str, columns: Iterable[str], conflict: str) -> str:
    names = list(columns)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) {conflict}"  # noqa: S608


def _update(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns)


_SEALED: Final = ("gpu", "seq", "start_s", "body", "hash")
_OPEN: Final = ("gpu", "start_s", "body", "state", "hash")
_NOTE: Final = ("name", "body", "hash")
_UPSERT_GPU: Final = _insert(
    "gpus",
    (*GPU_COLUMNS, "hash"),
    f"ON CONFLICT (id) DO UPDATE SET {_update(('name', 'position', 'hash'))}",
)
_UPSERT_OPEN: Final = _insert(
    "open", _OPEN, f"ON CONFLICT (gpu) DO UPDATE SET {_update(_OPEN[1:])}"
)
_UPSERT_NOTE: Final = _insert(
    "notes", _NOTE, f"ON CONFLICT (name) DO UPDATE SET {_update(_NOTE[1:])}"
)
_INSERT_SEALED: Final = [
    _insert(level.name, _SEALED, "ON CONFLICT (gpu, seq) DO NOTHING") for level in LEVELS
]
_INSERT_CHAINED: Final[Mapping[str, str]] = {
    table: _insert(table, (*columns, "hash"), "ON CONFLICT (id) DO NOTHING")
    for table, columns in CHAINED.items()
}
