"""Intervals with their postings in, running totals out; refuses what does not add up.

The ledger is the one owner of counters. Exporters show its totals; they never add anything up
themselves, so a slow or restarted exporter can neither lose nor double a joule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar

from submeter.ledger.counts import Counts
from submeter.model import (
    Account,
    Checkpoint,
    GpuInfo,
    Interval,
    Method,
    Owner,
    Phase,
    Posting,
    SuspectReason,
    UnmeteredReason,
)

K = TypeVar("K")

OTHER: Final = "(other)"
"""The workload that new accounts are folded into once there are ``max_series`` of them."""


@dataclass(slots=True)
class Totals:
    """One GPU's totals. ``energy_uj`` = Σ ``by_method_uj`` = Σ of its accounts, always."""

    energy_uj: int = 0
    by_method_uj: dict[Method, int] = field(default_factory=dict)
    suspect_uj: dict[SuspectReason, int] = field(default_factory=dict)
    unmetered_ns: dict[UnmeteredReason, int] = field(default_factory=dict)
    jitters: int = 0
    resets: int = 0
    stalls: int = 0

    def as_of_now(self) -> "Totals":
        """The same amounts, not to change with these where their tables are only ever replaced."""
        return Totals(
            self.energy_uj,
            self.by_method_uj,
            self.suspect_uj,
            self.unmetered_ns,
            self.jitters,
            self.resets,
            self.stalls,
        )


class Ledger:
    """Totals by account and by GPU, in integer µJ, in memory. Owned and used by one thread."""

    ALWAYS_ADMITTED: ClassVar = frozenset({Phase.IDLE, Phase.UNATTRIBUTED})
    """Bounded by themselves (no tenant can make more), and never to be hidden in a rest."""

    def __init__(self, max_series: int = 2_000) -> None:
        self._max_series = max_series
        self._accounts: dict[Account, int] = {}
        self._gpus: dict[str, Totals] = {}
        self._folded: set[Account] = set()
        self.since_wall_ns: int | None = None
        """When it began: here nobody says."""
        self._counts = Counts({})
        self._done: dict[tuple[Owner, str], int] = {}

    @property
    def folded_series(self) -> int:
        """How many different accounts were folded into `OTHER` so far."""
        return len(self._folded)

    def accounts(self) -> Mapping[Account, int]:
        """A copy of all totals: µJ by account."""
        return dict(self._accounts)

    def totals(self, gpu_uuid: str) -> Totals:
        """The live totals of one GPU; zeroes for one never seen."""
        return self._gpus.setdefault(gpu_uuid, Totals())

    def count(self, group: str, counted: Mapping[str, int]) -> None:
        """Notes what was counted in a group."""
        self._counts.take(group, counted)

    def counts(self, group: str) -> Mapping[str, int]:
        """What was counted in a group."""
        return self._counts.totals.get(group, {})

    def all_counts(self) -> Mapping[str, Mapping[str, int]]:
        """The same of all groups."""
        return self._counts.totals

    def book_work(
        self,
        gpu_uuid: str,  # noqa: ARG002
        owner: Owner,
        done: Mapping[str, int],
        marks: Mapping[str, Mapping[str, int]],  # noqa: ARG002
    ) -> None:
        """Books how much work somebody did, by unit."""
        for unit, amount in done.items():
            _add(self._done, (owner, unit), amount)

    def done(self) -> Mapping[tuple[Owner, str], int]:
        """How much work was done, by owner and unit."""
        return dict(self._done)

    def marks(self) -> Mapping[str, Mapping[str, int]]:
        """None: nobody was here before."""
        return {}

    def checkpoint(self, gpu_uuid: str) -> Checkpoint | None:  # noqa: ARG002
        """None: nobody was here before."""
        return None

    def remembered(self) -> Mapping[str, int]:
        """No GPU but those of this run."""
        return {}

    def describe(self, info: GpuInfo) -> None:
        """Nothing: who a GPU is, its snapshot says."""

    def commit(self, now_ns: int, wall_ns: int) -> None:
        """Nothing: what is posted is shown."""

    def catch_up(self) -> None:
        """Nothing: the same."""

    def post(self, interval: Interval, postings: Sequence[Posting]) -> tuple[Posting, ...]:
        """Books an interval and how it was split; gives the postings under their final accounts.

        Raises ValueError, and books nothing, if a posting is negative, belongs to another GPU, or
        the postings do not add up to the interval: a bill that doesn't add up must not exist.
        """
        check(interval, postings)
        admitted = tuple(p._replace(account=self._admit(p.account)) for p in postings)
        totals = self.totals(interval.gpu_uuid)
        for posting in admitted:
            self._accounts[posting.account] += posting.energy_uj
            _add(totals.by_method_uj, posting.method, posting.energy_uj)
        totals.energy_uj += interval.energy_uj
        for suspect, energy_uj in interval.suspect_uj:
            _add(totals.suspect_uj, suspect, energy_uj)
        for reason, duration_ns in interval.unmetered_ns:
            _add(totals.unmetered_ns, reason, duration_ns)
        totals.jitters += interval.jitters
        totals.resets += interval.resets
        totals.stalls += interval.stalls
        return admitted

    def _admit(self, account: Account) -> Account:
        """Sticky admission: an account that is in stays, so joules never move between series."""
        if account in self._accounts:
            return account
        if len(self._accounts) >= self._max_series and (
            account.owner.phase not in self.ALWAYS_ADMITTED
        ):
            if len(self._folded) < 10 * self._max_series:  # a count, not a leak
                self._folded.add(account)
            account = account._replace(owner=Owner(account.owner.phase, workload=OTHER))
        self._accounts.setdefault(account, 0)
        return account


def check(interval: Interval, postings: Sequence[Posting]) -> None:
    """Raises ValueError unless the postings are of that GPU, not negative, and add up."""
    total_uj = 0
    for posting in postings:
        if posting.energy_uj < 0:
            raise ValueError(f"negative posting {posting}")
        if posting.account.gpu_uuid != interval.gpu_uuid:
            raise ValueError(f"posting for another GPU: {posting}")
        total_uj += posting.energy_uj
    if total_uj != interval.energy_uj:
        raise ValueError(f"postings sum to {total_uj} µJ, the interval is {interval.energy_uj} µJ")


def _add(table: dict[K, int], key: K, amount: int) -> None:
    table[key] = table.get(key, 0) + amount
