"""Ledgers to test with: a small real one in a directory, filled by hand."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.retention import Keep
from submeter.ledger.store import Store
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
from submeter.testing.memory import IN_MEMORY
from submeter.units import NS_PER_S

START_S = 1_767_225_600  # 2026-01-01, a midnight


@dataclass
class Books:
    """A ledger on a file, and what was booked in it."""

    directory: Path
    keep: Keep = field(default_factory=Keep)
    backend: str = "nvml"
    max_series: int = 2_000
    boot_id: str = "boot-1"
    now_ns: int = 1_000 * NS_PER_S
    wall_ns: int = START_S * NS_PER_S
    booked_uj: dict[str, int] = field(default_factory=dict)
    store: Store = field(init=False)
    writer: DirectWriter = field(init=False)
    ledger: DurableLedger = field(init=False)

    def open(self) -> "Books":
        self.store, loaded = open_store(self.directory, self.backend, self.wall_ns, self.keep)
        self.writer = DirectWriter(self.store)
        session = Session(0, self.backend, "1", "", self.boot_id, self.wall_ns, self.now_ns)
        self.ledger = DurableLedger(loaded, session, self.writer, self.max_series)
        return self

    def reopen(self) -> "Books":
        self.close()
        return self.open()

    def close(self) -> None:
        self.store.finish()

    def post(
        self,
        gpu: str,
        seconds: float,
        energies_uj: Sequence[tuple[str, int]],
        *,
        suspect_uj: int = 0,
        unmetered_ns: int = 0,
        state: bool = True,
    ) -> tuple[Posting, ...]:
        """Time passes, and that energy is posted, which is given as metrics show it; nothing is
        committed yet."""
        start_ns = self.now_ns
        self.pass_time(seconds)
        total_uj = sum(energy_uj for _, energy_uj in energies_uj)
        booked_uj = self.booked_uj[gpu] = self.booked_uj.get(gpu, 0) + total_uj
        end_ns = self.now_ns
        counter = CounterState(booked_uj, booked_uj, end_ns, 0, booked_uj, 0, 0, 0)
        interval = Interval(
            *(gpu, 0, start_ns, end_ns, total_uj, EnergySource.COUNTER),
            suspect_uj=((SuspectReason.JUMP, suspect_uj),) if suspect_uj else (),
            unmetered_ns=((UnmeteredReason.GAP, unmetered_ns),) if unmetered_ns else (),
            state=MeterState(end_ns, end_ns, end_ns, counter) if state else None,
        )
        return self.ledger.post(interval, [posting(gpu, name, uj) for name, uj in energies_uj])

    def pass_time(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)
        self.wall_ns += round(seconds * NS_PER_S)

    def commit(self) -> None:
        self.ledger.commit(self.now_ns, self.wall_ns)

    def book(self, gpu: str, seconds: float, energies_uj: Sequence[tuple[str, int]]) -> None:
        self.post(gpu, seconds, energies_uj)
        self.commit()


def posting(gpu: str, name: str, energy_uj: int) -> Posting:
    owner = Owner(Phase.TRAINING, workload=name, user="ann")
    return Posting(Account(gpu, "", Component.DYNAMIC, owner), Method.EXCLUSIVE, energy_uj)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where that can be: what is tested is what is written, not how fast a disk is."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as directory:
        yield Path(directory)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Callable[..., Books]]:
    """Opens a ledger in the test's directory; the same one each time."""
    opened: list[Books] = []

    def make(**options: object) -> Books:
        directory = tmp_path / "state"
        directory.mkdir(exist_ok=True, mode=0o700)
        made = Books(directory, **options).open()  # type: ignore[arg-type]
        opened.append(made)
        return made

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def small(books: Callable[..., Books]) -> Books:
    """A few rows of every kind on two GPUs, closed."""
    made = books()
    for step in range(9):
        made.book("GPU-1", 10, [("train.py", 5_000_000 + step), ("serve.py", 70 * step)])
        made.book("GPU-2", 15, [("train.py", 40_000)])
    made.pass_time(86_400)
    for step in range(4):
        made.book("GPU-1", 1_800, [("night.py", 123 + step)])
    made.close()
    return made
