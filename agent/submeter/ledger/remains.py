"""A damaged ledger file in, every row of it that can be proved out.

A row is proved by its hash and the one before it, which may stand in the row before it, or in the
longer row that covers that. So a byte that was changed costs the row it is in, and perhaps the one
after; the longer rows still say what was in them.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.ledger import chains, log
from submeter.ledger.book import Tip
from submeter.ledger.counts import PREFIX
from submeter.ledger.load import checked_open
from submeter.ledger.records import Gpu, Series, Session
from submeter.ledger.repair import mend
from submeter.ledger.rows import LEVELS, TOP, Row, Sealed, decode, genesis, link
from submeter.ledger.schema import (
    CHAINED,
    GPU_COLUMNS,
    TABLES,
    chain_start,
    chained,
    gpu_hash,
    note_hash,
)

_CANDIDATES: Final = 3
_OF_LOG: Final = b""  # instead of a hash, where the record of the log has proved the row
_WINDOW: Final = 256
_EMPTY_WINDOWS: Final = 8  # so many without a row end a table: a page that is lost had fewer


@dataclass(slots=True)
class GpuRemains:
    """What can be proved of one GPU: rows by level and number, and the open one."""

    gpu: Gpu
    rows: list[dict[int, Row]]
    open: Row | None = None
    state: str = ""

    def all_rows(self) -> list[Row]:
        """Of all levels, and the open one."""
        found = [row for rows in self.rows for row in rows.values()]
        return found if self.open is None else [*found, self.open]


@dataclass(slots=True)
class Remains:
    """What can be proved of a file."""

    gpus: list[GpuRemains] = field(default_factory=list)
    series: dict[int, Series] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)  # notes by name
    bad: int = 0  # rows that were there and can't be proved


def remains_of(path: Path) -> Remains:
    """Reads whatever can be read of a file, from a copy; nothing at all is an answer, too."""
    best = Remains()
    for mended in (False, True):
        with _copy(path, mended=mended) as both:
            for ledger in _ledger_ids(both):
                best = _better(best, _remains_of(both, ledger))
        if best.gpus and not best.bad:
            break
    return best


def _better(one: Remains, other: Remains) -> Remains:
    """Whichever has more rows."""
    count = [sum(len(gpu.all_rows()) for gpu in each.gpus) for each in (one, other)]
    return one if count[0] >= count[1] and one.gpus else other


def _remains_of(both: "_Both", ledger: str) -> Remains:
    found = Remains()
    gpus = _gpus(both, ledger)
    uuids = {gpu.id: gpu.uuid for gpu in gpus}
    for values in _proved(both, ledger, "series", found):
        try:
            series = chains.as_series(values, uuids)
        except chains.UNREADABLE:
            found.bad += 1
            continue
        found.series[series.id] = series
    for values in _proved(both, ledger, "sessions", found):
        session = Session._make(values)
        found.sessions[session.id] = session
    for name, body, digest in _readable(both, "notes", ("name", "body", "hash")):
        texts = isinstance(name, str) and isinstance(body, str) and name.startswith(PREFIX)
        if texts and note_hash(ledger, name, body) == digest:
            found.counts[name] = body
    found.gpus = [_of_gpu(both, ledger, gpu, found) for gpu in gpus]
    return found


@contextmanager
def _copy(path: Path, *, mended: bool) -> Iterator["_Both"]:
    """A connection to a copy of the file and its journal: looking must not change what is kept."""
    with tempfile.TemporaryDirectory(prefix="submeter-", dir=path.parent) as scratch:
        copy = Path(scratch) / path.name
        for suffix in ("", "-journal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(source.name))
        if mended:
            mend(copy)
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            with closing(_of_log(path.parent)) as log_rows:
                yield _Both(connection, log_rows)
        finally:
            connection.close()


class _Both(NamedTuple):
    """A damaged database, and what its log proves in tables of their own."""

    file: sqlite3.Connection
    log: sqlite3.Connection


def _of_log(directory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for table, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {table} {columns}")
    for segment in log.all_segments(directory):
        for commit in log.proved(segment.path):
            rows: dict[str, list[tuple[object, ...]]] = {
                "gpus": [(*gpu, _OF_LOG) for gpu in commit.gpus],
                "open": list(commit.opens),
                "notes": list(commit.notes),
            }
            for row in commit.chained:
                rows.setdefault(row.table, []).append((*row.values, row.hash))
            for sealed in commit.sealed:
                rows.setdefault(LEVELS[sealed.level].name, []).append(sealed[1:])
            for table, values in rows.items():
                _put(connection, f"INSERT OR REPLACE INTO {table} VALUES", values)
    return connection


def _put(connection: sqlite3.Connection, insert: str, rows: list[tuple[object, ...]]) -> None:
    for row in rows:
        with suppress(*chains.UNREADABLE):
            connection.execute(f"{insert} ({', '.join('?' * len(row))})", row)


def _ledger_ids(both: "_Both") -> list[str]:
    """Which ledger it may be: as it says, and as its sessions say."""
    stated = []
    with suppress(*chains.UNREADABLE):
        stated.append(chains.ledger_id(both.file))
    stated.extend(str(row[0]) for row in _readable(both, "sessions", ("ledger",)))
    return list(dict.fromkeys(stated))[:_CANDIDATES]


def _gpus(both: "_Both", ledger: str) -> list[Gpu]:
    found: list[Gpu] = []
    for *values, digest in _readable(both, "gpus", (*GPU_COLUMNS, "hash")):
        number, uuid, backend, *_ = values
        if digest == _OF_LOG or gpu_hash(ledger, values) == digest:
            found = [gpu for gpu in found if gpu.id != number]  # one of the log is newer
            found.append(Gpu(*values))
        elif isinstance(number, int) and _is_first(both, ledger, number, uuid, backend):
            found.append(Gpu(number, uuid, backend))
    return found


def _is_first(both: "_Both", ledger: str, number: int, uuid: object, backend: object) -> bool:
    """Whether the first row of any chain says that this GPU is its own: then only a label of it
    was changed."""
    for level in range(len(LEVELS)):
        for sealed in _stored(both, level, number):
            before = genesis(ledger, str(backend), str(uuid), level)
            if sealed.seq == 1 and link(before, sealed) == sealed.hash:
                return True
    return False


def _proved(both: "_Both", ledger: str, table: str, found: Remains) -> Iterator[tuple[Any, ...]]:
    """The rows of a chained table that are as they were written."""
    hashes = {0: chain_start(ledger, table)}
    rows = list(_readable(both, table, (*CHAINED[table], "hash")))
    hashes.update({row[0]: row[-1] for row in rows if isinstance(row[-1], bytes)})
    for *values, digest in rows:
        before = hashes.get(values[0] - 1) if isinstance(values[0], int) else None
        if before is not None and _chained(before, values) == digest:
            yield tuple(values)
        else:
            found.bad += 1


def _chained(before: bytes, values: Sequence[object]) -> bytes | None:
    try:
        return chained(before, values)
    except (TypeError, ValueError):  # a blob where a text was
        return None


def _of_gpu(both: "_Both", ledger: str, gpu: Gpu, found: Remains) -> GpuRemains:
    remains = GpuRemains(gpu, [{} for _ in LEVELS])
    vouched: dict[int, bytes] = {}  # number → hash, from the level above
    newest = Tip(0, genesis(ledger, gpu.backend, gpu.uuid, 0))
    for level in range(TOP, -1, -1):
        hashes = {0: genesis(ledger, gpu.backend, gpu.uuid, level), **vouched}
        rows = list(_stored(both, level, gpu.id))
        hashes.update({row.seq: row.hash for row in rows})
        vouched = {}
        for sealed in rows:
            row = _content(hashes.get(sealed.seq - 1), sealed)
            if row is None:
                found.bad += 1
                continue
            remains.rows[level][sealed.seq] = row
            if row.cover is not None:
                vouched[row.cover.below] = row.cover.below_hash
        if level == 0 and rows:
            newest = Tip(rows[-1].seq, rows[-1].hash)
    _open(both, remains, newest, found)
    return remains


def _stored(both: "_Both", level: int, gpu: int) -> list[Sealed]:
    columns = ("seq", "start_s", "body", "hash", "gpu")
    rows = {}
    for seq, start_s, body, digest, owner in _readable(both, LEVELS[level].name, columns):
        numbers = isinstance(seq, int) and isinstance(start_s, int)
        if owner == gpu and numbers and isinstance(body, bytes) and isinstance(digest, bytes):
            rows[seq] = Sealed(level, gpu, seq, start_s, body, digest)
    return [rows[seq] for seq in sorted(rows)]


def _content(before: bytes | None, sealed: Sealed) -> Row | None:
    if before is None or link(before, sealed) != sealed.hash:
        return None
    try:
        return decode(sealed.level, sealed.start_s, sealed.body)
    except chains.UNREADABLE:
        return None


def _open(both: "_Both", remains: GpuRemains, before: Tip, found: Remains) -> None:
    gpu = remains.gpu.id
    columns = ("gpu", "start_s", "body", "state", "hash")
    for owner, *values in _readable(both, "open", columns):
        if owner == gpu:
            try:
                remains.open = checked_open(before, gpu, (values[0], *values[1:]))
                remains.state = values[2]
            except chains.UNREADABLE:
                found.bad += 1


def _readable(both: "_Both", table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, around those that can't; those of the log come last."""
    for connection in both:
        yield from _readable_of(connection, table, columns)


def _readable_of(
    connection: sqlite3.Connection, table: str, columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE rowid BETWEEN ? AND ?"  # noqa: S608
    empty, low, last = 0, *_rowids(connection, table)
    while low <= last and empty < _EMPTY_WINDOWS:
        rows = _window(connection, query, low, low + _WINDOW - 1)
        yield from rows
        empty = 0 if rows else empty + 1
        low += _WINDOW


def _rowids(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """The first and the last row's; a wide guess where they can't be read."""
    try:
        first, last = connection.execute(
            f"SELECT (SELECT min(rowid) FROM {table}), (SELECT max(rowid) FROM {table})"  # noqa: S608
        ).fetchone()
    except chains.UNREADABLE:
        return 1, 1 << 62
    return (first, last) if isinstance(first, int) and isinstance(last, int) else (1, 0)


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
