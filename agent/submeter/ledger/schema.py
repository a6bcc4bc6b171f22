"""The tables of a ledger file, and how an older file becomes a newer one."""

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Final

from submeter.errors import StateUnusable
from submeter.ledger.rows import LEVELS, canonical

FILE_NAME: Final = "ledger.db"
APPLICATION_ID: Final = 0x73624D31  # "sbM1" in the file's header
VERSION: Final = 2

TABLES: Final[dict[str, str]] = {
    "ledger": "(id INTEGER PRIMARY KEY CHECK (id = 1), uuid TEXT NOT NULL)",
    # One row per start of the agent.
    "sessions": "(id INTEGER PRIMARY KEY, backend TEXT NOT NULL, version TEXT NOT NULL,"
    " config TEXT NOT NULL, boot_id TEXT NOT NULL, wall_ns INTEGER NOT NULL,"
    " boottime_ns INTEGER NOT NULL, ledger TEXT NOT NULL, hash BLOB NOT NULL)",
    # The same board simulated or replayed is another GPU than the real one.
    "gpus": "(id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, backend TEXT NOT NULL,"
    " name TEXT NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL,"
    " UNIQUE (uuid, backend))",
    # Who used energy and how it was found. Shown is 0 where metrics have it under "(other)".
    "series": "(id INTEGER PRIMARY KEY, gpu INTEGER NOT NULL, mig TEXT NOT NULL,"
    " component TEXT NOT NULL, method TEXT NOT NULL, phase TEXT NOT NULL,"
    " workload TEXT NOT NULL, user TEXT NOT NULL, namespace TEXT NOT NULL, pod TEXT NOT NULL,"
    " container TEXT NOT NULL, job TEXT NOT NULL, shown INTEGER NOT NULL, hash BLOB NOT NULL)",
    # What is not over yet, with the state of the meter it came from: the one row that changes.
    "open": "(gpu INTEGER PRIMARY KEY, start_s INTEGER NOT NULL, body BLOB NOT NULL,"
    " state TEXT NOT NULL, hash BLOB NOT NULL)",
    # Takes from a series what a row gave it, and gives it to workload "(corrected)".
    "corrections": "(id INTEGER PRIMARY KEY, gpu INTEGER NOT NULL, start_s INTEGER NOT NULL,"
    " level INTEGER NOT NULL, seq INTEGER NOT NULL, series INTEGER NOT NULL,"
    " energy_uj INTEGER NOT NULL, reason TEXT NOT NULL, wall_ns INTEGER NOT NULL,"
    " hash BLOB NOT NULL)",
    # Finished rows by resolution; what is in a body: rows.py.
    **{
        level.name: "(gpu INTEGER NOT NULL, seq INTEGER NOT NULL, start_s INTEGER NOT NULL,"
        " body BLOB NOT NULL, hash BLOB NOT NULL, UNIQUE (gpu, seq))"
        for level in LEVELS
    },
    # Named texts, each replaced by a newer one of its name.
    "notes": "(name TEXT PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL)",
}

Migration = Sequence[str]

_SINCE: Final = {"notes": 2}
"""The version that first has a table; 1 if it isn't here. Version 2 also has a log beside the file,
and hours that know their quarters (rows.py)."""

MIGRATIONS: Final[Sequence[Migration]] = [
    # What makes version 1 out of an empty file, then 2 out of 1, …
    [
        f"CREATE TABLE {name} {columns}"
        for name, columns in TABLES.items()
        if _SINCE.get(name, 1) == version
    ]
    for version in range(1, VERSION + 1)
]

CHAINED: Final[dict[str, Sequence[str]]] = {
    "sessions": (
        *("id", "backend", "version", "config", "boot_id", "wall_ns", "boottime_ns", "ledger"),
    ),
    "series": (
        *("id", "gpu", "mig", "component", "method", "phase", "workload", "user"),
        *("namespace", "pod", "container", "job", "shown"),
    ),
    "corrections": (
        *("id", "gpu", "start_s", "level", "seq", "series", "energy_uj", "reason", "wall_ns"),
    ),
}
"""Tables whose rows hang together by ``hash`` in the order of ``id``, and what it covers."""

GPU_COLUMNS: Final = ("id", "uuid", "backend", "name", "position")


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Makes the file one of this version, in one transaction: whatever ends it halfway, the file
    is as it was. Raises StateUnusable for a file of a newer version or of another program."""
    version = _checked_version(connection, len(migrations))
    if version == len(migrations):
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        if version == 0:
            import uuid  # here: once in the life of a ledger

            connection.execute("INSERT INTO ledger VALUES (1, ?)", (str(uuid.uuid4()),))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the file; 0 for an empty one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def chain_start(ledger_id: str, table: str) -> bytes:
    """What the first row of a chained table is hashed upon."""
    return hashlib.sha256(canonical([ledger_id, table])).digest()


def chained(before: bytes, values: Sequence[object]) -> bytes:
    """The hash of a row of a chained table."""
    return hashlib.sha256(before + canonical(list(values))).digest()


def gpu_hash(ledger_id: str, values: Sequence[object]) -> bytes:
    """The hash of a row of ``gpus``; these are on their own, since a board may be renumbered."""
    return hashlib.sha256(canonical([ledger_id, "gpus", *values])).digest()


def note_hash(ledger_id: str, name: str, body: str) -> bytes:
    """The hash of a row of ``notes``."""
    return hashlib.sha256(canonical([ledger_id, "notes", name, body])).digest()


def _checked_version(connection: sqlite3.Connection, newest: int) -> int:
    version = version_of(connection)
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if version and application != APPLICATION_ID:
        raise sqlite3.DatabaseError("the file is a database of another program")
    if version > newest:
        raise StateUnusable(
            f"the ledger is of version {version}, written by a newer submeter; this one writes "
            f"version {newest}: install the newer one again, or choose another --state-dir"
        )
    return version
