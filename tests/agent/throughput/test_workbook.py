"""Whose work it is: booked to the owner of the energy, or waiting until somebody is."""

from submeter.ledger import Ledger
from submeter.model import Owner, Phase, ProcessKey, WorkServer
from submeter.throughput.source import Heard, Source
from submeter.throughput.workbook import Place, Workbook
from submeter.units import NS_PER_S

S = NS_PER_S
FIRST = ProcessKey("boot", 11, 15_000)
SECOND = ProcessKey("boot", 12, 15_000)
CHAT = Place("GPU-1", Owner(Phase.INFERENCE, "chat", "ann"))
RANKED = Source("s", (FIRST, SECOND), "", 150 * S, "http://127.0.0.1:8000/metrics", "vllm")
NAMED = Source("u", (), "chat", None, "http://10.0.0.1:80/metrics", "tgi")


def test_several_processes_of_a_server_are_one_server() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    book.hear(Heard(RANKED, 160 * S, {"tokens:": 9}))
    book.book(lambda: {SECOND: CHAT, FIRST: CHAT}, 161 * S)
    assert ledger.done() == {(CHAT.owner, "tokens"): 9}
    assert book.servers() == (
        WorkServer("http://127.0.0.1:8000/metrics", "vllm", "chat", True, ""),
    )


def test_only_the_last_that_was_heard_counts() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    for amount in (9, 10, 11):
        book.hear(Heard(RANKED, 160 * S, {"tokens:": amount}))
    book.hear(Heard(RANKED, 161 * S, None, "slow"))  # what was heard before stays
    book.book(lambda: {FIRST: CHAT}, 161 * S)
    assert ledger.done() == {(CHAT.owner, "tokens"): 11}


def test_what_is_nobodys_waits_until_it_is_somebodys() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    book.hear(Heard(RANKED, 160 * S, {"tokens:": 9}))
    book.book(dict, 161 * S)
    assert ledger.done() == {}
    assert book.servers()[0].trouble == "nobody"
    book.book(lambda: {FIRST: CHAT}, 170 * S)
    assert ledger.done() == {(CHAT.owner, "tokens"): 9}


def test_a_configured_server_is_found_by_the_name_of_its_workload() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    book.hear(Heard(NAMED, 110 * S, {"tokens:": 5}))
    book.book(lambda: {FIRST: CHAT}, 110 * S)
    book.hear(Heard(NAMED, 125 * S, {"tokens:": 8}))
    book.book(lambda: {FIRST: CHAT}, 126 * S)
    assert ledger.done() == {(CHAT.owner, "tokens"): 3, (CHAT.owner, "uncounted_ns"): 10 * S}


def test_trouble_is_shown_and_an_end_is_the_end() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    book.hear(Heard(RANKED, 160 * S, {"tokens:": 9}))
    book.book(lambda: {FIRST: CHAT}, 160 * S)
    book.hear(Heard(RANKED, 175 * S, None, "slow"))
    book.book(lambda: {FIRST: CHAT}, 175 * S)
    assert book.servers()[0][3:] == (False, "slow")
    book.hear(Heard(RANKED, 180 * S, gone=True))
    book.book(dict, 181 * S)
    assert book.servers() == ()
    assert ledger.done()[CHAT.owner, "uncounted_ns"] == 20 * S


def test_while_the_agent_was_down() -> None:
    ledger = Ledger()
    ledger.marks = lambda: {"s": {"tokens:": 100}}  # type: ignore[method-assign]
    book = Workbook(ledger, 500 * S)
    book.hear(Heard(RANKED, 501 * S, {"tokens:": 170}))
    book.book(lambda: {FIRST: CHAT}, 501 * S)
    down = Owner(Phase.UNATTRIBUTED, workload="(agent down)")
    assert ledger.done() == {(down, "tokens"): 70}


def test_a_job_that_ended_is_forgotten_without_a_gap() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    book.hear(Heard(Source("job", (FIRST,), started_ns=150 * S), 160 * S, {"steps:": 1}))
    book.book(lambda: {FIRST: CHAT}, 160 * S)
    book.book(dict, 5_000 * S)
    assert ledger.done() == {(CHAT.owner, "steps"): 1}
    assert book.servers() == ()


def test_what_a_server_said_just_before_its_end_counts() -> None:
    ledger = Ledger()
    book = Workbook(ledger, 100 * S)
    book.hear(Heard(RANKED, 160 * S, {"tokens:": 9}))
    book.hear(Heard(RANKED, 161 * S, gone=True))
    book.book(lambda: {FIRST: CHAT}, 162 * S)
    assert ledger.done() == {(CHAT.owner, "tokens"): 9}
    assert book.servers() == ()


def test_who_ends_as_nobodys_is_forgotten() -> None:
    book = Workbook(Ledger(), 100 * S)
    book.hear(Heard(RANKED, 160 * S, {"tokens:": 9}))
    book.hear(Heard(RANKED, 161 * S, gone=True))
    book.book(dict, 162 * S)
    assert book.servers() == ()
