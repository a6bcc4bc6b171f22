"""Copies taken while a ledger is written, files that are deleted or replaced, old versions."""

import errno
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submeter import cli
from submeter.errors import StateUnusable
from submeter.ledger import files, log
from submeter.ledger.audit import audit
from submeter.ledger.reader import open_reader
from submeter.ledger.schema import FILE_NAME, MIGRATIONS, TABLES, migrate, version_of
from submeter.units import NS_PER_S

FAR_S = 1 << 40
OPERATORS = Path(__file__).parents[3] / "docs/operators.md"


def total_uj(directory: Path) -> int:
    with open_reader(directory) as reader:
        return sum(piece.sum_uj for piece in reader.pieces(0, FAR_S))


def copied(source: Path, target: Path, rng: random.Random) -> None:
    """File by file, a bit at a time, in any order, as cp, rsync and tar do: what is there when the
    folder is listed, of each file what it has when it is read."""
    target.mkdir(mode=0o700)
    names = [each.name for each in source.iterdir()]
    rng.shuffle(names)
    for name in names:
        try:
            file = (source / name).open("rb")
        except FileNotFoundError:  # "file vanished", rsync says, and goes on
            continue
        with file, (target / name).open("wb") as copy:
            while piece := file.read(512):
                copy.write(piece)


@pytest.mark.fault("F64")
def test_the_database_has_no_write_ahead_log(small: Any) -> None:
    """Before 3.51.3 SQLite could damage one (sqlite.org/wal.html#walresetbug). Bytes 18 and 19 of
    the header are 1 for a rollback journal, 2 for a write-ahead log."""
    assert (small.directory / FILE_NAME).read_bytes()[18:20] == b"\x01\x01"
    again = small.reopen()
    again.book("GPU-1", 1, [("train.py", 5)])
    assert not list(small.directory.glob("*-wal"))
    assert (small.directory / FILE_NAME).read_bytes()[18:20] == b"\x01\x01"


@pytest.mark.fault("F59")
def test_a_copy_at_any_moment_is_a_ledger(
    books: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submeter.ledger.store._LONGEST_S", 600)  # so that folding is hit, too
    made = books()
    ended = threading.Event()
    shown = [0]

    def write() -> None:
        while not ended.wait(0.001):
            made.book("GPU-1", 7, [("a", 3), ("b", 4)])
            shown[0] = made.ledger.totals("GPU-1").energy_uj

    writer = threading.Thread(target=write)
    writer.start()
    rng = random.Random(1)
    before_uj = 0
    try:
        for number in range(30):
            least_uj = shown[0]
            target = tmp_path / f"copy-{number}"
            copied(made.directory, target, rng)
            found = audit(target)
            assert not found.problem, found.problem
            copy_uj = total_uj(target)
            assert found.energy_uj.get("GPU-1", 0) == copy_uj
            assert least_uj <= copy_uj <= shown[0] + 7
            before_uj = max(before_uj, copy_uj)
            shutil.rmtree(target)
    finally:
        ended.set()
        writer.join()
    assert before_uj > 0
    assert made.store._folded > 0


@pytest.mark.fault("F68")
def test_the_copy_that_operators_are_told_to_make_is_a_ledger(
    books: Callable[..., Any], tmp_path: Path
) -> None:
    made = books()
    for _ in range(5):
        made.book("GPU-1", 10, [("a", 5)])
    text = OPERATORS.read_text()
    (command,) = (line for line in text.splitlines() if "cp /var/lib/submeter/ledger*" in line)
    command = command.replace("/var/lib/submeter", str(made.directory))
    command = command.replace("/root/copy", str(tmp_path / "copy"))
    subprocess.run(["/bin/sh", "-ec", command], check=True)
    made.book("GPU-1", 10, [("a", 5)])
    assert cli.main(["verify", "--state-dir", str(tmp_path / "copy")]) == 0
    assert total_uj(tmp_path / "copy") == 25


@pytest.mark.parametrize("name", ["*.log", FILE_NAME, "*"])
def test_what_is_deleted_while_the_agent_runs_is_restored(
    books: Callable[..., Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    made.store.fold()
    made.book("GPU-1", 10, [("a", 5)])
    for each in made.directory.glob(name):
        each.unlink()
    with caplog.at_level(logging.ERROR):
        made.book("GPU-1", 10, [("a", 5)])
    assert "deleted while the agent runs" in caplog.text
    assert not made.writer.problem
    assert made.ledger.totals("GPU-1").energy_uj == total_uj(made.directory) == 15
    assert not audit(made.directory).problem
    assert made.reopen().ledger.totals("GPU-1").energy_uj == 15


def test_what_is_put_in_its_place_is_kept_aside(
    books: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    stranger = made.directory / "stranger"
    stranger.write_bytes(b"an older copy, put back by hand")
    stranger.rename(made.directory / FILE_NAME)
    with caplog.at_level(logging.ERROR):
        made.book("GPU-1", 10, [("a", 5)])
    assert "replaced by another file" in caplog.text
    (kept,) = made.directory.glob("ledger.replaced-*")
    assert kept.read_bytes().startswith(b"an older copy")
    assert total_uj(made.directory) == 10
    assert made.reopen().ledger.totals("GPU-1").energy_uj == 10


def test_a_folder_that_is_gone_delays_and_loses_nothing(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    elsewhere = made.directory.with_name("elsewhere")
    made.directory.rename(elsewhere)
    made.book("GPU-1", 10, [("a", 5)])
    assert "No such file" in made.writer.problem
    assert made.ledger.totals("GPU-1").energy_uj == 5
    made.directory.mkdir(mode=0o700)  # somebody makes it again, empty
    made.book("GPU-1", 10, [("a", 5)])
    assert made.ledger.totals("GPU-1").energy_uj == total_uj(made.directory) == 15


def test_damage_found_while_the_agent_runs_stops_nothing(books: Callable[..., Any]) -> None:
    made = books()
    for _ in range(30):
        made.book("GPU-1", 10, [("a", 5)])
    made.store.fold()
    path = made.directory / FILE_NAME
    whole = bytearray(path.read_bytes())
    whole[5_000:] = bytes(len(whole) - 5_000)
    with path.open("r+b") as file:  # in place: the disk did it
        file.write(whole)
    made.book("GPU-1", 10, [("a", 5)])
    made.pass_time(7_200)
    made.book("GPU-1", 10, [("a", 5)])
    assert made.store.damage
    assert not made.writer.problem
    assert made.ledger.totals("GPU-1").energy_uj == 160
    again = made.reopen()
    assert not again.store.damage
    assert list(made.directory.glob("ledger.corrupt-*"))
    assert not audit(made.directory).problem
    assert again.ledger.totals("GPU-1").energy_uj == 160


@pytest.mark.parametrize(("times", "read"), [(0, True), (1, True), (4, True), (5, False)])
def test_a_log_that_is_folded_in_while_it_is_read_is_looked_for_again(
    books: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, times: int, read: bool
) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    missing = iter([True] * times)
    copy = files._copy

    def copied(path: Path, to: Path) -> None:
        if next(missing, False):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "one of the log")
        copy(path, to)

    monkeypatch.setattr(files, "_copy", copied)
    if read:
        assert total_uj(made.directory) == 5
        return
    with pytest.raises(StateUnusable, match="can't be read now"):
        total_uj(made.directory)


def test_log_files_that_are_folded_in_are_kept_for_whoever_copies_them(
    books: Callable[..., Any],
) -> None:
    made = books()
    for _ in range(20):
        made.book("GPU-1", 10, [("a", 5)])
        made.store.fold()
    made.book("GPU-1", 10, [("a", 5)])
    numbers = [each.number for each in log.all_segments(made.directory)]
    assert numbers == list(range(numbers[-1] - 17, numbers[-1] + 1))
    assert numbers[0] > 1
    assert made.reopen().ledger.totals("GPU-1").energy_uj == 105


def test_log_files_of_another_ledger_are_kept_aside(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    made.store.close()
    mine = {each.path for each in log.all_segments(made.directory)}
    strange = log.segment(made.directory, "another", 1, 1).path
    strange.write_bytes(b"somebody's")
    assert made.open().ledger.totals("GPU-1").energy_uj == 5
    assert not strange.exists()
    kept = strange.with_name(f"{strange.stem}.corrupt-{made.wall_ns // NS_PER_S}")
    assert kept.read_bytes() == b"somebody's"
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize(("mib", "folds"), [(3, False), (5, True)])
def test_a_log_is_folded_in_once_it_is_large(
    books: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, mib: int, folds: bool
) -> None:
    """Than 4 MiB and a quarter of the database; that is small here."""
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    folded: list[int] = []
    monkeypatch.setattr(made.store, "_try_to_fold", lambda: folded.append(1))
    made.ledger.count("GPU-1", {"x" * (mib << 20): 1})
    made.commit()
    assert bool(folded) is folds


def first_version(directory: Path) -> None:
    """Makes a ledger one that version 1 wrote."""
    path = directory / FILE_NAME
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TABLE notes")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    for each in directory.glob("*.log"):
        each.unlink()


def test_a_ledger_of_version_1_is_read_and_goes_on(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    made.close()
    first_version(made.directory)
    whole = (made.directory / FILE_NAME).read_bytes()
    assert total_uj(made.directory) == 5
    assert not audit(made.directory).problem
    assert (made.directory / FILE_NAME).read_bytes() == whole, "reading changes nothing"
    again = made.open()
    again.book("GPU-1", 10, [("a", 5)])
    assert again.ledger.totals("GPU-1").energy_uj == total_uj(made.directory) == 10
    assert not audit(made.directory).problem


def test_what_version_1_was_killed_at_is_undone(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5)])
    made.close()
    first_version(made.directory)
    path = made.directory / FILE_NAME
    pid = os.fork()
    if pid == 0:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")  # pages go to the file before the end
        connection.execute("BEGIN")
        connection.execute("UPDATE open SET body = zeroblob(100000)")
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.with_name(path.name + "-journal").stat().st_size
    assert total_uj(made.directory) == 5
    assert made.open().ledger.totals("GPU-1").energy_uj == 5
    assert not path.with_name(path.name + "-journal").exists()


@pytest.mark.fault("F69")
def test_versions_are_made_one_from_the_other(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    migrate(connection, MIGRATIONS[:1])
    assert version_of(connection) == 1
    migrate(connection)
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
    found = dict(connection.execute(query).fetchall())
    assert found == {name: f"CREATE TABLE {name} {columns}" for name, columns in TABLES.items()}
    connection.close()
