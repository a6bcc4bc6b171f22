"""Since midnight: what the ledger had before is taken off, whatever the clock and the disk do."""

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from submeter.errors import StateUnusable
from submeter.footprint.factors import Factor, Quantity
from submeter.footprint.history import note
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
    Snapshot,
)
from submeter.testing.snapshots import empty
from submeter.units import NS_PER_S
from submeter.web.midnight import Midnight, midnight, read

NOON_S = midnight(1_774_800_000) + 43_200
ACCOUNT = Account("GPU-1", "", Component.DYNAMIC, Owner(Phase.TRAINING, "train.py"))
PRICE = Factor(Quantity.PRICE, 500_000, "contract", currency="EUR")
KWH_UJ = 3_600_000_000_000


class Inline(Executor):
    """Does at once what it is given, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.count += 1
        found: Future[Any] = Future()
        try:
            found.set_result(fn(*args, **kwargs))
        except StateUnusable as error:
            found.set_exception(error)
        return found


def ledger(directory: Path, first_s: int, rows: list[int]) -> None:
    """A ledger with so many µJ every ten seconds."""
    directory.mkdir(mode=0o700, exist_ok=True)
    first_ns = first_s * NS_PER_S
    store, loaded = open_store(directory, "nvml", first_ns)
    session = Session(0, "nvml", "1", "", "boot", first_ns, NS_PER_S)
    books = DurableLedger(loaded, session, DirectWriter(store), 2_000)
    total_uj = 0
    for at, energy_uj in enumerate(rows, 1):
        now_ns = (100 + 10 * at) * NS_PER_S
        total_uj += energy_uj
        counter = CounterState(total_uj, total_uj, now_ns, 0, total_uj, 0, 0, 0)
        state = MeterState(now_ns, now_ns, now_ns, counter)
        begin_ns = now_ns - 10 * NS_PER_S
        source = EnergySource.COUNTER
        posted = [Posting(ACCOUNT, Method.EXCLUSIVE, energy_uj)]
        books.post(Interval("GPU-1", 0, begin_ns, now_ns, energy_uj, source, state=state), posted)
        books.commit(now_ns, first_ns + 10 * at * NS_PER_S)
    store.close()


def snapshot(now_s: int, total_uj: int, began_s: int, cost_micro: int | None = None) -> Snapshot:
    footprint = {} if cost_micro is None else {("cost_micro", "EUR", "training"): cost_micro}
    return replace(
        empty(),
        wall_ns=now_s * NS_PER_S,
        since_wall_ns=began_s * NS_PER_S,
        energy_uj={ACCOUNT: total_uj},
        footprint=footprint,
    )


def test_what_was_before_midnight_is_taken_off(tmp_path: Path) -> None:
    begin_s = midnight(NOON_S)
    rows = [7, 11, 13, 17, 19, 23]  # three before midnight, three after
    ledger(tmp_path / "s", begin_s - 30, rows)
    now = snapshot(NOON_S, 1_000, begin_s - 30)
    worker = Inline()
    day = Midnight(tmp_path / "s", worker, lambda: now).day(now)
    assert day is not None
    assert (day.begin_s, day.is_whole) == (begin_s, True)
    assert day.energy_uj["GPU-1", Phase.TRAINING] == 1_000 - 7 - 11 - 13


def test_costs_since_midnight_are_at_the_factors_of_their_moments(tmp_path: Path) -> None:
    begin_s = midnight(NOON_S)
    ledger(tmp_path / "s", begin_s - 30, [KWH_UJ] * 9)  # six of them today
    note(tmp_path / "s", [PRICE], begin_s - 100)
    note(tmp_path / "s", [PRICE._replace(micro=250_000)], begin_s + 30)
    # 1.00 since midnight in the ledger and half a kWh settled since at 0.25; before: whatever
    now = snapshot(NOON_S, 9 * KWH_UJ + KWH_UJ // 2, begin_s - 30, 5_000_000)
    before = read(tmp_path / "s", begin_s, lambda: now)
    today_micro = 3 * 500_000 + 3 * 250_000 + 125_000
    assert before.footprint == {("cost_micro", "EUR"): 5_000_000 - today_micro}


def test_a_ledger_of_today_is_not_read(tmp_path: Path) -> None:
    now = snapshot(NOON_S, 1_000, NOON_S - 60)
    worker = Inline()
    day = Midnight(tmp_path / "nothing", worker, lambda: now).day(now)
    assert day is not None
    assert (day.begin_s, day.is_whole, worker.count) == (NOON_S - 60, False, 0)
    assert sum(day.energy_uj.values()) == 1_000


def test_the_ledger_is_asked_once_a_day_and_again_right_after_midnight(tmp_path: Path) -> None:
    begin_s = midnight(NOON_S)
    ledger(tmp_path / "s", begin_s - 30, [1, 2, 3])
    worker = Inline()
    states = Midnight(tmp_path / "s", worker, lambda: None)
    asked = []
    for now_s in (begin_s + 5, begin_s + 6, begin_s + 50, begin_s + 100, NOON_S, NOON_S + 86_400):
        assert states.day(snapshot(now_s, 9, begin_s - 30)) is not None
        asked.append(worker.count)
    assert asked == [1, 1, 2, 3, 3, 4]


@pytest.mark.parametrize("now_s", [5, NOON_S])
def test_without_a_clock_or_a_ledger_nothing_is_said(tmp_path: Path, now_s: int) -> None:
    now = snapshot(now_s, 9, 0)
    states = Midnight(tmp_path / "nothing", Inline(), lambda: now)
    assert states.day(now) is None
    assert states.day(now) is None


def test_while_the_ledger_is_read_nothing_is_said(tmp_path: Path) -> None:
    now = snapshot(NOON_S, 9, 0)
    with ThreadPoolExecutor(1) as worker:
        done: Future[None] = Future()
        worker.submit(done.result)
        states = Midnight(tmp_path / "nothing", worker, lambda: now)
        assert states.day(now) is None
        done.set_result(None)
