"""Names without end: nobody's joules are lost, and who left is not kept in memory for ever."""

from collections.abc import Callable
from typing import Any

from submeter.ledger import durable
from submeter.ledger.audit import audit
from submeter.ledger.names import IDLE
from submeter.ledger.reader import open_reader
from submeter.model import Owner, Phase

FAR_S = 1 << 40


def test_who_is_hidden_and_leaves_is_forgotten(books: Callable[..., Any]) -> None:
    made = books(max_series=1)
    for number in range(40):
        made.book("GPU-1", 1, [("a", 1), (f"run-{number}", 1)])
    assert len(made.ledger._names._series) == 41
    for _ in range(IDLE + durable._TIDY):
        made.book("GPU-1", 1, [("a", 1), ("run-39", 1)])
    assert {account.owner.workload for account, _ in made.ledger._names._series} == {"a", "run-39"}
    assert len(made.ledger._live._places) == 2
    assert made.ledger.folded_series == 40


def test_who_comes_back_is_still_hidden_and_reports_know_him(books: Callable[..., Any]) -> None:
    made = books(max_series=1)
    made.book("GPU-1", 1, [("a", 1), ("b", 5)])
    for _ in range(IDLE + durable._TIDY):
        made.book("GPU-1", 1, [("a", 1)])
    before = dict(made.ledger.accounts())
    made.book("GPU-1", 1, [("a", 1), ("b", 7)])
    gained = {
        account.owner.workload: energy_uj - before[account]
        for account, energy_uj in made.ledger.accounts().items()
    }
    assert gained == {"a": 1, "(other)": 7}
    assert made.ledger.folded_series == 1
    assert made.ledger._names.count == 2
    made.close()
    assert not audit(made.directory).problem
    with open_reader(made.directory) as reader:
        booked = sum(
            energy_uj
            for piece in reader.pieces(0, FAR_S)
            for series, energy_uj in piece.energy
            if series.account.owner.workload == "b"
        )
    assert booked == 12
    again = made.open()
    assert dict(again.ledger.accounts()) == dict(made.ledger.accounts())
    again.book("GPU-1", 1, [("a", 1), ("b", 1)])
    assert sum(again.ledger.accounts().values()) == again.ledger.totals("GPU-1").energy_uj
    assert again.ledger._names.count == 2


def test_what_is_still_to_be_booked_keeps_its_series(books: Callable[..., Any]) -> None:
    """A GPU that closes no interval for long: what it has, and what was done on it, waits."""
    made = books(max_series=1)
    made.book("GPU-1", 1, [("a", 1)])
    made.post("GPU-1", 1, [("b", 5)], state=False)
    serve = Owner(Phase.INFERENCE, workload="serve.py")
    made.ledger.book_work("GPU-1", serve, {"requests": 3}, {})
    for _ in range(IDLE + durable._TIDY):
        made.book("GPU-2", 1, [("a", 1)])
    made.book("GPU-1", 1, [("a", 1)])
    assert made.ledger.totals("GPU-1").energy_uj == 7
    assert made.ledger.done() == {(Owner(Phase.INFERENCE, workload="(other)"), "requests"): 3}


def test_a_start_goes_on_with_those_who_are_there(books: Callable[..., Any]) -> None:
    made = books(max_series=1)
    made.book("GPU-1", 1, [("a", 1), ("left", 5)])
    made.book("GPU-1", 60, [("a", 1), ("stays", 5)])
    again = made.reopen()
    known = {account.owner.workload for account, _ in again.ledger._names._series}
    assert known == {"a", "stays"}
    assert again.ledger.folded_series == 2
    assert again.ledger.totals("GPU-1").energy_uj == 12
