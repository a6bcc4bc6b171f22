"""A damaged ledger's files in, everything that can be read of them in a sound database out.

What is read is a copy, so that looking changes nothing of what is kept; where it goes is a database
of its own on disk, since a year's rows don't fit into the memory that an agent may take. Nothing
here says whether a row is as it was written: that is for `remains`.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from submeter.ledger import chains, log
from submeter.ledger.fold import FOLDED
from submeter.ledger.records import Commit
from submeter.ledger.repair import mend
from submeter.ledger.rows import LEVELS
from submeter.ledger.schema import CHAINED, GPU_COLUMNS, TABLES, note_hash

OF_LOG: Final = b""
"""Instead of the hash of a GPU whose row a record of the log has proved."""

_COLUMNS: Final[dict[str, Sequence[str]]] = {
    "ledger": ("id", "uuid"),
    **{table: (*columns, "hash") for table, columns in CHAINED.items()},
    "gpus": (*GPU_COLUMNS, "hash"),
    "open": ("gpu", "start_s", "body", "state", "hash"),
    "notes": ("name", "body", "hash"),
    **{level.name: ("gpu", "seq", "start_s", "body", "hash") for level in LEVELS},
}
_WINDOW: Final = 256
_LAST: Final = 1 << 62
_PRAGMAS: Final = (
    "journal_mode = OFF",  # made anew if it is not finished
    "synchronous = OFF",
    "cache_size = -8000",
    "temp_store = FILE",
)


def read_wreck(
    path: Path, scratch: Path, tell: Callable[[], None], *, mended: bool
) -> sqlite3.Connection | None:
    """A connection to a new database in the folder ``scratch``, with what can be read of the one at
    ``path`` and of its log, whose word counts. ``mended``: with header and list of tables as they
    were made; then None where nothing differs from that. ``tell`` is called now and then."""
    copy = scratch / ("mended.db" if mended else "copy.db")
    for suffix in ("", "-journal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, copy.with_name(copy.name + suffix))
    if mended and not mend(copy):
        copy.unlink()
        return None
    readable = sqlite3.connect(scratch / f"read-{copy.name}", isolation_level=None)
    for pragma in _PRAGMAS:
        readable.execute(f"PRAGMA {pragma}")
    for table, columns in TABLES.items():
        readable.execute(f"CREATE TABLE {table} {columns}")
    readable.execute("BEGIN")
    with closing(sqlite3.connect(copy, isolation_level=None)) as damaged:
        damaged.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        for table, names in _COLUMNS.items():
            _put(readable, table, _rows(damaged, table, names, tell))
    _add_log(readable, path.parent)
    readable.execute("COMMIT")
    for suffix in ("", "-journal"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    return readable


def ledger_ids(readable: sqlite3.Connection) -> list[str]:
    """Which ledger it may be: as it says, and as its sessions say."""
    stated = [
        *readable.execute("SELECT uuid FROM ledger"),
        *readable.execute("SELECT DISTINCT ledger FROM sessions ORDER BY id DESC LIMIT 3"),
    ]
    return list(dict.fromkeys(str(row[0]) for row in stated))


# ---- the database ----------------------------------------------------------------------------


def _rows(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], tell: Callable[[], None]
) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, around those that can't."""
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE rowid BETWEEN ? AND ?"  # noqa: S608
    low = _next(connection, table, 0)
    while low is not None:
        tell()
        high = low + _WINDOW - 1
        yield from _window(connection, query, low, high)
        low = _next(connection, table, high)


def _window(
    connection: sqlite3.Connection, query: str, low: int, high: int
) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(query, (low, high)).fetchall()
    except chains.UNREADABLE:
        if low == high:
            return []
        middle = (low + high) // 2
        return [
            *_window(connection, query, low, middle),
            *_window(connection, query, middle + 1, high),
        ]


def _next(connection: sqlite3.Connection, table: str, after: int) -> int | None:
    """The number of the first row after that one which can be found; None where there is none.
    Over what is damaged it goes in ever longer steps, and then back to where that ends."""
    query = f"SELECT rowid FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT 1"  # noqa: S608
    bad, step = after, 0
    while after + step < _LAST:
        found = _seek(connection, query, after + step)
        if found is not None:
            good = after + step
            while good - bad > 1:
                middle = (bad + good) // 2
                nearer = _seek(connection, query, middle)
                bad, good, found = (
                    (middle, good, found) if nearer is None else (bad, middle, nearer)
                )
            return found[0] if found else None
        bad, step = after + step, max(2 * step, 1)
    return None


def _seek(connection: sqlite3.Connection, query: str, after: int) -> tuple[int, ...] | None:
    """The row's number; an empty tuple at the end; None where that can't be read."""
    try:
        found: tuple[int, ...] | None = connection.execute(query, (after,)).fetchone()
    except chains.UNREADABLE:
        return None
    return () if found is None else found


# ---- the log ---------------------------------------------------------------------------------


def _add_log(readable: sqlite3.Connection, directory: Path) -> None:
    folded = _folded(readable)
    for segment in log.all_segments(directory):
        for serial, commit in log.proved(segment.path):
            for table, rows in _of_commit(commit, newer=serial > folded).items():
                _put(readable, table, iter(rows))


def _folded(readable: sqlite3.Connection) -> int:
    """The last record of the log that the database has: what is in older ones, and was replaced
    since, is not to come back."""
    for body, digest in readable.execute("SELECT body, hash FROM notes WHERE name = ?", (FOLDED,)):
        proved = any(note_hash(each, FOLDED, body) == digest for each in ledger_ids(readable))
        if proved and body.isdecimal():
            return int(body)
    return 0


def _of_commit(commit: Commit, *, newer: bool) -> dict[str, list[tuple[object, ...]]]:
    rows: dict[str, list[tuple[object, ...]]] = {"gpus": [(*gpu, OF_LOG) for gpu in commit.gpus]}
    for row in commit.chained:
        rows.setdefault(row.table, []).append((*row.values, row.hash))
    for sealed in commit.sealed:
        rows.setdefault(LEVELS[sealed.level].name, []).append(sealed[1:])
    if newer:
        rows["open"] = list(commit.opens)
        rows["notes"] = list(commit.notes)
    return rows


def _put(readable: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    """Adds rows, each in the place of one with its key, except those that no ledger can have."""
    names = _COLUMNS[table]
    marks = ", ".join("?" * len(names))
    insert = f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
    numbers = [at for at, name in enumerate(names) if name in {"gpu", "seq", "start_s"}]
    for row in rows:
        if table in _SEALED and not _is_sealed(row, numbers):
            continue
        with suppress(*chains.UNREADABLE):
            readable.execute(insert, [_plain(value) for value in row])


_SEALED: Final = frozenset(level.name for level in LEVELS)


def _is_sealed(row: tuple[Any, ...], numbers: list[int]) -> bool:
    *_, body, digest = row
    whole = isinstance(body, bytes) and isinstance(digest, bytes)
    return whole and all(isinstance(row[at], int) for at in numbers)


def _plain(value: Any) -> Any:
    """Text that is no UTF-8 with a mark for what isn't: a label may be damaged alone."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
