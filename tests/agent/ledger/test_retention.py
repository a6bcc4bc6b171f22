"""Which rows go when: not a second early, not one that nothing vouches for, and few at once."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from submeter.ledger.audit import audit
from submeter.ledger.book import Book, Tip
from submeter.ledger.records import Commit
from submeter.ledger.retention import Keep, Retention
from submeter.ledger.rows import LEVELS, TOP, Row, Sealed
from submeter.ledger.schema import migrate
from submeter.units import NS_PER_S

START_S = 1_767_225_600  # a midnight
DAY_S = 86_400
TIPS = tuple(Tip(0, bytes(32)) for _ in LEVELS)


class File:
    """A database with the rows of one GPU in it, one each ten minutes."""

    def __init__(self, keep: Keep) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection)
        self.retention = Retention(keep)
        self.book = Book(1, TIPS)
        self.now_s = START_S

    def write(self, steps: int) -> None:
        for _ in range(steps):
            self.now_s += 600
            entry = Row(0, end_wall_ns=self.now_s * NS_PER_S, energy_uj={1: 1})
            self.commit(self.book.add(entry))

    def commit(self, sealed: list[Sealed], now_s: int = 0) -> None:
        for row in sealed:
            self.connection.execute(
                f"INSERT INTO {LEVELS[row.level].name} VALUES (?, ?, ?, ?, ?)", row[1:]
            )
        commit = Commit(1, now_s or self.now_s, sealed=tuple(sealed))
        self.retention.prune(self.connection, commit)

    def first(self, level: int) -> tuple[int, int]:
        """Number and label of the oldest row of a level that is left."""
        found: tuple[int, int] = self.connection.execute(
            f"SELECT seq, start_s - {START_S} FROM {LEVELS[level].name} ORDER BY seq LIMIT 1"
        ).fetchone()
        return found

    def rows(self, level: int) -> list[int]:
        found = self.connection.execute(f"SELECT seq FROM {LEVELS[level].name} ORDER BY seq")
        return [seq for (seq,) in found]


def test_how_long_each_resolution_is_kept() -> None:
    keep = Keep(1, 2, 3)
    assert [keep.seconds(level) for level in range(TOP)] == [86_400, 172_800, 259_200]
    assert (Keep().tens_days, Keep().minute_days, Keep().hour_days) == (3, 35, 400)


def test_tens_go_when_all_that_their_minute_has_is_old_enough() -> None:
    file = File(Keep(tens_days=1 / 24, minute_days=9, hour_days=9))
    file.write(30)
    # it is 5 h: the 24th row's minute ended at 4 h, an hour ago, so that it goes; the 25th's stays
    assert file.first(0) == (25, 25 * 600 - 10)
    assert file.first(1)[0] == file.first(2)[0] == 1


@pytest.mark.parametrize(("early_s", "left"), [(1, [1, 2, 3, 4]), (0, [2, 3, 4])])
def test_not_a_second_early(early_s: int, left: list[int]) -> None:
    file = File(Keep(tens_days=1, minute_days=9, hour_days=9))
    file.write(3)
    assert file.rows(0) == [1, 2]
    entry = Row(0, end_wall_ns=(file.now_s + 600) * NS_PER_S)
    more = file.book.add(entry)
    # the first row's minute is [540, 600): a day after its end
    file.commit(more, START_S + 600 + DAY_S - early_s)
    assert file.rows(0) == left[: len(file.rows(0))]
    assert file.rows(0)[0] == left[0]


def test_few_at_once_until_all_that_is_late_has_gone() -> None:
    file = File(Keep(tens_days=400, minute_days=400, hour_days=400))
    file.write(60)
    assert file.rows(0) == list(range(1, 60))
    file.retention = Retention(Keep(tens_days=0, minute_days=400, hour_days=400))
    left = []
    for _ in range(7):
        file.write(1)
        left.append(file.rows(0)[0])
    assert left == [11, 21, 31, 41, 51, 61, 66]


def test_longer_rows_stay_while_they_vouch_for_shorter_ones() -> None:
    """Minutes that should be gone before the tens they cover: they stay as long as those."""
    file = File(Keep(tens_days=0.5, minute_days=0, hour_days=0))
    file.write(3 * 144)
    tens, minutes, hours = (file.rows(level) for level in range(3))
    assert tens == list(range(361, 432))  # half a day; the 432nd is open
    assert minutes[0] == 355  # the 360th vouches for the oldest ten; whole hours go
    assert hours[0] == 25  # when the second day ended, the oldest minute was of the 36th hour
    assert file.rows(3) == [1, 2]


def test_each_gpu_and_level_is_shortened_by_itself(books: Callable[..., Any]) -> None:
    made = books(keep=Keep(tens_days=0.2, minute_days=0.5, hour_days=1))
    for _ in range(150):
        made.post("GPU-1", 1_800, [("a", 5)])
        made.post("GPU-2", 0, [("b", 5)])
        made.commit()
    made.reopen()
    made.store.fold()
    made.close()
    found = audit(made.directory)
    assert not found.problem
    connection = sqlite3.connect(made.directory / "ledger.db")
    for table, most in (("tens", 12), ("minutes", 27), ("hours", 50)):
        for gpu in (1, 2):
            query = f"SELECT min(seq), max(seq), count(*) FROM {table} WHERE gpu = ?"
            first, last, count = connection.execute(query, (gpu,)).fetchone()
            assert last - first + 1 == count <= most, table
            assert first > 1
    connection.close()


def test_a_start_goes_on_where_the_last_one_had_shortened(books: Callable[..., Any]) -> None:
    """Even where an agent starts each half hour: the next covering row is found anew."""
    made = books(keep=Keep(tens_days=0.1, minute_days=0.3, hour_days=0.5))
    for _ in range(120):
        made.book("GPU-1", 1_800, [("a", 5)])
        made.reopen()
    made.close()
    assert not audit(made.directory).problem
    connection = sqlite3.connect(made.directory / "ledger.db")
    for table, most in (("tens", 8), ("minutes", 18), ("hours", 40)):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] <= most, table
    connection.close()
