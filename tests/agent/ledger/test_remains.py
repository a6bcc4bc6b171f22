"""What is proved of a damaged ledger, row by row, and what is made of it."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from submeter.ledger.audit import audit
from submeter.ledger.opening import open_store
from submeter.ledger.parts import Part, parts
from submeter.ledger.proof import remains_of
from submeter.ledger.reader import open_reader
from submeter.ledger.records import Gpu
from submeter.ledger.remains import GpuRemains, Proved
from submeter.ledger.rows import Cover, Row
from submeter.ledger.salvage import DAMAGED
from submeter.ledger.schema import FILE_NAME
from submeter.model import Owner, Phase, SuspectReason
from submeter.units import NS_PER_S

START_S = 1_767_225_600
FAR_S = 1 << 40
BOOKED = 60  # half hours


@pytest.fixture
def made(books: Callable[..., Any]) -> Any:
    """Thirty hours of a GPU by half hours, each of its own energy, with work that was done."""
    made = books()
    for step in range(BOOKED):
        owner = Owner(Phase.TRAINING, workload="a", user="ann")
        made.ledger.book_work("GPU-1", owner, {"tokens": 3}, {})
        made.post("GPU-1", 1_800, [("a", 1_000 + step), ("b", 7)], suspect_uj=2)
        made.commit()
    made.ledger.count("GPU-1", {"samples": 5})
    made.commit()
    made.close()
    for each in made.directory.glob("*.log"):
        each.unlink()  # all of it is in the database, and else would be proved by the log
    return made


@contextmanager
def opened(made: Any) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(made.directory / FILE_NAME, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def proved(made: Any) -> tuple[int, int, list[Proved]]:
    """How many rows are proved and how many not; those of the GPU in order."""
    with remains_of(made.directory / FILE_NAME, made.directory) as remains:
        rows = [proved for group in remains.groups(1) for proved, _ in group]
        return remains.rows, remains.bad, rows


ROWS = (BOOKED - 1) + (BOOKED - 2) + 28 + 1  # tens, minutes, hours, days; the last ones are open


def test_all_of_a_sound_ledger_is_proved(made: Any) -> None:
    rows, bad, found = proved(made)
    assert (rows, bad) == (ROWS + 1, 0)  # with the open one
    assert len(found) == ROWS
    assert found[:4] == [
        Proved(3, 1, 1, 48),
        Proved(2, 1, 1, 2),
        Proved(1, 1, 1, 1),
        Proved(0, 1, 1, 1),
    ]
    with remains_of(made.directory / FILE_NAME, made.directory) as remains:
        groups = list(remains.groups(1))
        assert [len(group) for group in groups[:2]] == [1 + 24 + 48 + 48, 1 + 2 + 2]
        (one,) = remains.gpus
        assert one.gpu == Gpu(1, "GPU-1", "nvml")
        assert [end.cover is None for end in one.ends] == [False, False, False, True]
        assert len(one.all_ends()) == 5
        assert one.open is not None
        assert one.state.startswith("[")
        assert set(remains.series) == {1, 2}
        assert set(remains.sessions) == {1}
        assert list(remains.counts) == ["counts.nvml"]


@pytest.mark.fault("F63")
@pytest.mark.parametrize(
    ("statement", "lost", "bad"),
    [
        ("UPDATE tens SET body = zeroblob(60) WHERE seq = 9", [(0, 9)], 1),
        ("UPDATE tens SET start_s = start_s + 10 WHERE seq = 9", [(0, 9)], 1),
        # the next one is vouched for by the minute that covers the one before it
        ("UPDATE tens SET hash = zeroblob(32) WHERE seq = 9", [(0, 9)], 1),
        ("DELETE FROM tens WHERE seq = 9", [(0, 9)], 0),
        ("DELETE FROM tens WHERE seq < 9; DELETE FROM minutes WHERE seq < 5",
         [*((0, seq) for seq in range(1, 9)), *((1, seq) for seq in range(1, 5))], 0),
        # nothing vouches for what follows the newest row
        ("UPDATE tens SET hash = zeroblob(32) WHERE seq = 59", [(0, 59), "open"], 2),
        ("UPDATE days SET hash = zeroblob(32)", [(3, 1)], 1),
        ("UPDATE open SET state = ''", ["open"], 1),
        ("DELETE FROM open", ["open"], 0),
        # no ledger can have that; and nothing vouches for the next one
        ("UPDATE hours SET body = 'text' WHERE seq = 3", [(2, 3), (2, 4)], 1),
        ("UPDATE minutes SET body = zeroblob(100000) WHERE seq = 30", [(1, 30)], 1),
    ],
)  # fmt: skip
def test_what_is_damaged_costs_itself_alone(
    made: Any, statement: str, lost: list[Any], bad: int
) -> None:
    _, _, before = proved(made)
    with opened(made) as connection:
        connection.executescript(statement)
    rows, found_bad, found = proved(made)
    missing = [(each.level, each.seq) for each in before if each not in found]
    assert sorted(missing) == sorted(each for each in lost if each != "open")
    assert rows == ROWS + 1 - len(lost)
    assert found_bad == bad


@pytest.mark.fault("F63")
@pytest.mark.parametrize(
    ("statement", "named"),
    [
        # the first row of its chain says whose it is
        ("UPDATE gpus SET name = 'B200'", {"a", "b"}),
        ("UPDATE gpus SET hash = zeroblob(32)", {"a", "b"}),
        ("UPDATE series SET user = 'eve' WHERE id = 1", {"b", "(ledger damaged)"}),
        ("UPDATE series SET user = 'eve' WHERE id = 2", {"a", "(ledger damaged)"}),
        ("DELETE FROM series WHERE id = 1", {"(ledger damaged)"}),
        ("DELETE FROM sessions", {"a", "b"}),
        ("UPDATE ledger SET uuid = 'another'", {"a", "b"}),  # sessions say which one it is
    ],
)
def test_who_it_was_is_known_as_far_as_that_is_proved(
    made: Any, statement: str, named: set[str]
) -> None:
    with opened(made) as connection:
        connection.executescript(statement)
        connection.execute("UPDATE tens SET hash = zeroblob(32) WHERE seq = 20")
    before_uj = sum(1_007 + step for step in range(BOOKED))
    store, _ = open_store(made.directory, "nvml", made.wall_ns)
    store.close()
    found = audit(made.directory)
    assert not found.problem
    assert found.energy_uj == {"GPU-1": before_uj}
    with open_reader(made.directory, "nvml") as reader:
        names = {
            series.account.owner.workload
            for piece in reader.pieces(0, FAR_S)
            for series, energy_uj in piece.energy
            if energy_uj
        }
    assert names == named


def test_lost_rows_are_the_rest_of_longer_ones(made: Any) -> None:
    """Tens of two hours are gone: their energy is in what is left of the minutes, by name; and
    where these are gone, too, in what is left of the hour."""
    with opened(made) as connection:
        connection.execute("DELETE FROM tens WHERE seq BETWEEN 9 AND 12")
        connection.execute("DELETE FROM minutes WHERE seq BETWEEN 11 AND 12")
        connection.execute("UPDATE tens SET hash = zeroblob(32) WHERE seq = 3")
    with remains_of(made.directory / FILE_NAME, made.directory) as remains:
        found = list(parts(remains, remains.gpus[0], -1))
    assert [(part.first, part.last) for part in found[:14]] == [
        *((seq, seq) for seq in range(1, 11)),
        (11, 12),
        *((seq, seq) for seq in range(13, 16)),
    ]
    assert found[10].row.energy_uj == {1: 2_000 + 10 + 11, 2: 14}
    assert found[10].row.facts == {"suspect.jump": 4, "done.1.tokens": 6}
    assert found[10].row.metered_ns == 2 * 1_800 * NS_PER_S
    for number, part in enumerate(found[:10]):
        assert part.row.energy_uj == {1: 1_000 + number, 2: 7}
        assert part.row.metered_ns == 1_800 * NS_PER_S
        assert part.row.end_ns == (1_000 + 1_800 * (number + 1)) * NS_PER_S
    assert len(found) == BOOKED - 1 - 1


def test_a_saved_ledger_goes_on_as_the_old_one_would(made: Any, books: Callable[..., Any]) -> None:
    with opened(made) as connection:
        connection.execute("UPDATE tens SET hash = zeroblob(32) WHERE seq = 9")
        connection.execute("DELETE FROM minutes WHERE seq = 9")
        connection.execute("UPDATE hours SET hash = zeroblob(32) WHERE seq = 28")  # is noticed
        old = connection.execute("SELECT state FROM open").fetchone()
    again = books(now_ns=made.now_ns, wall_ns=made.wall_ns)
    assert again.ledger.totals("GPU-1").suspect_uj == {SuspectReason.JUMP: 2 * BOOKED}
    assert sum(again.ledger.done().values()) == 3 * BOOKED
    assert again.ledger.counts("GPU-1") == {"samples": 5}
    checkpoint = again.ledger.checkpoint("GPU-1")
    assert checkpoint is not None
    assert (checkpoint.boot_id, checkpoint.wall_ns) == ("boot-1", made.wall_ns)
    again.close()
    with opened(again) as connection:
        assert connection.execute("SELECT state FROM open").fetchone() == old
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
        names = [row[0] for row in connection.execute("SELECT workload FROM series ORDER BY id")]
    assert names == ["a", "b", DAMAGED.workload]


def test_without_its_open_row_it_goes_on_from_what_the_last_row_says(
    made: Any, books: Callable[..., Any]
) -> None:
    with opened(made) as connection:
        connection.execute("DELETE FROM open")
    before_uj = sum(1_007 + step for step in range(BOOKED - 1))
    again = books(now_ns=made.now_ns, wall_ns=made.wall_ns)
    assert again.ledger.totals("GPU-1").energy_uj == before_uj
    checkpoint = again.ledger.checkpoint("GPU-1")
    assert checkpoint is not None
    last_ns = made.now_ns - 1_800 * NS_PER_S
    assert checkpoint.wall_ns == made.wall_ns - 1_800 * NS_PER_S
    assert checkpoint.state[:3] == (last_ns, last_ns, last_ns)
    counter = checkpoint.state.counter
    assert counter is not None
    assert counter == (before_uj, before_uj, last_ns, 0, before_uj, 0, 0, 0, ())
    again.close()
    assert not audit(made.directory).problem


class Known:
    """Remains made by hand: rows by level and number, with the tens that they are of."""

    def __init__(self, *rows: tuple[Proved, Row]) -> None:
        self.rows = rows

    def groups(self, _gpu: int) -> Iterator[list[tuple[Proved, Row]]]:
        yield list(self.rows)


def of_tens(seq: int, uj: int, **facts: int) -> tuple[Proved, Row]:
    row = Row(START_S + 10 * seq, energy_uj={1: uj}, metered_ns=10, facts=facts)
    return Proved(0, seq, seq, seq), row


def covering(level: int, first: int, last: int, uj: int, **facts: int) -> tuple[Proved, Row]:
    cover = Cover(first, last, 1, bytes(32))
    row = Row(
        START_S, energy_uj={1: uj}, metered_ns=10 * (last - first + 1), facts=facts, cover=cover
    )
    return Proved(level, 1, first, last), row


def made_of(*rows: tuple[Proved, Row], **more: Any) -> list[Part]:
    remains: Any = Known(*rows)
    return list(parts(remains, GpuRemains(Gpu(1, "GPU-1", "nvml"), **more), 99))


def test_a_longer_row_has_what_exceeds_the_shorter_ones_left() -> None:
    found = made_of(of_tens(2, 5, jitters=1), covering(1, 1, 3, 12, jitters=1, stalls=2))
    assert [(part.first, part.last) for part in found] == [(1, 3), (2, 2)]
    assert found[0].row.energy_uj == {1: 7}
    assert found[0].row.facts == {"jitters": 0, "stalls": 2}
    assert found[0].row.metered_ns == 20
    assert found[0].row.cover is None
    # where nothing exceeds them, there is none
    assert len(made_of(of_tens(2, 5), covering(1, 2, 2, 5))) == 1
    # only those that it covers count
    around = made_of(of_tens(1, 5), of_tens(2, 6), of_tens(3, 7), covering(1, 2, 2, 8))
    assert [part.row.energy_uj for part in around] == [{1: 5}, {1: 6}, {1: 2}, {1: 7}]
    # and of hours what exceeds the minutes' rest as well
    levels = made_of(of_tens(2, 5), covering(1, 1, 3, 12), covering(2, 1, 6, 20))
    assert sorted(part.row.sum_uj for part in levels) == [5, 7, 8]


def test_what_only_totals_know_is_nobodys() -> None:
    end = Row(START_S + 70, session=2, end_ns=5, total_uj=30, counter_uj=77)
    (known, rest) = made_of(of_tens(2, 5), ends=[Row(START_S, total_uj=29), end])
    assert known.row.energy_uj == {1: 5}
    assert rest.row.energy_uj == {99: 25}
    assert (rest.row.start_s, rest.row.session, rest.row.end_ns, rest.row.counter_uj) == (
        START_S + 70, 2, 5, 77,
    )  # fmt: skip
    assert rest.first == 2
    # the open row's own energy is not among what came before it
    opens = Row(START_S + 80, total_uj=40, energy_uj={1: 8})
    assert made_of(of_tens(2, 5), ends=[end], open=opens)[1].row.energy_uj == {99: 27}
    assert len(made_of(of_tens(2, 5), ends=[Row(START_S, total_uj=5)])) == 1
    assert made_of() == []


def test_two_gpus_are_saved_each_by_itself(books: Callable[..., Any], tmp_path: Path) -> None:
    made = books()
    for step in range(5):
        made.post("GPU-1", 60, [("a", 10 + step)])
        made.post("GPU-2", 0, [("b", 100 + step)])
        made.commit()
    made.close()
    with opened(made) as connection:
        connection.execute("UPDATE tens SET hash = zeroblob(32) WHERE seq = 4 AND gpu = 2")
    for each in made.directory.glob("*.log"):
        each.unlink()
    told: list[int] = []
    store, loaded = open_store(made.directory, "nvml", made.wall_ns, tell=lambda: told.append(1))
    store.close()
    assert told
    assert {gpu.gpu.uuid: gpu.sums.sum_uj for gpu in loaded.gpus.values()} == {
        "GPU-1": 60,
        "GPU-2": 303,  # nothing vouches for what came after the third row: the counter has it
    }
    assert not audit(made.directory).problem
    (kept,) = made.directory.glob("ledger.corrupt-*")
    assert kept.name == f"ledger.corrupt-{made.wall_ns // NS_PER_S}"


@pytest.mark.parametrize("table", ["minutes", "hours", "days"])
def test_a_longer_row_that_was_taken_out_is_made_anew(
    books: Callable[..., Any], table: str
) -> None:
    """The newest one: all that it covered is there."""
    made = books()
    for step in range(60):
        made.book("GPU-1", 1_800, [("a", 10 + step)])
    before = Counter(made.ledger.accounts())
    made.close()
    with opened(made) as connection:
        whole = connection.execute(f"SELECT * FROM {table}").fetchall()
        newest = max(row[1] for row in whole)
        connection.execute(f"DELETE FROM {table} WHERE seq = ?", (newest,))
    again = books()
    assert Counter(again.ledger.accounts()) == before
    again.close()
    assert not audit(made.directory).problem
    with opened(made) as connection:
        found = connection.execute(f"SELECT start_s FROM {table}").fetchall()
    assert [start_s for (start_s,) in found] == [row[2] for row in whole]
