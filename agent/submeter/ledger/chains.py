"""A ledger file in, its rows out, each one checked against the row before it."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from submeter.ledger.book import Tip
from submeter.ledger.records import Gpu, Series
from submeter.ledger.rows import LEVELS, BadRow, Row, Sealed, decode, link
from submeter.ledger.schema import (
    CHAINED,
    GPU_COLUMNS,
    chain_start,
    chained,
    gpu_hash,
    note_hash,
)
from submeter.model import Account, Component, Method, Owner, Phase

CHUNK: Final = 1_000
_LAST: Final = 2**63 - 1


def ledger_id(connection: sqlite3.Connection) -> str:
    """Who this ledger is. Raises BadRow where it doesn't say."""
    rows = connection.execute("SELECT id, uuid FROM ledger").fetchall()
    if len(rows) != 1 or rows[0][0] != 1 or not isinstance(rows[0][1], str):
        raise BadRow("ledger: not the one row that says which ledger this is")
    found: str = rows[0][1]
    return found


def check_structure(connection: sqlite3.Connection, *, quick: bool = False) -> None:
    """Raises BadRow where the file's pages are not as SQLite leaves them. Quick is without its
    indexes' content: 0.2 s for 100 MB."""
    pragma = "quick_check" if quick else "integrity_check"
    # one finding is enough to say it, and a damaged file may have thousands
    problem = connection.execute(f"PRAGMA {pragma}(1)").fetchone()[0]
    if problem != "ok":
        raise BadRow(f"the file's structure is damaged: {problem}")


UNREADABLE: Final = (
    BadRow,
    sqlite3.DatabaseError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)
"""What reading a damaged file may raise: numbers where text was, text that is no UTF-8, …"""


def gpus(connection: sqlite3.Connection, ledger: str) -> list[Gpu]:
    """Every GPU. Raises BadRow."""
    columns = ", ".join(GPU_COLUMNS)
    found = []
    for *values, digest in connection.execute(f"SELECT {columns}, hash FROM gpus ORDER BY id"):  # noqa: S608
        if gpu_hash(ledger, values) != digest:
            raise BadRow(f"gpus {values[0]}: changed since it was written")
        found.append(Gpu(*values))
    return found


def chained_rows(
    connection: sqlite3.Connection, ledger: str, table: str
) -> Iterator[tuple[tuple[object, ...], bytes]]:
    """The rows of a chained table with their hashes. Raises BadRow at the first bad one."""
    digest = chain_start(ledger, table)
    columns = ", ".join(CHAINED[table])
    query = f"SELECT {columns}, hash FROM {table} ORDER BY id"  # noqa: S608  constants
    for expected, (*values, found) in enumerate(connection.execute(query), 1):
        digest = chained(digest, values)
        if values[0] != expected:
            raise BadRow(f"{table} {expected}: missing")
        if digest != found:
            raise BadRow(f"{table} {expected}: changed since it was written")
        yield tuple(values), digest


def as_series(values: tuple[object, ...], uuids: dict[int, str]) -> Series:
    """A row of ``series``. Raises BadRow for one that no agent wrote."""
    number, gpu, mig, component, method, phase, *names, shown = map(str, values)
    try:
        owner = Owner(Phase(phase), *names)
        account = Account(uuids[int(gpu)], mig, Component(component), owner)
        return Series(int(number), int(gpu), account, Method(method), int(shown))
    except (ValueError, KeyError) as error:
        raise BadRow(f"series {number}: {error}") from error


def sealed_rows(
    connection: sqlite3.Connection, level: int, gpu: int, after: int, until: int | None = None
) -> Iterator[Sealed]:
    """The stored rows of one chain after a number, in order. Reads in chunks, so that no lock is
    held for long."""
    table = LEVELS[level].name
    query = (
        f"SELECT seq, start_s, body, hash FROM {table} INDEXED BY sqlite_autoindex_{table}_1 "  # noqa: S608
        f"WHERE gpu = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT {CHUNK}"
    )
    last = _LAST if until is None else until
    while True:
        chunk = connection.execute(query, (gpu, after, last)).fetchall()
        for seq, start_s, body, digest in chunk:
            yield Sealed(level, gpu, seq, start_s, body, digest)
        if len(chunk) < CHUNK:
            return
        after = chunk[-1][0]


def checked_rows(
    connection: sqlite3.Connection, level: int, gpu: int, tip: Tip, until: int | None = None
) -> Iterator[tuple[Sealed, Row]]:
    """The rows that follow a known one, each with its content. Raises BadRow at the first that is
    missing or was changed."""
    for sealed in sealed_rows(connection, level, gpu, tip.seq, until):
        name = f"{LEVELS[level].name} {sealed.seq} of GPU {gpu}"
        if sealed.seq != tip.seq + 1:
            raise BadRow(f"{LEVELS[level].name} {tip.seq + 1} of GPU {gpu}: missing")
        if not isinstance(sealed.body, bytes) or not isinstance(sealed.start_s, int):
            raise BadRow(f"{name}: changed since it was written")
        if link(tip.hash, sealed) != sealed.hash:
            raise BadRow(f"{name}: changed since it was written")
        tip = Tip(sealed.seq, sealed.hash)
        yield sealed, decode(level, sealed.start_s, sealed.body)


def notes(connection: sqlite3.Connection, ledger: str) -> dict[str, str]:
    """Every note by its name. Raises BadRow for one that was changed."""
    found: dict[str, str] = {}
    for name, body, digest in connection.execute("SELECT name, body, hash FROM notes"):
        if not isinstance(name, str) or not isinstance(body, str):
            raise BadRow("notes: changed since they were written")
        if note_hash(ledger, name, body) != digest:
            raise BadRow(f"notes {name}: changed since it was written")
        found[name] = body
    return found
