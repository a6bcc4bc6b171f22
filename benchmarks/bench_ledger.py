"""What the ledger costs: CPU time of a durable commit a second, size of a year, time to read.

    python benchmarks/bench_ledger.py [directory on the disk to measure]

One line per figure: name, value, bound, PASS or FAIL.
"""

import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import bench_report

from submeter.ledger import DurableLedger
from submeter.ledger.files import reading
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.retention import Keep
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

GPUS = [f"GPU-{i:08x}-0000-4000-8000-000000000000" for i in range(8)]
START_S = 1_767_225_600
SECONDS = 120


class Node:
    """A ledger and the time."""

    def __init__(self, directory: Path, keep: Keep | None = None) -> None:
        self.now_ns = 10**15
        self.wall_ns = START_S * NS_PER_S
        self.store, loaded = open_store(directory, "nvml", self.wall_ns, keep)
        self.writer = DirectWriter(self.store)
        session = Session(0, "nvml", "bench", "", "boot", self.wall_ns, self.now_ns)
        self.ledger = DurableLedger(loaded, session, self.writer, 4_000)
        self.post_ns = self.commit_ns = 0

    def settle(self, seconds: int, postings: Callable[[str], list[Posting]]) -> None:
        start_ns = self.now_ns
        self.now_ns += seconds * NS_PER_S
        self.wall_ns += seconds * NS_PER_S
        made = [(gpu, postings(gpu)) for gpu in GPUS]
        before_ns = time.process_time_ns()
        for gpu, each in made:
            energy_uj = sum(posting.energy_uj for posting in each)
            now_ns = self.now_ns
            counter = CounterState(now_ns, now_ns, now_ns, 10**12, now_ns, 0, 0, 0)
            state = MeterState(now_ns, now_ns, now_ns, counter)
            source = EnergySource.COUNTER
            interval = Interval(gpu, 0, start_ns, now_ns, energy_uj, source, state=state)
            self.ledger.post(interval, each)
        between_ns = time.process_time_ns()
        self.ledger.commit(self.now_ns, self.wall_ns)
        self.post_ns += between_ns - before_ns
        self.commit_ns += time.process_time_ns() - between_ns
        assert not self.writer.problem


def workloads(gpu: str, names: Sequence[str]) -> list[Posting]:
    return [
        Posting(
            Account(gpu, "", Component.DYNAMIC, Owner(Phase.TRAINING, name, "ann", pod=name)),
            Method.WEIGHTED,
            random.randrange(10**6, 10**9),
        )
        for name in names
    ]


def cost(directory: Path, per_gpu: int, bound_percent: float) -> bool:
    names = [f"job-{i}" for i in range(per_gpu)]
    node = Node(directory)
    for _ in range(3):
        node.settle(1, lambda gpu: workloads(gpu, names))
    node.post_ns = node.commit_ns = 0
    for _ in range(SECONDS):
        node.settle(1, lambda gpu: workloads(gpu, names))
    node.store.finish()
    label = f"8 GPUs, {8 * per_gpu} accounts, a commit a second"
    post = node.post_ns / SECONDS / 1e7
    commit = node.commit_ns / SECONDS / 1e7
    print(f"{label}: booking before it {post:.3f} % of a core")
    return verdict(f"{label}: commit", commit, bound_percent, "% of a core")


def size(directory: Path, days: float) -> bool:
    """Days with 8 GPUs, 4 jobs on each at a time, a new job every ten minutes somewhere."""
    node = Node(directory, Keep(tens_days=days, minute_days=days, hour_days=days))
    jobs = {gpu: [f"{gpu[4:12]}-{i}" for i in range(4)] for gpu in GPUS}
    for step in range(round(days * 8_640)):
        if step % 60 == 0:
            jobs[random.choice(GPUS)][random.randrange(4)] = f"job-{step % 1_000}"
        node.settle(10, lambda gpu: workloads(gpu, jobs[gpu]))
    node.store.finish()
    with reading(directory) as connection:
        bytes_of = {
            name: connection.execute(
                f"SELECT count(*), sum(length(body) + length(hash) + 30) FROM {name}"
            ).fetchone()
            for name in ("tens", "minutes", "hours")
        }
    keep = Keep()
    kept_days = {"tens": keep.tens_days, "minutes": keep.minute_days, "hours": 365.0}
    year = sum(kept_days[name] / days * (total or 0) for name, (_, total) in bytes_of.items())
    actual = (directory / "ledger.db").stat().st_size
    stored = sum(total or 0 for _, total in bytes_of.values())
    return verdict("a year of 8 GPUs", year * actual / stored / 1e6, 200, "MB")


def floor(directory: Path, per_gpu: int) -> None:
    """What SQLite alone needs for the same: a commit a second of as many integers, in its fastest
    durable mode. No history, no hashes; for comparison only."""
    connection = sqlite3.connect(directory / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE totals (account INTEGER PRIMARY KEY, energy_uj INTEGER)")
    rows = [(account, 0) for account in range(8 * per_gpu)]
    connection.executemany("INSERT INTO totals VALUES (?, ?)", rows)
    before_ns = time.process_time_ns()
    for second in range(SECONDS):
        connection.execute("BEGIN IMMEDIATE")
        changed = [(second * 10**6 + account, account) for account, _ in rows]
        connection.executemany("UPDATE totals SET energy_uj = ? WHERE account = ?", changed)
        connection.execute("COMMIT")
    used = (time.process_time_ns() - before_ns) / SECONDS / 1e7
    connection.close()
    print(f"SQLite alone, {8 * per_gpu} totals, a commit a second: {used:.3f} % of a core")


def month(directory: Path) -> list[bool]:
    """`submeter report` of a month of 8 GPUs, as a user waits for it: a process of its own."""
    bench_report.book(directory, 31, 60)
    until = ("--since", "2026-03", "--until", "2026-04")
    passed = []
    for zone, by in (
        ("UTC", "phase,workload"),
        ("UTC", "hour"),
        ("Europe/Berlin", "hour,phase,workload"),
        ("Asia/Kolkata", "hour,phase"),
    ):
        command = [sys.executable, "-m", "submeter", "report", "--state-dir", str(directory)]
        command += [*until, "--tz", zone, "--by", by, "--format", "csv"]
        before, began = children_s(), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        took, used = time.perf_counter() - began, children_s() - before
        name = f"submeter report of a month of 8 GPUs by {by} in {zone} ({used:.2f} s of CPU)"
        passed.append(verdict(name, took, 2, "s"))
    return passed


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def verdict(name: str, value: float, bound: float, unit: str) -> bool:
    passed = value <= bound
    print(f"{name} {value:.3f} {unit}, bound {bound} {'PASS' if passed else 'FAIL'}")
    return passed


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    passed = []
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        for name in ("a", "b", "c", "d"):
            (Path(scratch) / name).mkdir(mode=0o700)
        passed.append(cost(Path(scratch) / "a", 25, 0.3))
        passed.append(cost(Path(scratch) / "b", 200, 0.3))
        floor(Path(scratch), 200)
        passed.append(size(Path(scratch) / "c", 1.0))
        passed.extend(month(Path(scratch) / "d"))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
