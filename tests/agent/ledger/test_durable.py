"""What is shown while commits are being written, and what a commit has in it."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.ledger import DurableLedger
from submeter.ledger.records import Commit
from submeter.ledger.rows import Row, decode
from submeter.model import EnergySource, GpuInfo, Method
from submeter.units import NS_PER_S


class Slow:
    """A writer that has written what a test says."""

    def __init__(self) -> None:
        self.written = 0
        self.commits: list[Commit] = []

    def submit(self, commit: Commit) -> None:
        self.commits.append(commit)

    def row(self, _gpu: int, _seq: int) -> Row | None:
        return None


@pytest.fixture
def slow(books: Callable[..., Any]) -> Any:
    """A ledger whose writer takes its time."""
    made = books()
    made.writer = Slow()
    ledger = made.ledger
    made.ledger = DurableLedger(ledger._loaded, ledger._session, made.writer, 2_000)
    return made


def shown(made: Any) -> int:
    """What metrics show after a commit that has nothing new."""
    made.ledger.commit(made.now_ns, made.wall_ns)
    total: int = made.ledger.totals("GPU-1").energy_uj
    return total


def test_what_is_shown_is_never_more_than_what_is_written(slow: Any) -> None:
    """Of the moments not shown yet, the oldest may be the one being written, and the newest has
    all; those between are not kept."""
    for energy_uj in (1, 10, 100, 1_000):
        slow.book("GPU-1", 1, [("a", energy_uj)])
    assert [commit.number for commit in slow.writer.commits] == [1, 2, 3, 4]
    seen = []
    for written in (0, 1, 2, 3, 4):
        slow.writer.written = written
        slow.ledger._acknowledge()
        seen.append(slow.ledger.totals("GPU-1").energy_uj)
    assert seen == [0, 1, 1, 1, 1_111]
    assert not slow.ledger._views


def test_a_commit_has_everything_that_is_not_written_yet(slow: Any) -> None:
    slow.ledger.describe(
        GpuInfo("GPU-1", 3, "H100", "", "", "", EnergySource.COUNTER, "", 0, False)
    )
    for energy_uj in (1, 10, 100):
        slow.book("GPU-1", 10, [("a", energy_uj)])
    first, second, third = slow.writer.commits
    assert [len(each.sealed) for each in slow.writer.commits] == [0, 1, 2]
    assert [len(each.chained) for each in slow.writer.commits] == [2, 2, 2]  # session and series
    assert [gpu[1:] for gpu in third.gpus] == [
        ("GPU-1", "nvml", "", -1), ("GPU-1", "nvml", "H100", 3),
    ]  # fmt: skip
    (opened,) = third.opens
    row = decode(0, opened.start_s, opened.body)
    assert (row.energy_uj, row.total_uj) == ({1: 100}, 111)
    assert first.now_s < second.now_s < third.now_s == slow.wall_ns // NS_PER_S


def test_nothing_new_is_no_commit(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 1, [("a", 1)])
    written = made.writer.written
    made.commit()
    made.commit()
    assert made.writer.written == written
    info = GpuInfo("GPU-1", 3, "H100", "", "", "", EnergySource.COUNTER, "", 0, False)
    for _ in range(3):  # said again, nothing has changed
        made.ledger.describe(info)
        made.commit()
    assert made.writer.written == written + 1
    assert made.ledger.remembered() == {"GPU-1": 3}
    made.book("GPU-2", 1, [("a", 1)])
    assert made.ledger.remembered() == {"GPU-1": 3}, "of whom no index is known, none is said"


def test_totals_of_nobody_are_zeroes(books: Callable[..., Any]) -> None:
    made = books()
    assert made.ledger.totals("GPU-9").energy_uj == 0
    assert made.ledger.checkpoint("GPU-9") is None
    assert made.ledger.counts("GPU-9") == {}
    assert made.ledger.since_wall_ns == made.wall_ns
    made.book("GPU-1", 1, [("a", 1)])
    first_ns = made.ledger.since_wall_ns
    made.pass_time(100)
    assert made.reopen().ledger.since_wall_ns == first_ns


def test_metrics_have_the_account_that_a_posting_is_shown_as(books: Callable[..., Any]) -> None:
    made = books(max_series=1)
    made.book("GPU-1", 1, [("a", 1)])
    shown = made.post("GPU-1", 1, [("b", 5), ("a", 2)])
    assert [(each.account.owner.workload, each.energy_uj) for each in shown] == [
        ("(other)", 5),
        ("a", 2),
    ]
    made.commit()
    by_name = {account.owner.workload: uj for account, uj in made.ledger.accounts().items()}
    assert by_name == {"a": 3, "(other)": 5}
    assert made.ledger.folded_series == 1
    assert made.ledger.totals("GPU-1").by_method_uj == {Method.EXCLUSIVE: 8}


def test_a_reversal_gives_what_it_took_once(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("a", 5), ("b", 6)])
    made.book("GPU-1", 10, [("a", 7)])
    for gpu, seq, series in (("GPU-9", 1, 1), ("GPU-1", 9, 1), ("GPU-1", 1, 9)):
        with pytest.raises(ValueError, match="no such"):
            made.ledger.reverse(gpu, seq, series, "", 0)
    assert made.ledger.reverse("GPU-1", 1, 2, "", 0) == 6
    with pytest.raises(ValueError, match="reversed already"):
        made.ledger.reverse("GPU-1", 1, 2, "", 0)
    assert made.ledger.reverse("GPU-1", 1, 1, "", 0) == 5


@pytest.mark.parametrize(("waiting", "width_s"), [(0, 10), (119, 10), (120, 60), (720, 600)])
def test_rows_get_longer_while_many_wait(slow: Any, waiting: int, width_s: int) -> None:
    slow.book("GPU-1", 10, [("a", 1)])
    each = slow.ledger._books["GPU-1"]
    each.sealed = [(1, row) for row in [object()] * waiting]
    slow.ledger._commit = lambda _now_s: Commit(0, 0)
    slow.book("GPU-1", 10, [("a", 1)])
    assert each.book.width_s == width_s
