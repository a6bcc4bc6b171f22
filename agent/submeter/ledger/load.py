"""A ledger file in, what must be known to go on from it out; refuses what was tampered with."""

import sqlite3
from typing import cast

from submeter.ledger import chains
from submeter.ledger.book import Tip, above_s
from submeter.ledger.counts import PREFIX, parse_counts
from submeter.ledger.done import MARKS, parse_marks
from submeter.ledger.records import Gpu, GpuHistory, Loaded, Series, Session
from submeter.ledger.rows import (
    LEVELS,
    TOP,
    BadRow,
    Row,
    add_all,
    decode,
    genesis,
    open_hash,
)
from submeter.ledger.schema import CHAINED, chain_start
from submeter.ledger.states import parse_state
from submeter.model import Checkpoint


def load(connection: sqlite3.Connection, backend: str) -> Loaded:
    """Everything of the file that concerns GPUs of this backend. The rows that are summed for it
    (all days, and what no longer row covers yet) are checked; `audit.py` checks all.

    Raises BadRow, and sqlite3.DatabaseError where the file is no database any more.
    """
    loaded = Loaded(chains.ledger_id(connection))
    known = chains.gpus(connection, loaded.ledger_id)
    loaded.gpu_count = max((gpu.id for gpu in known), default=0)
    uuids = {gpu.id: gpu.uuid for gpu in known}
    ours = {gpu.id for gpu in known if gpu.backend == backend}
    notes = chains.notes(connection, loaded.ledger_id)
    loaded.counts = parse_counts(notes.get(PREFIX + backend, "{}"))
    loaded.marks = parse_marks(notes.get(MARKS + backend, "{}"))
    boots: dict[int, str] = {}
    for table in CHAINED:
        loaded.tips[table] = chain_start(loaded.ledger_id, table)
        for values, digest in chains.chained_rows(connection, loaded.ledger_id, table):
            loaded.tips[table] = digest
            if table == "series":
                series = chains.as_series(values, uuids)
                loaded.series_count = series.id
                if series.gpu in ours:
                    loaded.series[series.id] = series
            elif table == "corrections":
                _, gpu_id, _, _, seq, number, *_ = cast("tuple[int, ...]", values)
                loaded.reversed.append((gpu_id, seq, number))
            else:
                session = Session._make(cast("Session", values))
                loaded.sessions = session.id
                boots[session.id] = session.boot_id
                loaded.since_wall_ns = loaded.since_wall_ns or session.wall_ns
    for gpu in known:
        if gpu.id in ours:
            loaded.gpus[gpu.id] = _history(connection, loaded, gpu, boots)
    return loaded


def _history(
    connection: sqlite3.Connection, loaded: Loaded, gpu: Gpu, boots: dict[int, str]
) -> GpuHistory:
    sums = Row(0)
    tips = [_genesis(loaded, gpu, level) for level in range(len(LEVELS))]
    history = GpuHistory(gpu, (), sums)
    last: Row | None = None
    covered = Tip(0, tips[TOP].hash)
    for level in range(TOP, -1, -1):
        tip = tips[level] if covered.seq == 0 else covered
        covered = Tip(0, b"")
        last = None
        for sealed, row in chains.checked_rows(connection, level, gpu.id, tip):
            _account(loaded.series, sums, row)
            tip = Tip(sealed.seq, sealed.hash)
            if level < TOP:
                if last is not None and above_s(level, last.start_s) != above_s(level, row.start_s):
                    above = f"{LEVELS[level + 1].name} {tips[level + 1].seq + 1}"
                    raise BadRow(f"{above} of GPU {gpu.id}: missing")
                history.tails.append((level, tip, row))
            if row.cover is not None:
                covered = Tip(row.cover.below, row.cover.below_hash)
            last = row
        if tip.seq and last is None:
            raise BadRow(f"{LEVELS[level].name} {tip.seq + 1} of GPU {gpu.id}: missing")
        tips[level] = tip
    history.tips = tuple(tips)
    _open(connection, history, loaded.series)
    if sums.sum_uj != sums.total_uj:
        raise BadRow(f"GPU {gpu.uuid}: rows sum to {sums.sum_uj} µJ of {sums.total_uj} µJ")
    if history.open is not None or last is not None:
        _checkpoint(connection, history, history.open or cast("Row", last), boots)
    return history


def _genesis(loaded: Loaded, gpu: Gpu, level: int) -> Tip:
    return Tip(0, genesis(loaded.ledger_id, gpu.backend, gpu.uuid, level))


def _account(series: dict[int, Series], sums: Row, row: Row) -> None:
    """Adds a row to the sums; the totals that rows carry must agree with what is in them."""
    sums.metered_ns += row.metered_ns
    add_all(sums.facts, row.facts)
    add_all(sums.energy_uj, row.energy_uj)
    sums.total_uj += row.sum_uj
    if row.total_uj != sums.total_uj:
        raise BadRow(f"a row ends at {row.total_uj} µJ, and rows sum to {sums.total_uj} µJ")
    unknown = row.energy_uj.keys() - series.keys()
    if unknown:
        raise BadRow(f"series {min(unknown)}: missing")


def _open(connection: sqlite3.Connection, history: GpuHistory, series: dict[int, Series]) -> None:
    gpu = history.gpu.id
    query = "SELECT start_s, body, state, hash FROM open WHERE gpu = ?"
    found = connection.execute(query, (gpu,)).fetchone()
    if found is None:
        if history.tips[0].seq:
            raise BadRow(f"open row of GPU {gpu}: missing")
        return
    start_s, body, state, digest = found
    history.open = row = checked_open(history.tips[0], gpu, (start_s, body, state, digest))
    _account(series, history.sums, row)


def checked_open(before: Tip, gpu: int, found: tuple[int, bytes, str, bytes]) -> Row:
    """The row that is not over yet. Raises BadRow if it was changed."""
    start_s, body, state, digest = found
    if not isinstance(body, bytes) or not isinstance(state, str) or not isinstance(start_s, int):
        raise BadRow(f"open row of GPU {gpu}: changed since it was written")
    if open_hash(before.hash, gpu, start_s, body, state) != digest:
        raise BadRow(f"open row of GPU {gpu}: changed since it was written")
    return decode(0, start_s, body)


def _checkpoint(
    connection: sqlite3.Connection, history: GpuHistory, last: Row, boots: dict[int, str]
) -> None:
    found = connection.execute("SELECT state FROM open WHERE gpu = ?", (history.gpu.id,)).fetchone()
    state = parse_state(found[0]) if found else None
    boot_id = boots.get(last.session)
    if boot_id is None:
        raise BadRow(f"session {last.session}: missing")
    if state is not None and boot_id:
        history.checkpoint = Checkpoint(state, boot_id, last.end_wall_ns)
