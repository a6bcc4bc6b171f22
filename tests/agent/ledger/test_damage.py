"""Every byte of a small ledger flipped, every length cut: detected or harmless, each one."""

import os
import random
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from submeter.errors import StateUnusable
from submeter.ledger.audit import audit
from submeter.ledger.records import Commit
from submeter.ledger.schema import FILE_NAME, TABLES
from submeter.testing.memory import IN_MEMORY

_USER_VERSION = 60  # where the header has it, sqlite.org/fileformat2.html#database_header

SHARE = 23
ROUNDS = 3 if os.environ.get("SUBMETER_TEST_ALL") else 1  # each with other bits

Recorder = Callable[[str, object], None]
Contents = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def tiny(tmp_path: Path, books: Callable[..., Any]) -> Path:
    """A row or two of every kind, on pages of 512 bytes instead of 4,096: soon gone through."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    connection = sqlite3.connect(state / FILE_NAME)
    connection.execute("PRAGMA page_size = 512")
    connection.execute("CREATE TABLE first (x)")
    connection.execute("DROP TABLE first")
    connection.close()
    made = books()
    for seconds in (1, 10, 60, 3_600, 86_400, 60, 1):
        made.pass_time(seconds - 1)
        made.book("GPU-1", 1, [("train.py", 5_000_000 + seconds), ("serve.py", 70 * seconds)])
    made.close()
    return state


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as directory:
        yield Path(directory)


def contents(path: Path) -> Contents:
    """Everything a ledger says."""
    connection = sqlite3.connect(path)
    try:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in TABLES
        }
    finally:
        connection.close()


def judge(damaged: bytes, scratch: Path, genuine: Contents) -> str:
    """What is wrong with `submeter verify`'s judgement of a damaged file; "" if nothing is."""
    path = scratch / FILE_NAME
    path.write_bytes(damaged)
    try:
        found = audit(scratch)
    except StateUnusable:
        return ""  # said to be no ledger at all
    if found.problem:
        return ""
    return "" if contents(path) == genuine else "neither detected nor harmless"


def some(count: int) -> range:
    """All offsets in `make test-ledger`, a different share of them in each `make test`."""
    if os.environ.get("SUBMETER_TEST_ALL"):
        return range(count)
    return range(random.SystemRandom().randrange(SHARE), count, SHARE)


@pytest.mark.fault("F63")
@pytest.mark.threat("T26")
@pytest.mark.slow
def test_every_flipped_byte_is_detected_or_harmless(
    tiny: Path, scratch: Path, record_property: Recorder
) -> None:
    whole = (tiny / FILE_NAME).read_bytes()
    genuine = contents(tiny / FILE_NAME)
    rng = random.Random(4)
    record_property("damaged", ROUNDS * len(some(len(whole))))
    for _ in range(ROUNDS):
        for offset in some(len(whole)):
            damaged = bytearray(whole)
            damaged[offset] ^= rng.randrange(1, 256)
            assert not judge(bytes(damaged), scratch, genuine), f"byte {offset}"


@pytest.mark.fault("F63")
@pytest.mark.slow
def test_every_truncation_is_detected(tiny: Path, scratch: Path, record_property: Recorder) -> None:
    whole = (tiny / FILE_NAME).read_bytes()
    genuine = contents(tiny / FILE_NAME)
    record_property("damaged", len(some(len(whole))))
    for length in some(len(whole)):
        assert not judge(whole[:length], scratch, genuine), f"{length} bytes"


@pytest.fixture
def logged(tmp_path: Path, books: Callable[..., Any]) -> Path:
    """A ledger whose rows are all in its log still: the agent was killed."""
    made = books()
    for seconds in (1, 10, 60):
        made.book("GPU-1", seconds, [("train.py", 5_000 + seconds), ("serve.py", 70 * seconds)])
    made.store.close()
    return tmp_path / "state"


@pytest.mark.fault("F63")
@pytest.mark.slow
def test_every_flipped_byte_of_the_log_is_detected(logged: Path, record_property: Recorder) -> None:
    (log,) = logged.glob("*.log")
    whole = log.read_bytes()
    record_property("damaged", len(some(len(whole))))
    for offset in some(len(whole)):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 + offset % 255
        log.write_bytes(damaged)
        assert audit(logged).problem, f"byte {offset}"


@pytest.mark.fault("F59")
@pytest.mark.slow
def test_a_log_that_ends_anywhere_is_the_ledger_as_it_was_then(
    logged: Path, record_property: Recorder
) -> None:
    (log,) = logged.glob("*.log")
    whole = log.read_bytes()
    totals = set()
    record_property("damaged", len(some(len(whole))))
    for length in some(len(whole)):
        log.write_bytes(whole[:length])
        found = audit(logged)
        assert not found.problem, f"{length} bytes"
        totals.add(found.energy_uj.get("GPU-1", 0))
    assert totals <= {0, 5_071, 5_071 + 5_710, 5_071 + 5_710 + 9_260}


@pytest.mark.fault("F59")
def test_blocks_of_the_last_record_that_never_arrived_are_no_damage(
    logged: Path, books: Callable[..., Any]
) -> None:
    """The power went while it was being written: its length was on the disk, a block was not."""
    (log,) = logged.glob("*.log")
    whole, database = log.read_bytes(), (logged / FILE_NAME).read_bytes()
    last = _start_of_last_record(whole)
    edges = [last, *range(last // 512 * 512 + 512, len(whole), 512), len(whole)]
    for low, high in pairwise(edges):
        if not any(whole[low:high]) or high - low < 16:
            continue
        (logged / FILE_NAME).write_bytes(database)
        log.write_bytes(whole[:low] + bytes(high - low) + whole[high:])
        found = audit(logged)
        assert (found.problem, found.energy_uj["GPU-1"]) == ("", 5_071 + 5_710), (low, high)
        again = books()
        again.book("GPU-1", 1, [("new.py", 5)])
        again.close()
        assert not list(logged.glob("*.corrupt-*"))
        assert audit(logged).energy_uj["GPU-1"] == 5_071 + 5_710 + 5
        for each in logged.iterdir():
            each.unlink()


@pytest.mark.fault("F63")
def test_an_empty_block_before_a_whole_record_is_damage(logged: Path) -> None:
    (log,) = logged.glob("*.log")
    whole = log.read_bytes()
    last = _start_of_last_record(whole)
    log.write_bytes(whole[:512] + bytes(512) + whole[1_024:])
    assert last > 1_024
    assert audit(logged).problem


def _start_of_last_record(whole: bytes) -> int:
    return whole.rindex(b"sbL1")


@pytest.mark.slow
def test_an_agent_goes_on_from_a_damaged_log(
    logged: Path, books: Callable[..., Any], tmp_path: Path
) -> None:
    (log,) = logged.glob("*.log")
    whole, database = log.read_bytes(), (logged / FILE_NAME).read_bytes()
    for offset in range(7, len(whole), 211):
        shutil.rmtree(logged)
        logged.mkdir(mode=0o700)
        damaged = bytearray(whole)
        damaged[offset] ^= 0x55
        (logged / FILE_NAME).write_bytes(database)
        log.write_bytes(damaged)
        again = books()
        assert again.ledger.totals("GPU-1").energy_uj in {0, 5_071, 10_781, 20_041}
        again.book("GPU-1", 1, [("new.py", 5)])
        again.close()
        assert not audit(logged).problem
        kept = [each.read_bytes() for each in logged.glob("*.corrupt-*")]
        assert bytes(damaged) in kept, "what is damaged is kept"


@pytest.mark.fault("F63")
@pytest.mark.slow
def test_an_agent_goes_on_from_any_damage(
    tiny: Path, scratch: Path, books: Callable[..., Any]
) -> None:
    """Whatever byte is damaged: it starts, no GPU's total is more than it was, what is damaged is
    kept, and the new ledger is sound."""
    whole = (tiny / FILE_NAME).read_bytes()
    before = audit(tiny).energy_uj
    rng = random.Random(5)
    offsets = range(rng.randrange(101), len(whole), 101)
    kept = 0
    for offset in offsets:
        damaged = bytearray(whole)
        damaged[offset] ^= rng.randrange(1, 256)
        shutil.rmtree(tiny)
        tiny.mkdir(mode=0o700)
        (tiny / FILE_NAME).write_bytes(damaged)
        if struct.unpack_from(">I", damaged, _USER_VERSION)[0] not in {0, 1, 2}:
            continue  # of a newer submeter, as far as anybody can see
        again = books()
        again.book("GPU-1", 1, [("new.py", 5)])
        again.store.write(Commit(0, 1 << 33))  # folds the log in
        if again.store.damage:  # found only now: the log goes on, and the next agent saves
            again.booked_uj.clear()
            again.reopen()
        after = {"GPU-1": again.ledger.totals("GPU-1").energy_uj - 5}
        again.close()
        found = audit(tiny)
        aside = [each for each in tiny.glob("ledger.corrupt-*") if each.stat().st_size]
        if aside:
            assert aside[0].read_bytes() == bytes(damaged)
            assert not found.problem, (offset, found.problem)
        assert after["GPU-1"] <= before["GPU-1"], offset
        kept += after == before
    # what is lost are the last seconds, where the open row is hit: the hardware counter has them
    assert kept > 0.9 * len(offsets), f"totals kept {kept} of {len(offsets)} times"
