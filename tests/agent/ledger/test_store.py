"""Disks that are full, read-only or busy, files of others, wrong clocks: nothing is lost."""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submeter.errors import StateUnusable
from submeter.ledger.audit import audit
from submeter.ledger.reader import CORRECTED, open_reader
from submeter.ledger.schema import FILE_NAME, MIGRATIONS, migrate, version_of
from submeter.ledger.store import Store
from submeter.model import SuspectReason, UnmeteredReason
from submeter.units import NS_PER_S

START_S = 1_767_225_600
FAR_S = 1 << 40


def total_uj(directory: Path) -> int:
    with open_reader(directory) as reader:
        read_uj = sum(piece.sum_uj for piece in reader.pieces(0, FAR_S))
        assert read_uj == sum(total.energy_uj for total in reader.totals())
    return read_uj


@pytest.mark.fault("F75")
def test_totals_go_on_after_a_restart(books: Callable[..., Any]) -> None:
    first = books()
    first.post("GPU-1", 1, [("a", 5), ("b", 7)], suspect_uj=3, unmetered_ns=9)
    first.commit()
    accounts = dict(first.ledger.accounts())
    again = first.reopen()
    assert again.ledger.accounts() == accounts
    totals = again.ledger.totals("GPU-1")
    assert totals.energy_uj == sum(totals.by_method_uj.values()) == 12
    assert totals.suspect_uj == {SuspectReason.JUMP: 3}
    assert totals.unmetered_ns == {UnmeteredReason.GAP: 9}
    checkpoint = again.ledger.checkpoint("GPU-1")
    assert checkpoint is not None
    assert checkpoint.boot_id == "boot-1"
    assert checkpoint.wall_ns == first.wall_ns
    assert checkpoint.state.counter is not None
    assert checkpoint.state.counter.raw_uj == 12


def test_an_interval_without_a_state_waits_for_the_next(books: Callable[..., Any]) -> None:
    made = books()
    made.post("GPU-1", 1, [("a", 5)], state=False)
    made.commit()
    assert made.ledger.totals("GPU-1").energy_uj == 0
    made.book("GPU-1", 1, [("a", 2)])
    assert made.ledger.totals("GPU-1").energy_uj == 7


@pytest.mark.fault("F59", "F62")
def test_what_the_disk_did_not_flush_does_not_count(
    books: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error of fsync nothing is believed of that file any more: the log goes on in
    another one, with everything that was not flushed."""
    made = books()
    made.book("GPU-1", 1, [("a", 5)])

    def fail(_handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        made.book("GPU-1", 1, [("a", 7)])
        assert made.ledger.totals("GPU-1").energy_uj == 5
        assert os.strerror(errno.EIO) in made.writer.problem
    before = set(made.directory.glob("*.log"))
    made.book("GPU-1", 1, [("a", 1)])
    assert set(made.directory.glob("*.log")) - before, "another file"
    assert made.reopen().ledger.totals("GPU-1").energy_uj == 13
    made.close()
    assert not audit(made.directory).problem


@pytest.mark.threat("T9")
@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE account; --", '" OR 1=1 --', "a');DELETE FROM row;--", "%s ? :x $1"],
)
def test_a_name_that_is_sql_is_a_name(books: Callable[..., Any], name: str) -> None:
    made = books()
    made.book("GPU-1", 3_600, [(name, 5)])
    made.close()
    assert not audit(made.directory).problem
    again = books()
    assert {account.owner.workload for account in dict(again.ledger.accounts())} == {name}
    assert total_uj(made.directory) == 5


@pytest.mark.fault("F60", "F61", "F62")
@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EIO])
def test_what_is_shown_is_what_is_safe(
    books: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    made = books()
    made.book("GPU-1", 1, [("a", 5)])

    def refuse(handle: int, whole: bytes) -> None:
        os.write(handle, whole[: len(whole) // 2])  # a part may be there all the same
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("submeter.ledger.store._write", refuse)
        for step in range(30):
            made.book("GPU-1", 10, [("a", 1), (f"job-{step}", 1)])
        assert os.strerror(code) in made.writer.problem
        assert made.ledger.totals("GPU-1").energy_uj == 5
        assert total_uj(made.directory) == 5
    made.commit()
    assert not made.writer.problem
    assert made.ledger.totals("GPU-1").energy_uj == total_uj(made.directory) == 65
    assert not audit(made.directory).problem
    assert len(list(made.directory.glob("*.log"))) <= 2


@pytest.mark.fault("F60")
def test_a_day_without_a_disk_fits_into_memory(books: Callable[..., Any]) -> None:
    made = books()
    made.store.write = _refuse
    for _ in range(8_640):
        made.book("GPU-1", 10, [("a", 1)])
    waiting = [row for _, row in made.ledger._books["GPU-1"].sealed]
    assert len(waiting) < 1_500
    del made.store.write
    made.commit()
    assert total_uj(made.directory) == 8_640
    assert not audit(made.directory).problem


def _refuse(_commit: object) -> None:
    from submeter.ledger.store import NotWritten

    raise NotWritten("disk away")


@pytest.mark.fault("F71")
def test_a_reader_that_never_ends_holds_nobody_up(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 1, [("a", 5)])
    made.store.fold()
    reader = sqlite3.connect(made.directory / FILE_NAME)
    reader.execute("BEGIN EXCLUSIVE")
    made.book("GPU-1", 1, [("a", 5)])
    made.store.fold()
    made.book("GPU-1", 1, [("a", 5)])
    assert total_uj(made.directory) == 15
    reader.close()
    assert made.reopen().ledger.totals("GPU-1").energy_uj == 15


def test_writing_a_commit_twice_is_writing_it_once(books: Callable[..., Any]) -> None:
    made = books()
    commits = []
    write = made.store.write

    def twice(commit: Any) -> None:
        commits.append(commit)
        write(commit)
        write(commit)

    made.store.write = twice
    for _ in range(20):
        made.book("GPU-1", 10, [("a", 3)])
    assert total_uj(made.directory) == 60
    assert not audit(made.directory).problem


@pytest.mark.fault("F69")
def test_a_newer_ledger_is_not_written_to_but_read(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 1, [("a", 5)])
    made.close()
    connection = sqlite3.connect(made.directory / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    whole = (made.directory / FILE_NAME).read_bytes()
    with pytest.raises(StateUnusable, match="newer submeter") as caught:
        made.open()
    assert caught.value.exit_code == 73
    assert (made.directory / FILE_NAME).read_bytes() == whole
    assert total_uj(made.directory) == 5


@pytest.mark.fault("F69")
def test_a_migration_that_is_killed_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    newer = [*MIGRATIONS, ["CREATE TABLE extra (x)", "ALTER TABLE gpus ADD COLUMN y"]]
    statements = sum(map(len, newer))
    for killed_at in range(statements):
        path = tmp_path / f"{killed_at}.db"
        at = iter(range(1_000))
        connection = sqlite3.connect(path, isolation_level=None)

        def deny(action: int, *_names: object, at: Any = at, killed_at: int = killed_at) -> int:
            made = action in {sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_ALTER_TABLE}
            denied = made and next(at) == killed_at
            return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK

        connection.set_authorizer(deny)
        with pytest.raises(sqlite3.DatabaseError):
            migrate(connection, newer)
        connection.set_authorizer(None)
        assert version_of(connection) == 0
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        migrate(connection, newer)
        assert version_of(connection) == len(newer)
        connection.close()


@pytest.mark.threat("T23", "T33")
def test_a_ledger_is_its_owners_alone_and_never_a_link(books: Callable[..., Any]) -> None:
    made = books()
    path = made.directory / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made.close()
    path.rename(made.directory / "elsewhere")
    path.symlink_to(made.directory / "elsewhere")
    with pytest.raises(StateUnusable, match="symbolic link"):
        made.open()


@pytest.mark.fault("F55")
def test_a_clock_that_was_not_set_is_said_and_relabelled(books: Callable[..., Any]) -> None:
    made = books(wall_ns=3_600 * NS_PER_S)
    for _ in range(3):
        made.book("GPU-1", 10, [("a", 1)])
    made.wall_ns = (START_S + 30) * NS_PER_S  # somebody sets the clock
    made.book("GPU-1", 10, [("a", 1)])
    with open_reader(made.directory) as reader:
        pieces = list(reader.pieces(0, FAR_S, range(START_S - 60, START_S + 60, 10)))
    unset = [piece for piece in pieces if piece.facts.get("clock_unsynced")]
    assert sum(piece.sum_uj for piece in unset) == 3
    assert all(START_S - 10 <= piece.start_s < START_S + 40 for piece in pieces)


def test_what_is_simulated_is_never_read_as_real(books: Callable[..., Any]) -> None:
    real = books()
    real.book("GPU-1", 1, [("a", 5)])
    real.close()
    mock = books(backend="mock", boot_id="")
    mock.book("GPU-1", 1, [("a", 1_000)])
    assert mock.ledger.totals("GPU-1").energy_uj == 1_000
    mock.close()
    with open_reader(real.directory, backend="nvml") as reader:
        assert sum(piece.sum_uj for piece in reader.pieces(0, FAR_S)) == 5
    assert real.open().ledger.totals("GPU-1").energy_uj == 5
    assert mock.reopen().ledger.checkpoint("GPU-1") is None


def test_a_correction_is_an_entry_that_reverses(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5), ("b", 6)])
    made.book("GPU-1", 10, [("a", 5)])
    series = 1  # the first one: a's
    made.ledger.reverse("GPU-1", 1, series, "the job was labelled wrongly", made.wall_ns)
    made.commit()
    assert not audit(made.directory).problem
    with open_reader(made.directory) as reader:
        booked: dict[str, int] = {}
        for piece in reader.pieces(0, FAR_S):
            for each, energy_uj in piece.energy:
                name = each.account.owner.workload
                booked[name] = booked.get(name, 0) + energy_uj
    assert booked == {"a": 5, "b": 6, CORRECTED.workload: 5}
    assert made.ledger.totals("GPU-1").energy_uj == 16
    with pytest.raises(ValueError, match="no such"):
        made.ledger.reverse("GPU-1", 77, series, "", made.wall_ns)
    again = made.reopen()
    with pytest.raises(ValueError, match="already"):
        again.ledger.reverse("GPU-1", 1, series, "", made.wall_ns)


def test_a_store_that_can_not_be_made_is_unusable(tmp_path: Path) -> None:
    from submeter.ledger.opening import open_store

    with pytest.raises(StateUnusable) as caught:
        open_store(tmp_path / "absent", "nvml", 0)
    assert caught.value.exit_code == 73
    assert Store(tmp_path / FILE_NAME, "nvml").open().gpus == {}
