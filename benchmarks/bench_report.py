"""How long a month of 8 GPUs takes to report: ``python benchmarks/bench_report.py``.

Books a month of jobs into a ledger through the agent's own code (a minute at a time; rows of tens
would be gone by then, rows of minutes, hours and days are as the agent keeps them), then asks it.
``--keep DIR`` leaves the ledger there, ``--days`` and ``--every`` make a smaller one.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.writer import DirectWriter
from submeter.model import (
    Account,
    Component,
    CounterState,
    EnergySource,
    GpuInfo,
    Interval,
    MeterState,
    Method,
    Owner,
    Phase,
    Posting,
)
from submeter.reports.ledger import from_ledger
from submeter.reports.moments import zone
from submeter.reports.presentations import load
from submeter.reports.question import Question
from submeter.units import NS_PER_S

START_S = 1_772_323_200  # 2026-03-01
GPUS = 8
QUESTIONS = (
    ("UTC", ()),
    ("UTC", ("phase", "workload")),
    ("Europe/Berlin", ("day", "phase")),
    ("Europe/Berlin", ("hour", "phase", "workload")),
    ("Asia/Kolkata", ("day", "phase", "user")),
    ("Asia/Kolkata", ("hour", "phase")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--every", type=int, default=60, help="seconds between bookings")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch)
        directory.mkdir(mode=0o700, exist_ok=True)
        if not (directory / "ledger.db").exists():
            began = time.perf_counter()
            book(directory, options.days, options.every)
            print(f"booked {options.days} days in {time.perf_counter() - began:.1f} s")
        size = (directory / "ledger.db").stat().st_size
        print(f"ledger: {size / 1e6:.1f} MB\n")
        ask(directory, START_S + options.days * 86_400)


def ask(directory: Path, now_s: int) -> None:
    print(f"{'time zone':15}{'by':24}{'html':>6}{'rows':>9}{'seconds':>9}")
    for name, by in QUESTIONS:
        for html in (False, True):
            question = Question(by, zone=zone(name), timeline=html)
            began = time.perf_counter()
            report = from_ledger(directory, question, now_s)
            load("html" if html else "table").render(report)
            took = time.perf_counter() - began
            shown = "html" if html else ""
            print(f"{name:15}{','.join(by):24}{shown:>6}{len(report.rows):9,}{took:9.2f}")
            assert sum(row.energy_uj for row in report.rows) == report.total_uj


def book(directory: Path, days: int, every_s: int) -> None:
    store, loaded = open_store(directory, "mock", START_S * NS_PER_S)
    session = Session(0, "mock", "1", "", "boot", START_S * NS_PER_S, NS_PER_S)
    ledger = DurableLedger(loaded, session, DirectWriter(store), 2_000)
    dice = random.Random(1)
    totals = [0] * GPUS
    for gpu in range(GPUS):
        ledger.describe(_info(gpu))
    for step in range(days * 86_400 // every_s):
        end_ns = (1 + (step + 1) * every_s) * NS_PER_S
        hour = step * every_s // 3_600
        for gpu in range(GPUS):
            postings = list(_postings(gpu, hour, every_s, dice))
            totals[gpu] += sum(posting.energy_uj for posting in postings)
            ledger.post(_interval(gpu, end_ns, every_s, totals[gpu], postings), postings)
        if step * every_s % 3_600 == 0:
            ledger.commit(end_ns, START_S * NS_PER_S + end_ns)
    ledger.commit(end_ns, START_S * NS_PER_S + end_ns)
    store.finish()


def _info(gpu: int) -> GpuInfo:
    return GpuInfo(
        *(_uuid(gpu), gpu, "NVIDIA H100 80GB HBM3", "570.86", f"00000000:{gpu + 1:02X}:00.0"),
        *("hopper", EnergySource.COUNTER, "25ms", 25_000_000, True),
    )


def _uuid(gpu: int) -> str:
    return f"GPU-{gpu:08x}-0000-4000-8000-000000000000"


def _interval(
    gpu: int, end_ns: int, every_s: int, total_uj: int, postings: list[Posting]
) -> Interval:
    energy_uj = sum(posting.energy_uj for posting in postings)
    counter = CounterState(total_uj, total_uj, end_ns, 0, total_uj, 0, 0, 0)
    return Interval(
        *(_uuid(gpu), 0, end_ns - every_s * NS_PER_S, end_ns, energy_uj, EnergySource.COUNTER),
        state=MeterState(end_ns, end_ns, end_ns, counter),
    )


def _postings(gpu: int, hour: int, every_s: int, dice: random.Random) -> Iterator[Posting]:
    """Two GPUs train for days, four serve by day, two are shared or idle."""
    busy = 0.35 + 0.65 * (7 <= hour % 24 < 21)
    uj = every_s * 1_000_000

    def posted(owner: Owner, component: Component, method: Method, watts: float) -> Posting:
        amount = int(uj * watts * dice.uniform(0.9, 1.1))
        return Posting(Account(_uuid(gpu), "", component, owner), method, amount)

    holders = list(_holders(gpu, hour))
    if not holders:
        yield posted(Owner(Phase.IDLE), Component.IDLE, Method.IDLE, 68)
    alone = len(holders) == 1
    for owner in holders:
        watts = 520.0 if owner.phase is Phase.TRAINING else 260 * busy / len(holders)
        method = Method.EXCLUSIVE if alone else Method.WEIGHTED
        yield posted(owner, Component.DYNAMIC, method, watts)
        equal = Method.EXCLUSIVE if alone else Method.EQUAL
        yield posted(owner, Component.CONTEXT, equal, 48 / len(holders))
        yield posted(owner, Component.IDLE, equal, 68 / len(holders))
    if hour % 97 == gpu:
        down = Owner(Phase.UNATTRIBUTED, workload="(agent down)")
        yield posted(down, Component.DYNAMIC, Method.UNATTRIBUTED, 40)


def _holders(gpu: int, hour: int) -> Iterator[Owner]:
    if gpu < 2 and hour % 160 < 130:
        name = ("pretrain-7b", "finetune-lora", "ablation-12")[hour // 160 % 3]
        yield Owner(Phase.TRAINING, name, "ann", "research", f"{name}-0", "main", str(hour // 160))
    elif 2 <= gpu < 6:
        for name in ("chat-api", "embeddings", "rerank")[: 1 + gpu % 3]:
            yield Owner(Phase.INFERENCE, name, "svc", "serving", f"{name}-{gpu}", "vllm")
    elif gpu >= 6 and 8 <= hour % 24 < 19:
        for user in range(1 + hour % 3):
            job = f"notebook-{(hour // 24 * 3 + user) % 40}"
            yield Owner(Phase.UNKNOWN, job, f"user{user}", "lab", job, "jupyter")


if __name__ == "__main__":
    main()
