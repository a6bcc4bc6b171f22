"""The past: its parts add up, step by step; what can't be read is said."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.writer import DirectWriter
from submeter.model import (
    Account,
    Component,
    CounterState,
    EnergySource,
    Interval,
    MeterState,
    Method,
    Owner,
    Phase,
    Posting,
)
from submeter.units import NS_PER_S
from submeter.web.history import RANGES, History, read
from submeter.web.http import Request, Response, Stream

END_S = 1_774_800_000
OWNERS = [Owner(Phase.TRAINING, "train.py"), Owner(Phase.INFERENCE, "vllm"), Owner(Phase.IDLE)]


@pytest.fixture
def ledger(tmp_path: Path) -> tuple[Path, int]:
    """A ledger of ten minutes on one GPU, and when it ends."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    first_ns = (END_S - 600) * NS_PER_S
    store, loaded = open_store(directory, "nvml", first_ns)
    session = Session(0, "nvml", "1", "", "boot", first_ns, NS_PER_S)
    books = DurableLedger(loaded, session, DirectWriter(store), 2_000)
    total_uj = 0
    for at in range(1, 61):
        now_ns, wall_ns = (100 + 10 * at) * NS_PER_S, first_ns + 10 * at * NS_PER_S
        posted = [
            Posting(Account("GPU-1", "", Component.DYNAMIC, owner), Method.EXCLUSIVE, 7 * at + 1)
            for owner in OWNERS
        ]
        energy_uj = sum(posting.energy_uj for posting in posted)
        total_uj += energy_uj
        counter = CounterState(total_uj, total_uj, now_ns, 0, total_uj, 0, 0, 0)
        state = MeterState(now_ns, now_ns, now_ns, counter)
        begin_ns = now_ns - 10 * NS_PER_S
        source = EnergySource.COUNTER
        books.post(Interval("GPU-1", 0, begin_ns, now_ns, energy_uj, source, state=state), posted)
        books.commit(now_ns, wall_ns)
    store.close()
    return directory, END_S


def micro(joules: str) -> int:
    whole, _, rest = joules.partition(".")
    return int(whole) * 10**6 + int(rest.ljust(6, "0"))


def asked(history: History, query: str) -> dict[str, Any]:
    async def ask() -> bytes:
        answer = history.handler()(Request("/api/v1/history", query))
        if isinstance(answer, Response):
            return answer.body
        assert isinstance(answer, Stream)
        return b"".join([piece async for piece in answer.chunks])

    answer: dict[str, Any] = json.loads(asyncio.run(ask()))
    return answer


@pytest.mark.parametrize("name", RANGES)
def test_the_parts_are_the_whole(ledger: tuple[Path, int], name: str) -> None:
    directory, end_s = ledger
    past = read(directory, name, end_s)
    total_uj = micro(past["joules"])
    assert total_uj > 0
    assert sum(micro(each["joules"]) for each in past["series"]) == total_uj
    assert sum(map(micro, past["joules_by_method"].values())) == total_uj
    count = len(past["metered_s"])
    assert len(past["accounted_s"]) == len(past["metered_gpu_s"]) == count
    for each in past["series"]:
        assert len(each["joules_by_step"]) == count
        assert sum(map(micro, each["joules_by_step"])) == micro(each["joules"])


def test_one_answer_for_all_who_ask_within_seconds(ledger: tuple[Path, int]) -> None:
    directory, end_s = ledger
    now = [end_s * 10**9]
    with ThreadPoolExecutor(1) as worker:
        history = History(directory, worker, lambda: now[0])
        first = asked(history, "range=1h")
        now[0] += 7 * 10**9
        assert asked(history, "") == first
        now[0] += 7 * 10**9
        assert asked(history, "range=1h")["until_s"] == end_s + 14


def test_an_unknown_range_is_refused(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as worker:
        handle = History(tmp_path, worker, lambda: 0).handler()
        answer = handle(Request("/api/v1/history", "range=1y"))
    assert isinstance(answer, Response)
    assert answer.status == 400
    assert b"range must be one of 15m" in answer.body


def test_without_a_ledger_it_says_so(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as worker:
        past = asked(History(tmp_path, worker, lambda: 10**18), "range=15m")
    assert past["error"]
    assert "series" not in past
