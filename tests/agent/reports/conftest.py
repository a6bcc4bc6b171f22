"""A small ledger on disk with known postings, to ask."""

from collections.abc import Callable, Sequence
from pathlib import Path

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
    SuspectReason,
    UnmeteredReason,
)
from submeter.units import NS_PER_S

HOSTILE = '=cmd|"/c calc"!A1<script>alert(1)</script>'
Use = tuple[str, Phase, Component, Method, int]


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[..., Path]:
    """Makes the ledger of one GPU: what was posted at which moment (seconds since 1970)."""

    def make(
        posted: dict[int, list[Use]],
        *,
        backend: str = "nvml",
        gpu: str = "GPU-1",
        work: Sequence[tuple[int, Owner, dict[str, int]]] = (),
    ) -> Path:
        directory = tmp_path / "state"
        directory.mkdir(mode=0o700, exist_ok=True)
        first_ns = min(posted) * NS_PER_S
        store, loaded = open_store(directory, backend, first_ns)
        session = Session(0, backend, "1", "", "boot", first_ns, NS_PER_S)
        books = DurableLedger(loaded, session, DirectWriter(store), 2_000)
        total_uj = 0
        for moment_s, uses in sorted(posted.items()):
            wall_ns = moment_s * NS_PER_S
            now_ns = wall_ns - first_ns + 100 * NS_PER_S
            energy_uj = sum(use[-1] for use in uses)
            total_uj += energy_uj
            counter = CounterState(total_uj, total_uj, now_ns, 0, total_uj, 0, 0, 0)
            interval = Interval(
                *(gpu, 0, now_ns - 10 * NS_PER_S, now_ns, energy_uj, EnergySource.COUNTER),
                suspect_uj=((SuspectReason.JUMP, 7_000_000),),
                unmetered_ns=((UnmeteredReason.GAP, 2 * NS_PER_S),),
                state=MeterState(now_ns, now_ns, now_ns, counter),
            )
            for at_s, owner, done in work:
                if at_s == moment_s:
                    books.book_work(gpu, owner, done, {})
            books.post(interval, [_posting(gpu, use) for use in uses])
            books.commit(now_ns, wall_ns)
        store.close()
        return directory

    return make


def _posting(gpu: str, use: Use) -> Posting:
    workload, phase, component, method, energy_uj = use
    owner = Owner(phase, workload=workload, user="ann" if workload else "")
    return Posting(Account(gpu, "", component, owner), method, energy_uj)


@pytest.fixture
def small(ledger: Callable[..., Path]) -> Path:
    """Three uses on 28 and 29 March 2026, the night in which Berlin's clock skips an hour."""
    work, exclusive = Component.DYNAMIC, Method.EXCLUSIVE
    return ledger(
        {
            # 28 March 23:30 in Berlin
            1_774_737_010: [("train.py", Phase.TRAINING, work, exclusive, 3_000_001)],
            # 29 March 00:30 and 03:30 in Berlin
            1_774_740_610: [
                (HOSTILE, Phase.INFERENCE, work, Method.WEIGHTED, 1_000_000),
                (HOSTILE, Phase.INFERENCE, Component.IDLE, Method.EQUAL, 500_000),
                ("train.py", Phase.TRAINING, Component.CONTEXT, Method.EQUAL, 250_000),
            ],
            1_774_747_810: [("", Phase.IDLE, Component.IDLE, Method.IDLE, 999_999)],
        }
    )
