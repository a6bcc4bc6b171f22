"""Rows in, all totals as they are now out: by account and by GPU.

What metrics show is a `View`, one consistent moment that later rows do not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from submeter.amounts import Amounts
from submeter.ledger.counts import Counts, Table
from submeter.ledger.done import done_of
from submeter.ledger.memory import Totals
from submeter.ledger.records import Series
from submeter.ledger.rows import Row
from submeter.model import Account, Method, Owner, SuspectReason, UnmeteredReason

_METHODS: Final = tuple(Method)


@dataclass(frozen=True, slots=True)
class View:
    """What metrics show: one consistent moment. There is one a second, and few are looked at: hence
    what takes time is done then."""

    accounts: Mapping[Account, int]
    gpus: Mapping[str, tuple[Totals, tuple[int, ...]]]  # without, and only, the sums by method
    folded: int
    counts: Table
    done: Mapping[tuple[Owner, str], int]
    """How much work was done: by owner and unit."""

    def totals(self, gpu_uuid: str) -> Totals:
        """Those of one GPU; zeroes for one never seen."""
        totals, sums_uj = self.gpus.get(gpu_uuid, (Totals(), ()))
        by_method = zip(_METHODS, sums_uj, strict=False)
        return replace(totals, by_method_uj={method: uj for method, uj in by_method if uj})


class Live:
    """All totals as they are now. Sums are in lists, by number: with 1,600 accounts a commit would
    spend most of its time on finding them by name."""

    def __init__(self, counts: Table) -> None:
        self.counts = Counts(counts)
        self.numbers: dict[Account, int] = {}
        self.gpus: dict[str, Totals] = {}
        self.folded = 0  # accounts that are shown as a rest
        self._accounts: tuple[Account, ...] = ()  # the same, as far as views have them
        self._energy_uj: list[int] = []  # by number of the account
        self._by_method_uj: dict[str, list[int]] = {}
        self._places: dict[int, tuple[int, int]] = {}  # series → numbers of account and method
        self._owners: dict[int, Owner] = {}
        self._done: dict[tuple[Owner, str], int] = {}

    def know(self, series: Series, shown_as: Account) -> None:
        """From now on the series can be added to."""
        number = self.numbers.setdefault(shown_as, len(self.numbers))
        if number == len(self._energy_uj):
            self._energy_uj.append(0)
        self._places[series.id] = (number, _METHODS.index(series.method))
        self._owners[series.id] = shown_as.owner

    def forget(self, series: int) -> None:
        """Nothing is added to it any more; what it got stays."""
        del self._places[series], self._owners[series]

    def add(self, gpu_uuid: str, row: Row) -> None:
        """Adds what a GPU used."""
        totals = self.gpus.get(gpu_uuid)
        if totals is None:
            totals = self.gpus[gpu_uuid] = Totals()
            self._by_method_uj[gpu_uuid] = [0] * len(_METHODS)
        by_method_uj = self._by_method_uj[gpu_uuid]
        total_uj, energy_uj, places = 0, self._energy_uj, self._places
        for series, gained_uj in row.energy_uj.items():
            account, method = places[series]
            energy_uj[account] += gained_uj
            by_method_uj[method] += gained_uj
            total_uj += gained_uj
        totals.energy_uj += total_uj
        for name, amount in row.facts.items():
            done = done_of(name)
            if done is None:
                _add_fact(totals, name, amount)
            elif done.series in self._owners:
                key = self._owners[done.series], done.unit
                self._done[key] = self._done.get(key, 0) + amount

    def view(self) -> View:
        """All totals, not to change with these."""
        by_method_uj = self._by_method_uj
        gpus = {
            uuid: (totals.as_of_now(), tuple(by_method_uj[uuid]))
            for uuid, totals in self.gpus.items()
        }
        if len(self._accounts) < len(self.numbers):
            self._accounts = tuple(self.numbers)
        sums = Amounts(self._accounts, tuple(self._energy_uj))
        return View(sums, gpus, self.folded, self.counts.copy(), self._done.copy())


def _add_fact(totals: Totals, name: str, amount: int) -> None:
    kind, _, detail = name.partition(".")
    if kind == "suspect":
        suspect = SuspectReason(detail)
        before_uj = totals.suspect_uj  # views have it, too
        totals.suspect_uj = before_uj | {suspect: before_uj.get(suspect, 0) + amount}
    elif kind == "unmetered":
        reason = UnmeteredReason(detail)
        before_ns = totals.unmetered_ns
        totals.unmetered_ns = before_ns | {reason: before_ns.get(reason, 0) + amount}
    elif kind in {"jitters", "resets", "stalls"}:
        setattr(totals, kind, getattr(totals, kind) + amount)
