"""Work that was done is booked with the energy, durable with it, and of every stretch of time."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.ledger.done import done_of, fact, parse_marks, renamed
from submeter.ledger.reader import open_reader
from submeter.ledger.rows import BadRow
from submeter.model import Owner, Phase

TRAIN = Owner(Phase.TRAINING, workload="train.py", user="ann")
SERVE = Owner(Phase.INFERENCE, workload="serve.py", user="bob")


def test_work_is_shown_with_the_energy_it_is_for(books: Callable[..., Any]) -> None:
    made = books()
    made.ledger.book_work("GPU-1", TRAIN, {"tokens": 70}, {"source": {"tokens:": 70}})
    made.commit()
    assert made.ledger.done() == {}
    made.book("GPU-1", 1, [("train.py", 5_000)])
    assert made.ledger.done() == {(TRAIN, "tokens"): 70}


def test_work_and_marks_survive_a_kill_together(books: Callable[..., Any]) -> None:
    made = books()
    made.ledger.book_work("GPU-1", TRAIN, {"tokens": 70}, {"source": {"tokens:": 70}})
    made.book("GPU-1", 1, [("train.py", 5_000)])
    made.ledger.book_work("GPU-1", TRAIN, {"tokens": 5}, {"source": {"tokens:": 75}})
    made.post("GPU-1", 1, [("train.py", 5_000)], state=False)  # not complete yet
    made.commit()
    made.store.close()
    again = made.open()
    assert again.ledger.done() == {(TRAIN, "tokens"): 70}
    assert again.ledger.marks() == {"source": {"tokens:": 70}}
    again.ledger.book_work("GPU-1", TRAIN, {"tokens": 5}, {"source": {}, "other": {"a:": 1}})
    again.book("GPU-1", 1, [("train.py", 5_000)])
    last = again.reopen()
    assert last.ledger.done() == {(TRAIN, "tokens"): 75}
    assert last.ledger.marks() == {"other": {"a:": 1}}


def test_who_used_no_energy_yet_can_have_done_work(books: Callable[..., Any]) -> None:
    made = books()
    made.ledger.book_work("GPU-1", SERVE, {"requests": 3}, {})
    made.book("GPU-1", 1, [("train.py", 5_000)])
    made = made.reopen()
    assert made.ledger.done() == {(SERVE, "requests"): 3}


def test_work_of_folded_owners_is_folded(books: Callable[..., Any]) -> None:
    made = books(max_series=1)
    made.book("GPU-1", 1, [("train.py", 5_000)])
    made.ledger.book_work("GPU-1", SERVE, {"requests": 3}, {})
    made.book("GPU-1", 1, [("train.py", 5_000)])
    other = Owner(Phase.INFERENCE, workload="(other)")
    assert made.ledger.done() == {(other, "requests"): 3}


def test_work_is_rolled_up_with_the_rows(books: Callable[..., Any]) -> None:
    made = books()
    for step in range(20):
        made.ledger.book_work("GPU-1", TRAIN, {"tokens": step}, {})
        made.book("GPU-1", 100, [("train.py", 1_000)])
    made.close()
    begin_s = 1_767_225_600
    with open_reader(made.directory) as reader:
        for edges in ((), range(begin_s, begin_s + 3_000, 60)):
            found = 0
            for piece in reader.pieces(begin_s, begin_s + 3_000, edges):
                for name, amount in piece.facts.items():
                    done = done_of(name)
                    if done is not None:
                        assert reader.series[done.series].account.owner == TRAIN
                        found += amount
            assert found == sum(range(20))


def test_work_is_saved_from_a_damaged_ledger(books: Callable[..., Any]) -> None:
    made = books()
    made.book("GPU-1", 10, [("first.py", 10)])
    for _ in range(3):
        made.ledger.book_work("GPU-1", TRAIN, {"tokens": 7}, {})
        made.book("GPU-1", 10, [("train.py", 1_000)])
    made.close()
    path = made.directory / "ledger.db"
    content = bytearray(path.read_bytes())
    at = content.rindex(b'"done.')
    content[at + 1] ^= 1
    path.write_bytes(content)
    again = made.open()
    assert sum(again.ledger.done().values()) in {14, 21}  # the row that was changed is nobody's
    assert {owner for owner, _ in again.ledger.done()} <= {
        TRAIN,
        Owner(Phase.UNATTRIBUTED, workload="(ledger damaged)"),
    }


def test_names_of_facts() -> None:
    assert done_of(fact(17, "tokens")) == (17, "tokens")
    for name in ("jitters", "done.", "done.x.tokens", "done.1.", "done.1"):
        assert done_of(name) is None
    facts = {"jitters": 1, "done.1.tokens": 2, "done.2.tokens": 3, "done.3.tokens": 4}
    assert renamed(facts, {1: 7, 2: 8}, 8) == {
        "jitters": 1,
        "done.7.tokens": 2,
        "done.8.tokens": 7,
    }


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"b": "x"}}'])
def test_unreadable_marks(text: str) -> None:
    with pytest.raises(BadRow):
        parse_marks(text)
