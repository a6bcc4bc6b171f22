"""Whoever changes a ledger and makes all hashes anew is found out by what doesn't add up."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from submeter.errors import StateUnusable
from submeter.ledger import audit as auditing
from submeter.ledger.audit import Audit, audit
from submeter.ledger.counts import PREFIX
from submeter.ledger.rows import LEVELS, Row, Sealed, decode, encode, genesis, link, open_hash
from submeter.ledger.schema import FILE_NAME, note_hash
from submeter.model import EnergySource, GpuInfo

TENS, MINUTES, HOURS, DAYS = range(4)
BOOKED = 60  # half hours

Change = Callable[[Row], None]


@pytest.fixture
def state(books: Callable[..., Any]) -> Path:
    """Thirty hours of a GPU by half hours, and ten seconds of another one."""
    made = books()
    for step in range(BOOKED):
        made.post("GPU-1", 1_800, [("a", 100 + step), ("b", 7)], suspect_uj=3, unmetered_ns=10**9)
        made.commit()
    made.book("GPU-2", 10, [("a", 5)])
    made.close()
    assert isinstance(made.directory, Path)
    return made.directory


@contextmanager
def opened(directory: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def forge(
    directory: Path, changes: dict[tuple[int, int], Change], opens: Change | None = None
) -> None:
    """Changes rows of GPU 1, by level and number, and makes every hash after them anew."""
    with opened(directory) as connection:
        ledger = connection.execute("SELECT uuid FROM ledger").fetchone()[0]
        hashes: dict[tuple[int, int], bytes] = {}
        tip = b""
        for level, (name, _) in enumerate(LEVELS):
            query = f"SELECT seq, start_s, body, hash FROM {name} WHERE gpu = 1 ORDER BY seq"
            tip = genesis(ledger, "nvml", "GPU-1", level)
            for seq, start_s, body, old in connection.execute(query).fetchall():
                row = decode(level, start_s, body)
                if row.cover is not None:
                    below = hashes.get((level - 1, row.cover.below), row.cover.below_hash)
                    row.cover = row.cover._replace(below_hash=below)
                if (level, seq) in changes:
                    changes[level, seq](row)
                body = encode(row)
                digest = link(tip, Sealed(level, 1, seq, row.start_s, body))
                hashes[level, seq] = tip = digest
                update = f"UPDATE {name} SET start_s = ?, body = ?, hash = ? WHERE hash = ?"
                connection.execute(update, (row.start_s, body, digest, old))
        last = max(seq for level, seq in hashes if level == TENS)
        start_s, body, state = connection.execute(
            "SELECT start_s, body, state FROM open WHERE gpu = 1"
        ).fetchone()
        row = decode(TENS, start_s, body)
        if opens is not None:
            opens(row)
        body = encode(row)
        digest = open_hash(hashes[TENS, last], 1, start_s, body, state)
        connection.execute("UPDATE open SET body = ?, hash = ? WHERE gpu = 1", (body, digest))


def adds(**amounts: int) -> Change:
    """Adds amounts to fields of a row."""

    def change(row: Row) -> None:
        for name, amount in amounts.items():
            setattr(row, name, getattr(row, name) + amount)

    return change


def moves(amount: int, to: int = 2) -> Change:
    """Takes that much from series 1, and gives it to another one."""

    def change(row: Row) -> None:
        row.energy_uj[1] -= amount
        row.energy_uj[to] = row.energy_uj.get(to, 0) + amount

    return change


def covers(**amounts: int) -> Change:
    """Adds amounts to what a row says of those it covers."""

    def change(row: Row) -> None:
        assert row.cover is not None
        values = {name: getattr(row.cover, name) + amount for name, amount in amounts.items()}
        row.cover = row.cover._replace(**values)

    return change


def fact(row: Row) -> None:
    row.facts["suspect.jump"] += 1


def other_hash(row: Row) -> None:
    assert row.cover is not None
    row.cover = row.cover._replace(below_hash=bytes(32))


def between_quarters(row: Row) -> None:
    first, second = sorted(row.quarters)[:2]
    row.quarters[first].energy_uj[1] -= 1
    row.quarters[second].energy_uj[1] += 1


def in_the_first_quarter(row: Row) -> None:
    for part in (row, row.quarters[min(row.quarters)]):
        moves(1)(part)


def in_a_quarter(row: Row) -> None:
    next(iter(row.quarters.values())).metered_ns += 1


def test_what_is_sound_is_counted(state: Path) -> None:
    forge(state, {})  # whoever makes the same hashes changes nothing
    found = audit(state)
    assert found.problem == ""
    total_uj = sum(100 + step + 7 for step in range(BOOKED))
    assert found.energy_uj == {"GPU-1": total_uj, "GPU-2": 5}
    with opened(state) as connection:
        assert found.ledger_id == connection.execute("SELECT uuid FROM ledger").fetchone()[0]
        tables = ("sessions", "series", "corrections", *(level.name for level in LEVELS))
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in tables
        }
    assert found.rows == counts
    assert counts["tens"] == BOOKED - 1
    assert counts["days"] == 1


MINUTE = "the row of minutes that ends with tens"
HOUR = "the row of hours that ends with minutes"
DAY = "the row of days that ends with hours"
CHANGED = "changed since it was written"
SUM = "is not the sum of what it covers"
TOTAL = "its total is not the sum of all rows until then"
BEGINS = "does not begin where the one before it ends"


@pytest.mark.threat("T26")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({(TENS, 5): adds(total_uj=1)}, f"tens 5 of GPU-1: {TOTAL}"),
        ({(TENS, 1): adds(total_uj=-1)}, f"tens 1 of GPU-1: {TOTAL}"),
        ({(DAYS, 1): adds(total_uj=1)}, f"days 1 of GPU-1: {TOTAL}"),
        ({(TENS, 5): moves(1)}, f"{MINUTE} 5 of GPU-1 {SUM}"),
        ({(TENS, 5): adds(metered_ns=1)}, f"{MINUTE} 5 of GPU-1 {SUM}"),
        ({(TENS, 5): fact}, f"{MINUTE} 5 of GPU-1 {SUM}"),
        ({(MINUTES, 3): moves(1)}, f"{HOUR} 4 of GPU-1 {SUM}"),
        ({(HOURS, 4): in_the_first_quarter}, f"{DAY} 24 of GPU-1 {SUM}"),
        ({(HOURS, 4): in_a_quarter}, "hours 4 of GPU-1: its quarters do not sum to it"),
        ({(HOURS, 4): between_quarters}, f"{HOUR} 8 of GPU-1 {SUM}"),
        (
            {(MINUTES, 7): other_hash},
            f"{MINUTE} 7 of GPU-1 covers another row",
        ),
        (
            {(HOURS, 3): covers(below=-1)},
            f"{HOUR} 5 of GPU-1 covers another row",
        ),
        ({(MINUTES, 1): covers(first=-1)}, f"minutes 1 of GPU-1: {BEGINS}"),
        ({(MINUTES, 4): covers(first=1)}, f"minutes 4 of GPU-1: {BEGINS}"),
        ({(HOURS, 4): covers(last=1)}, f"hours 5 of GPU-1: {BEGINS}"),
        (
            {(MINUTES, 4): covers(last=1), (MINUTES, 5): covers(first=1)},
            f"{HOUR} 4 of GPU-1 {SUM}",
        ),
        ({(TENS, 5): moves(1, to=77)}, f"{MINUTE} 5 of GPU-1 {SUM}"),
        (
            {(TENS, BOOKED - 1): moves(1, to=77)},
            "a row of tens of GPU-1 names a series that is missing",
        ),
        (
            {(HOURS, 4): adds(session=1)},
            "a row of hours of GPU-1 names session 2, which is missing",
        ),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_named(
    state: Path, changes: dict[tuple[int, int], Change], problem: str
) -> None:
    forge(state, changes)
    assert audit(state).problem == problem


@pytest.mark.threat("T26")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (adds(total_uj=1), "open row of GPU-1: its total is not the sum of all rows"),
        (adds(total_uj=-1), "open row of GPU-1: its total is not the sum of all rows"),
        (moves(1, to=77), "a row of tens of GPU-1 names a series that is missing"),
        (adds(session=5), "a row of tens of GPU-1 names session 6, which is missing"),
    ],
)
def test_the_row_that_is_not_over_is_checked_as_well(
    state: Path, change: Change, problem: str
) -> None:
    forge(state, {}, change)
    assert audit(state).problem == problem


@pytest.mark.threat("T26")
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM tens WHERE gpu = 1 AND seq = 7", "tens 7 of GPU-1: missing"),
        ("DELETE FROM tens WHERE seq > 50",
         "tens of GPU-1: end before those that cover them"),
        ("DELETE FROM tens WHERE gpu = 1 AND seq = 59", f"open row of GPU-1: {CHANGED}"),
        ("DELETE FROM hours WHERE gpu = 1 AND seq <= 3", "hours 3 of GPU-1: missing"),
        # all that they covered is there, and adds up; but the first of a new day ends the day
        ("DELETE FROM days", "days 1 of GPU-1: missing"),
        ("DELETE FROM hours WHERE gpu = 1 AND seq = 28", "hours 28 of GPU-1: missing"),
        ("DELETE FROM minutes WHERE gpu = 1 AND seq = 58", "minutes 58 of GPU-1: missing"),
        # as retention does, whose longer rows vouch for what is left
        ("DELETE FROM tens WHERE seq < 4; DELETE FROM minutes WHERE seq < 3", ""),
        ("DELETE FROM minutes WHERE gpu = 1 AND seq < 4", "minutes 3 of GPU-1: missing"),
        ("DELETE FROM tens WHERE gpu = 1 AND seq < 9", ""),
        ("DELETE FROM open WHERE gpu = 1", "open row of GPU-1: missing"),
        ("UPDATE open SET start_s = 'x' WHERE gpu = 1", f"open row of GPU-1: {CHANGED}"),
        ("INSERT INTO tens VALUES (9, 1, 0, x'00', x'00')",
         "tens: rows of GPU 9, which the ledger does not know"),
        ("INSERT INTO open VALUES (9, 0, x'00', '', x'00')",
         "open: rows of GPU 9, which the ledger does not know"),
        ("UPDATE tens SET body = 'text' WHERE seq = 4", f"tens 4 of GPU-1: {CHANGED}"),
        ("UPDATE tens SET start_s = start_s + 10 WHERE seq = 4",
         f"tens 4 of GPU-1: {CHANGED}"),
        ("UPDATE series SET user = 'eve' WHERE id = 2", f"series 2: {CHANGED}"),
        ("DELETE FROM series WHERE id = 1", "series 1: missing"),
        ("UPDATE gpus SET name = 'B200' WHERE id = 2", f"gpus 2: {CHANGED}"),
        ("ALTER TABLE days ADD COLUMN more", "table days is not the one that was made"),
        ("UPDATE ledger SET uuid = 'another'", f"notes folded: {CHANGED}"),
        ("DELETE FROM ledger", "ledger: not the one row that says which ledger this is"),
    ],
)  # fmt: skip
def test_what_is_missing_or_strange_is_named(state: Path, statement: str, problem: str) -> None:
    with opened(state) as connection:
        connection.executescript(statement)
    assert re.sub(r".*/ledger\.db is damaged \((.*)\);.*", r"\1", audit(state).problem) == problem


def test_a_gpu_is_called_by_its_uuid_and_its_name(books: Callable[..., Any]) -> None:
    made = books()
    source = EnergySource.COUNTER
    made.ledger.describe(GpuInfo("GPU-1", 3, "H100", "", "", "hopper", source, "1s", 0, False))
    made.book("GPU-1", 10, [("a", 5)])
    made.book("GPU-1", 10, [("a", 5)])
    made.close()
    with opened(made.directory) as connection:
        connection.execute("DELETE FROM tens")
    assert audit(made.directory).problem.startswith("open row of GPU-1 (H100): ")


def test_unreadable_counts_are_found(state: Path) -> None:
    with opened(state) as connection:
        ledger = connection.execute("SELECT uuid FROM ledger").fetchone()[0]
        for name in ("other", PREFIX + "nvml"):
            body = "no counts"
            connection.execute(
                "INSERT OR REPLACE INTO notes VALUES (?, ?, ?)",
                (name, body, note_hash(ledger, name, body)),
            )
            found = audit(state).problem
            assert found.startswith("unreadable counts") is name.startswith(PREFIX)


def test_a_newer_ledger_can_not_be_verified(state: Path) -> None:
    with opened(state) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(StateUnusable, match=r"is of version 3.*only verify version 2"):
        audit(state)


def test_whoever_waits_is_told_every_thousand_rows() -> None:
    told: list[tuple[int, int]] = []
    rows: dict[str, int] = {}
    count = auditing._Count(rows, 2_500, lambda done, total: told.append((done, total)))
    assert rows == {level.name: 0 for level in LEVELS}
    for _ in range(3_000):
        count.one(MINUTES)
    assert told == [(1_000, 2_500), (2_000, 2_500), (3_000, 3_000)]
    assert rows["minutes"] == 3_000
    assert Audit().problem == ""
