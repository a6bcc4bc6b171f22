"""Ledgers that were damaged, and what their rows are made of."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from submeter.errors import StateUnusable
from submeter.ledger import DurableLedger, files, log
from submeter.ledger import audit as audits
from submeter.ledger.chains import UNREADABLE
from submeter.ledger.counts import parse_counts
from submeter.ledger.opening import open_store
from submeter.ledger.reader import Reader, open_reader
from submeter.ledger.records import Session
from submeter.ledger.rows import BadRow, decode, encode
from submeter.ledger.schema import FILE_NAME, version_of
from submeter.ledger.states import parse_state, state_text
from submeter.ledger.writer import DirectWriter
from submeter.model import (
    Account,
    Component,
    CounterState,
    EnergySource,
    Interval,
    MeterState,
    Method,
    Owner,
    Phase,
    Posting,
)
from submeter.testing.memory import IN_MEMORY
from submeter.units import NS_PER_S
from submeter_fuzz.memory import MemoryFile, folder
from submeter_fuzz.surface import NOW_S

_EVER_S: Final = 1 << 40
_SPANS_S: Final = (10, 60, 3_600, 86_400, 10)


def row_of(data: bytes) -> None:
    level = data[0] % 4 if data else 0
    row = decode(level, 0, data[1:])
    try:
        again = encode(row)
    except Exception as error:  # what no agent wrote may not fit; it is found by its hash
        raise BadRow(str(error)) from error
    assert decode(level, 0, again).energy_uj == {k: v for k, v in row.energy_uj.items() if v}


def texts_of(data: bytes) -> None:
    said = data[1:].decode("utf-8", "surrogateescape")
    if data[:1] == b"c":
        parse_counts(said)
        return
    state = parse_state(said)
    assert state is None or parse_state(state_text(state)) == state


@cache
def _log_file() -> MemoryFile:
    return MemoryFile(log.segment(Path(), "ledger", 1, 1).path.name)


def log_of(data: bytes) -> None:
    path = _log_file().holding(data)
    found = list(log.proved(path))
    one = log.segment(path.parent, "ledger", 1, 1)
    assert len(list(log.records([one], 0))) <= len(found)


def database_of(data: bytes) -> None:
    """Places and bytes that are changed in a sound ledger: three bytes a change. One in sixteen
    is read as a file; the others by what reads it once it is open, at a third of the time."""
    damaged = bytearray(_sound_ledger())
    for at in range(0, min(len(data) - 2, 60), 3):
        damaged[int.from_bytes(data[at : at + 2]) % len(damaged)] = data[at + 2]
    if sum(data) % 16 == 0:
        _from_file(damaged)
    else:
        _from_memory(bytes(damaged))


@cache
def _ledger_file() -> MemoryFile:
    tempfile.tempdir = IN_MEMORY  # where a reader makes its copies
    return MemoryFile(FILE_NAME)


def _from_file(damaged: bytearray) -> None:
    directory = _ledger_file().holding(damaged).parent
    audits.audit(directory)
    with open_reader(directory) as reader:
        reader.totals()
        list(reader.pieces(0, _EVER_S))


def _from_memory(damaged: bytes) -> None:
    """As `files.reading` opens it, less the file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.deserialize(damaged)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if files._looks_right(Path(FILE_NAME), connection, version_of(connection)):
            audits._audit(connection, lambda _done, _all: None)
        reader = Reader(connection)
        reader.totals()
        list(reader.pieces(0, _EVER_S))
    except UNREADABLE as error:
        raise StateUnusable(str(error)) from error
    finally:
        connection.close()


@cache
def _sound_ledger() -> bytes:
    """A row or two of every length, on pages of 512 bytes: soon gone through."""
    directory = folder("sound")
    path = directory / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 512")
    connection.execute("CREATE TABLE first (x)")
    connection.execute("DROP TABLE first")
    connection.close()
    wall_ns, now_ns = NOW_S * NS_PER_S, 1_000 * NS_PER_S
    store, loaded = open_store(directory, "nvml", wall_ns)
    session = Session(0, "nvml", "1", "", "boot-1", wall_ns, now_ns)
    ledger = DurableLedger(loaded, session, DirectWriter(store), 100)
    total_uj = 0
    for span_s in _SPANS_S:
        start_ns, now_ns, wall_ns = now_ns, now_ns + span_s * NS_PER_S, wall_ns + span_s * NS_PER_S
        total_uj += span_s * 1_000
        counter = CounterState(total_uj, total_uj, now_ns, 0, total_uj, 0, 0, 0)
        state = MeterState(now_ns, now_ns, now_ns, counter)
        energy = (span_s * 1_000, EnergySource.COUNTER)
        interval = Interval("GPU-1", 0, start_ns, now_ns, *energy, state=state)
        ledger.post(interval, [_posting("train.py", span_s * 900), _posting("b", span_s * 100)])
        ledger.commit(now_ns, wall_ns)
    store.finish()
    return path.read_bytes()


def _posting(name: str, energy_uj: int) -> Posting:
    owner = Owner(Phase.TRAINING, workload=name, user="ann")
    return Posting(Account("GPU-1", "", Component.DYNAMIC, owner), Method.EXCLUSIVE, energy_uj)
