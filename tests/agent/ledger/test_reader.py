"""What a reader says of a stretch of time: which rows, their times, whose, and how exactly."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from submeter.errors import StateUnusable
from submeter.ledger.pieces import Piece
from submeter.ledger.reader import CORRECTED, Reader, Total, open_reader
from submeter.ledger.retention import Keep
from submeter.ledger.schema import FILE_NAME
from submeter.model import EnergySource, GpuInfo, Method
from submeter.units import NS_PER_S

START_S = 1_767_225_600  # a midnight
HOUR_S = 3_600
DAY_S = 86_400
FAR_S = 1 << 40


@pytest.fixture
def days(books: Callable[..., Any]) -> Any:
    """Two and a half days by ten minutes, each of its own energy, all of it still there."""
    made = books()
    for step in range(360):
        made.book("GPU-1", 600, [("a", step), ("b", 1)])
    made.close()
    return made


def read(made: Any, since_s: int, until_s: int, edges: Any = (), **options: Any) -> list[Piece]:
    with open_reader(made.directory, **options) as reader:
        return list(reader.pieces(since_s, until_s, edges))


def spans(pieces: list[Piece]) -> list[tuple[int, int, int]]:
    """Where each begins, how long it is, and its energy."""
    return [
        (piece.start_s - START_S, piece.end_s - piece.start_s, piece.sum_uj) for piece in pieces
    ]


def booked(first: int, last: int) -> int:
    """By steps; the energy of step n is labelled ten seconds before START + 600·(n + 1)."""
    return sum(step + 1 for step in range(first, last))


def test_without_edges_the_longest_rows_serve(days: Any) -> None:
    pieces = read(days, 0, FAR_S)
    assert spans(pieces)[:2] == [(0, DAY_S, booked(0, 144)), (DAY_S, DAY_S, booked(144, 288))]
    lengths = [end_s - start_s for start_s, end_s in ((p.start_s, p.end_s) for p in pieces)]
    # an hour, a minute are over when a row of the next one is
    assert lengths == [DAY_S] * 2 + [HOUR_S] * 11 + [60] * 4 + [10] * 2
    assert sum(piece.sum_uj for piece in pieces) == booked(0, 360)
    assert all(piece.exact for piece in pieces)


def test_hours_where_hours_are_asked_for(days: Any) -> None:
    edges = range(START_S, START_S + 3 * DAY_S, HOUR_S)
    pieces = read(days, START_S + DAY_S, START_S + DAY_S + 3 * HOUR_S, edges)
    assert spans(pieces) == [
        (DAY_S + hour * HOUR_S, HOUR_S, booked(144 + 6 * hour, 150 + 6 * hour)) for hour in range(3)
    ]
    # only the day that an edge cuts is read by its hours
    pieces = read(days, 0, START_S + 2 * DAY_S, [START_S + 5 * HOUR_S])
    assert spans(pieces) == [
        *((hour * HOUR_S, HOUR_S, booked(6 * hour, 6 * hour + 6)) for hour in range(24)),
        (DAY_S, DAY_S, booked(144, 288)),
    ]


def test_quarters_where_clocks_are_off_by_them(days: Any) -> None:
    """Nepal's hours: an hour that one of them cuts by its quarters, no tens are looked at."""
    edge_s = START_S + HOUR_S + 2_700
    pieces = read(days, START_S, START_S + 3 * HOUR_S, [edge_s])
    assert spans(pieces) == [
        (0, HOUR_S, booked(0, 6)),
        *((HOUR_S, 900, booked(6, 7)), (HOUR_S + 900, 900, booked(7, 9))),
        *((HOUR_S + 1_800, 900, booked(9, 10)), (HOUR_S + 2_700, 900, booked(10, 12))),
        (2 * HOUR_S, HOUR_S, booked(12, 18)),
    ]
    assert [piece.metered_ns // NS_PER_S for piece in pieces] == [
        3_600,
        600,
        1_200,
        600,
        1_200,
        3_600,
    ]
    since = read(days, edge_s, START_S + 2 * HOUR_S)
    assert spans(since) == [(HOUR_S + 2_700, 900, booked(10, 12))]


def test_an_edge_anywhere_is_met_by_tens(days: Any) -> None:
    edge_s = START_S + HOUR_S + 590  # where the tens of step 6 begin
    pieces = read(days, START_S + HOUR_S, START_S + 2 * HOUR_S, [edge_s])
    assert spans(pieces)[0] == (HOUR_S + 590, 10, 7)
    assert spans(pieces)[1:] == [(HOUR_S + 600 * n + 540, 60, 7 + n) for n in range(1, 6)]
    assert not read(days, START_S + HOUR_S, START_S + HOUR_S + 590)
    assert spans(read(days, START_S + HOUR_S, START_S + HOUR_S + 591))[0][2] == 7


def test_where_shorter_rows_were_removed_the_edge_falls_to_where_the_row_begins(
    books: Callable[..., Any],
) -> None:
    made = books(keep=Keep(tens_days=0.5, minute_days=1, hour_days=400))
    for step in range(360):
        made.book("GPU-1", 600, [("a", step), ("b", 1)])
    made.close()
    edge_s = START_S + HOUR_S + 700  # no quarter, and the tens are gone
    early = read(made, START_S + HOUR_S, edge_s)
    assert [(*span, piece.exact) for span, piece in zip(spans(early), early, strict=True)] == [
        (HOUR_S, HOUR_S, booked(6, 12), False)
    ]
    assert not read(made, edge_s, START_S + 2 * HOUR_S)
    whole = read(made, 0, FAR_S, [edge_s])
    assert sum(piece.sum_uj for piece in whole) == booked(0, 360)
    assert [piece.exact for piece in whole].count(False) == 1


def test_the_oldest_rows_that_are_left_are_read_though_none_before_them_is(
    books: Callable[..., Any],
) -> None:
    """The first hour that is left begins with the minute after one that has gone."""
    made = books(keep=Keep(tens_days=0.3, minute_days=0.5, hour_days=0.6))
    for step in range(400):
        made.book("GPU-1", 600, [("a", step), ("b", 1)])
    made.close()
    connection = sqlite3.connect(made.directory / FILE_NAME)
    oldest = {}
    for table in ("tens", "minutes", "hours"):
        query = f"SELECT min(seq), start_s FROM {table}"
        oldest[table] = connection.execute(query).fetchone()
        assert oldest[table][0] > 1
    connection.close()
    for table, width_s in (("tens", 10), ("minutes", 60), ("hours", HOUR_S)):
        edges = range(START_S, START_S + 4 * DAY_S, width_s)
        pieces = read(made, oldest[table][1], FAR_S, edges)
        assert {piece.end_s - piece.start_s for piece in pieces} <= {10, 60, HOUR_S}
        assert pieces[0].end_s - pieces[0].start_s == width_s
        assert all(piece.exact for piece in pieces)
        first = (oldest[table][1] + width_s - 1 - START_S) // 600
        if table != "hours":
            assert sum(piece.sum_uj for piece in pieces) == booked(first, 400)
        else:
            assert sum(piece.sum_uj for piece in pieces) == booked(first - 5, 400)


def test_totals_are_all_that_a_gpu_used_and_when(books: Callable[..., Any]) -> None:
    made = books()
    made.pass_time(5)
    made.book("GPU-1", 60, [("a", 5)])
    made.book("GPU-2", 0, [("a", 7)])
    made.book("GPU-1", 10.5, [("a", 6)])
    made.ledger.describe(GpuInfo("GPU-3", 0, "", "", "", "", EnergySource.COUNTER, "", 0, False))
    made.commit()
    with open_reader(made.directory) as reader:
        found = reader.totals()
    assert [(total.gpu.uuid, total.energy_uj, total.first_s, total.last_s) for total in found] == [
        ("GPU-1", 11, START_S + 60, START_S + 76),  # rounded up: 75.5
        ("GPU-2", 7, START_S + 60, START_S + 65),
    ]
    assert isinstance(found[0], Total)


def test_gpus_are_in_the_order_of_their_index(books: Callable[..., Any]) -> None:
    made = books()
    for uuid, index in (("GPU-a", 2), ("GPU-b", 0), ("GPU-c", 1), ("GPU-d", 1)):
        made.ledger.describe(
            GpuInfo(uuid, index, "", "", "", "", EnergySource.COUNTER, "", 0, False)
        )
        made.book(uuid, 1, [("x", 1)])
    with open_reader(made.directory) as reader:
        assert [gpu.uuid for gpu in reader.gpus] == ["GPU-b", "GPU-c", "GPU-d", "GPU-a"]
        assert [piece.gpu.uuid for piece in reader.pieces(0, FAR_S)] == [
            "GPU-b", "GPU-c", "GPU-d", "GPU-a",
        ]  # fmt: skip


def test_whose_is_read_is_who_wrote_last_or_who_is_asked_for(books: Callable[..., Any]) -> None:
    first = books()
    first.book("GPU-1", 1, [("a", 5)])
    first.close()
    mock = books(backend="mock", boot_id="")
    mock.book("GPU-1", 1, [("a", 1_000)])
    with open_reader(mock.directory) as reader:
        assert (reader.backend, reader.backends, reader.newer) == ("mock", ["mock", "nvml"], 0)
        assert [total.energy_uj for total in reader.totals()] == [1_000]
    with open_reader(mock.directory, "nvml") as reader:
        assert [total.energy_uj for total in reader.totals()] == [5]
    with open_reader(mock.directory, "replay") as reader:
        assert not reader.totals()


def test_a_newer_ledger_is_read_and_said_to_be(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 1, [("a", 5)])
    made.close()
    connection = sqlite3.connect(made.directory / FILE_NAME)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with open_reader(made.directory) as reader:
        assert reader.newer == 7


def test_a_correction_is_a_piece_of_its_own_at_the_time_of_what_it_corrects(
    books: Callable[..., Any],
) -> None:
    made = books()
    made.book("GPU-1", 20, [("a", 5), ("b", 6)])
    made.book("GPU-2", 10, [("a", 9)])
    made.book("GPU-1", 30, [("a", 1)])
    assert made.ledger.reverse("GPU-1", 1, 1, "", made.wall_ns) == 5
    made.commit()
    correction = read(made, START_S + 10, START_S + 20)[-1]
    assert (correction.gpu.uuid, correction.start_s, correction.end_s) == (
        "GPU-1", START_S + 10, START_S + 20,
    )  # fmt: skip
    (one, minus), (other, plus) = correction.energy
    assert (one.account.owner.workload, minus) == ("a", -5)
    assert (other.account.owner, other.account.gpu_uuid, plus) == (CORRECTED, "GPU-1", 5)
    assert (other.method, other.id, other.gpu) == (Method.UNATTRIBUTED, 0, 1)
    assert correction.sum_uj == 0
    # only where its time is asked for
    for since_s, until_s, count in ((10, 20, 2), (11, 20, 0), (0, 10, 0), (20, FAR_S, 2)):
        assert len(read(made, START_S + since_s, START_S + until_s)) == count, (since_s, until_s)
    assert [piece.sum_uj for piece in read(made, START_S + 10, START_S + 20)] == [11, 0]


def test_a_clock_that_was_set_later_relabels_what_came_before_in_that_boot(
    books: Callable[..., Any],
) -> None:
    made = books(wall_ns=3_600 * NS_PER_S)
    made.book("GPU-1", 10, [("a", 1)])
    made.book("GPU-1", 10, [("a", 2)])
    made.close()
    with open_reader(made.directory) as reader:
        # nothing says when that was: as it was labelled
        assert [piece.start_s for piece in reader.pieces(0, FAR_S)] == [3_600, 3_610]
        assert reader.totals()[0].last_s == 3_620
    made.open()
    made.wall_ns = (START_S + 20) * NS_PER_S  # now it is set
    made.book("GPU-1", 10, [("a", 4)])
    made.book("GPU-1", 10, [("a", 8)])
    with open_reader(made.directory) as reader:
        pieces = reader.pieces(0, FAR_S, range(START_S - 60, START_S + 60, 10))
        found = [(piece.start_s - START_S, piece.sum_uj) for piece in pieces]
        assert found == [(0, 1), (10, 2), (20, 4), (30, 8)]
        (total,) = reader.totals()
        assert (total.first_s, total.last_s) == (START_S, START_S + 40)
    made.close()
    again = books(boot_id="boot-2", wall_ns=60 * NS_PER_S, now_ns=60 * NS_PER_S)
    again.book("GPU-1", 10, [("a", 16)])
    with open_reader(made.directory) as reader:
        found = [(piece.start_s, piece.sum_uj) for piece in reader.pieces(0, FAR_S)]
        assert found[-1] == (60, 16)  # of another boot, whose clock was never set
        assert found[0] == (START_S, 3)


def test_energy_of_a_series_that_was_taken_out_is_damage(days: Any) -> None:
    connection = sqlite3.connect(days.directory / FILE_NAME)
    connection.execute("DELETE FROM series WHERE id = 2")  # the newest: no later one vouches for it
    connection.commit()
    connection.close()
    for edges in ((), (START_S + HOUR_S // 2,)):
        with pytest.raises(StateUnusable, match="is damaged: series 2: missing, though"):
            read(days, 0, FAR_S, edges)
    with pytest.raises(StateUnusable, match="series 2: missing"), open_reader(days.directory) as it:
        it.totals()


def test_what_was_changed_is_damage(days: Any) -> None:
    connection = sqlite3.connect(days.directory / FILE_NAME)
    connection.execute("UPDATE series SET user = 'eve'")
    connection.commit()
    connection.close()
    with pytest.raises(StateUnusable, match="is damaged: series 1: changed"):
        read(days, 0, FAR_S)
    with (
        pytest.raises(StateUnusable, match="there is no ledger in"),
        open_reader(days.directory / "absent"),
    ):
        raise AssertionError
    assert Reader.__doc__
