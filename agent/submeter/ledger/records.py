"""What passes between the ledger, which knows the books, and the store, which knows the file."""

from dataclasses import dataclass, field
from typing import NamedTuple

from submeter.ledger.book import Tip
from submeter.ledger.rows import Row, Sealed
from submeter.model import Account, Checkpoint, Method


class Session(NamedTuple):
    """One start of the agent."""

    id: int
    backend: str
    version: str
    config: str  # a digest of the effective configuration
    boot_id: str  # empty where readings are simulated or replayed: each start is its own world
    wall_ns: int
    boottime_ns: int
    ledger: str = ""  # whose; a second place for what all hashes begin with


class Gpu(NamedTuple):
    """A GPU as the ledger knows it. ``position`` is the index it had last; a label only."""

    id: int
    uuid: str
    backend: str
    name: str = ""
    position: int = -1


class Series(NamedTuple):
    """Who used energy, and how it was found; ``shown`` 0: metrics have it under "(other)"."""

    id: int
    gpu: int
    account: Account
    method: Method
    shown: int = 1


class Chained(NamedTuple):
    """A row for one of the chained tables."""

    table: str
    values: tuple[object, ...]
    hash: bytes


class Open(NamedTuple):
    """The row of a GPU that is not over yet, as it is stored."""

    gpu: int
    start_s: int
    body: bytes
    state: str
    hash: bytes


class Note(NamedTuple):
    """A named text that is replaced by newer ones: how far the log is folded in, what is counted
    beside energy."""

    name: str
    body: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that is not in the ledger yet. Writing it twice is the same as writing it once,
    and a later commit has all of an earlier one that was not written."""

    number: int
    now_s: int  # wall clock
    gpus: tuple[Gpu, ...] = ()
    chained: tuple[Chained, ...] = ()
    sealed: tuple[Sealed, ...] = ()
    opens: tuple[Open, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.gpus or self.chained or self.sealed or self.opens or self.notes)


@dataclass(slots=True)
class GpuHistory:
    """What a ledger file says of one GPU, as far as it must be known to go on."""

    gpu: Gpu
    tips: tuple[Tip, ...]
    sums: Row  # of everything: energy by series, facts, time
    tails: list[tuple[int, Tip, Row]] = field(default_factory=list)  # not covered yet, by level
    open: Row | None = None
    checkpoint: Checkpoint | None = None


@dataclass(slots=True)
class Loaded:
    """What a ledger file says, as far as it must be known to go on."""

    ledger_id: str
    gpus: dict[int, GpuHistory] = field(default_factory=dict)
    series: dict[int, Series] = field(default_factory=dict)
    gpu_count: int = 0  # of all backends
    series_count: int = 0  # the same
    sessions: int = 0
    since_wall_ns: int = 0  # of the first session; 0 if that is not known
    reversed: list[tuple[int, int, int]] = field(default_factory=list)  # GPU, row, series
    tips: dict[str, bytes] = field(default_factory=dict)  # ends of the chained tables
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # see counts.py
    marks: dict[str, dict[str, int]] = field(default_factory=dict)  # see done.py


def series_values(series: Series) -> tuple[object, ...]:
    """A series as its row in the file."""
    number, gpu, account, method, shown = series
    _, mig, component, (phase, *names) = account
    return (number, gpu, mig, str(component), str(method), str(phase), *names, shown)
