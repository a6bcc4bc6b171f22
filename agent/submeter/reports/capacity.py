"""A ledger, a power budget and a stretch of time in, how much power was unused and when out.

Time is cut into slots; a slot's draw is the mean of its metered time, so peaks shorter than a slot
are not in it. A slot counts only where every GPU was metered for at least half of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from submeter.errors import InputError
from submeter.ledger.book import SYNCED_FROM_S
from submeter.ledger.pieces import Piece
from submeter.ledger.reader import open_reader
from submeter.model import Component, Phase
from submeter.reports.moments import Zone
from submeter.reports.question import Question
from submeter.units import NS_PER_S, mean_power_mw

SHARES: Final = (50, 90, 95, 99, 100)
"""Percent of the time for which the free power is said."""
STRANDED_PERCENT: Final = 5
"""A GPU is held without working where work is at most that much of what its holder is charged."""
_SLOTS_S: Final = ((7_200, 10), (2 * 86_400, 60), (40 * 86_400, 900), (10**12, 3_600))
"""Up to which stretch which slot: the ledger knows quarters of an hour for a year."""
_NOBODY: Final = frozenset({Phase.IDLE, Phase.UNATTRIBUTED})
_MOST: Final = 100_000


class Draw(NamedTuple):
    """A slot and the node's mean draw in it."""

    start_s: int
    power_mw: int


class Hour(NamedTuple):
    """An hour of the local day over all days."""

    hour: int
    slots: int
    draw_mw: int  # 95 % of its slots draw at most that


class Stranded(NamedTuple):
    """GPU time that somebody held without working."""

    workload: str
    user: str
    phase: str
    gpu_seconds: int
    energy_uj: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was unused. Without a budget there is no free power, only the draw."""

    zone: Zone
    since_s: int
    until_s: int
    slot_s: int
    backend: str
    gpus: int
    budget_mw: int | None
    draws: tuple[Draw, ...]  # known slots, in order of time
    unknown_slots: int
    total_uj: int
    idle_uj: int  # while nobody held the GPU
    held_uj: int  # floor and context below whoever held it
    work_uj: int
    stranded: tuple[Stranded, ...] = ()

    def draw_mw(self, percent: int) -> int | None:
        """So many percent of the slots draw at most that; None without any."""
        return percentile([draw.power_mw for draw in self.draws], percent)

    def free_mw(self, percent: int) -> int | None:
        """What is free for so many percent of the time; negative where the draw is above."""
        draw_mw = self.draw_mw(percent)
        return None if draw_mw is None or self.budget_mw is None else self.budget_mw - draw_mw

    @property
    def unused_uj(self) -> int | None:
        """What the budget would have allowed beyond what was drawn in the known slots."""
        if self.budget_mw is None:
            return None
        left_mw = sum(max(0, self.budget_mw - draw.power_mw) for draw in self.draws)
        return left_mw * self.slot_s * 1_000

    @property
    def notices(self) -> tuple[str, ...]:
        """What every reader must know."""
        found = []
        if self.backend == "mock":
            found.append("Simulated boards: no real electricity was metered.")
        if self.budget_mw is None:
            found.append("No budget: set node.power_budget_watts to have free power said.")
        lowest_mw = self.draw_mw(0)
        if self.budget_mw is not None and lowest_mw is not None and self.budget_mw < lowest_mw:
            found.append("The budget is below the lowest draw there ever was: is it right?")
        return tuple(found)

    def hours(self) -> list[Hour]:
        """By hour of the local day."""
        by_hour: dict[int, list[int]] = defaultdict(list)
        for draw in self.draws:
            by_hour[self.zone.local(draw.start_s).hour].append(draw.power_mw)
        return [
            Hour(hour, len(draws), percentile(draws, 95) or 0)
            for hour, draws in sorted(by_hour.items())
        ]


def from_ledger(directory: Path, question: Question, now_s: int, budget_mw: int | None) -> Capacity:
    """What a ledger says. Raises StateUnusable, and InputError for too much or nothing at all."""
    with open_reader(directory) as reader:
        totals = [total for total in reader.totals() if total.first_s >= SYNCED_FROM_S]
        if not totals:
            raise InputError("nothing was ever metered in this ledger at a known time")
        first_s, last_s = min(t.first_s for t in totals), max(t.last_s for t in totals)
        since_s = first_s if question.since_s is None else max(question.since_s, first_s)
        until_s = min(last_s, now_s if question.until_s is None else question.until_s)
        slot_s = next(width for most, width in _SLOTS_S if until_s - since_s <= most)
        begin_s = since_s // slot_s * slot_s
        edges = range(begin_s, until_s, slot_s)
        if len(edges) > _MOST:
            raise InputError(f"that would be more than {_MOST:,} slots: ask for less time")
        slots = _Slots(begin_s, slot_s, len(edges), [gpu.uuid for gpu in reader.gpus])
        for piece in reader.pieces(since_s, until_s, list(edges)):
            slots.add(piece)
        draws, unknown = slots.draws()
        return Capacity(
            *(question.zone, since_s, max(until_s, since_s), slot_s, reader.backend),
            *(len(reader.gpus), budget_mw, draws, unknown),
            *slots.layers(),
            slots.stranded(),
        )


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The smallest value that so many percent of all are at or below; None of none."""
    if not values:
        return None
    at = max(0, -(-len(values) * percent // 100) - 1)
    return sorted(values)[at]


@dataclass(slots=True)
class _Slots:
    """Owns the sums while pieces come in."""

    begin_s: int
    slot_s: int
    count: int
    gpus: list[str]
    _energy: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # µJ and ns
    _layers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("i", "h", "w"), 0))
    _total_uj: int = 0
    _held: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)

    def add(self, piece: Piece) -> None:
        """Counts a piece in; one that is longer than a slot, as its mean in each of them."""
        first = (piece.start_s - self.begin_s) // self.slot_s
        last = max(first, (piece.end_s - 1 - self.begin_s) // self.slot_s)
        width = last - first + 1
        for at in range(max(first, 0), min(last + 1, self.count)):
            sums = self._energy.setdefault((piece.gpu.uuid, at), [0, 0])
            sums[0] += piece.sum_uj // width
            sums[1] += piece.metered_ns // width
        self._total_uj += piece.sum_uj
        self._hold(piece)

    def _hold(self, piece: Piece) -> None:
        holders: dict[tuple[str, str, str], list[int]] = {}
        for series, energy_uj in piece.energy:
            owner = series.account.owner
            is_work = series.account.component is Component.DYNAMIC
            if owner.phase is Phase.IDLE:
                self._layers["i"] += energy_uj
            elif owner.phase not in _NOBODY:
                self._layers["w" if is_work else "h"] += energy_uj
                sums = holders.setdefault((owner.workload, owner.user, str(owner.phase)), [0, 0])
                sums[0 if is_work else 1] += energy_uj
        for key, (work_uj, held_uj) in holders.items():
            if work_uj * 100 <= STRANDED_PERCENT * (work_uj + held_uj):
                sums = self._held.setdefault(key, [0, 0])
                sums[0] += piece.metered_ns // len(holders)
                sums[1] += work_uj + held_uj

    def draws(self) -> tuple[tuple[Draw, ...], int]:
        """Known slots, and how many are not."""
        found = []
        for at in range(self.count):
            sums = [self._energy.get((uuid, at), [0, 0]) for uuid in self.gpus]
            if all(2 * metered_ns >= self.slot_s * NS_PER_S for _, metered_ns in sums):
                power_mw = sum(mean_power_mw(energy_uj, time_ns) for energy_uj, time_ns in sums)
                found.append(Draw(self.begin_s + at * self.slot_s, power_mw))
        return tuple(found), self.count - len(found)

    def layers(self) -> tuple[int, int, int, int]:
        """All energy, idle, held and work."""
        return self._total_uj, self._layers["i"], self._layers["h"], self._layers["w"]

    def stranded(self) -> tuple[Stranded, ...]:
        """Who held GPUs without working, most first."""
        found = (
            Stranded(*key, time_ns // NS_PER_S, energy_uj)
            for key, (time_ns, energy_uj) in self._held.items()
            if energy_uj > 0
        )
        return tuple(sorted(found, key=lambda each: (-each.energy_uj, each.workload)))
