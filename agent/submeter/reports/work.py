"""Work that was done and energy by series in, joules per token, request or step out.

The energy that is divided is all that was booked to the owners who told of that unit: work, context
and floor of every process that they have on a GPU. What others in the same row used is not in it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

from submeter.ledger.records import Series
from submeter.model import Owner, Phase
from submeter.units import UJ_PER_J, UNCOUNTED

K = TypeVar("K", bound=Hashable)

ORDER: Final = ("prompt_tokens", "generation_tokens", "tokens", "requests")
"""Of units; the others by name."""


class Done(NamedTuple):
    """So much of a unit was done, and what the owners who told of it used."""

    unit: str
    amount: int
    energy_uj: int | None  # None: nobody's energy in particular, as of while no agent ran

    @property
    def joules_per_unit(self) -> float | None:
        """Joules for one; None where that means nothing."""
        if not self.amount or self.energy_uj is None:
            return None
        return self.energy_uj / UJ_PER_J / self.amount


class WorkDone(NamedTuple):
    """What a workload did of a unit."""

    phase: Phase
    workload: str
    done: Done
    uncounted_ns: int = 0  # time in which it used energy, and nobody knows how much it did


class Cell(NamedTuple):
    """How much of a unit the owner of a series did in a part of time."""

    at: int
    series: Series
    unit: str
    amount: int


class Used(NamedTuple):
    """What a series used in a part of time."""

    at: int
    series: Series
    energy_uj: int


def work_by(
    cells: Iterable[Cell], used: Iterable[Used], key_of: Callable[[int, Series], K]
) -> dict[K, tuple[Done, ...]]:
    """What was done, and at what energy, by any key."""
    counts: dict[tuple[K, str], int] = defaultdict(int)
    tellers: dict[Owner, set[str]] = defaultdict(set)
    for at, series, unit, count in cells:
        if unit != UNCOUNTED:
            counts[key_of(at, series), unit] += count
            tellers[series.account.owner].add(unit)
    energy: dict[tuple[K, str], int] = defaultdict(int)
    for at, series, energy_uj in used:
        for unit in tellers.get(series.account.owner, ()):
            if series.account.owner.phase is not Phase.UNATTRIBUTED:
                energy[key_of(at, series), unit] += energy_uj
    found: dict[K, list[Done]] = defaultdict(list)
    for (key, unit), count in sorted(counts.items(), key=lambda item: unit_order(item[0][1])):
        found[key].append(Done(unit, count, energy.get((key, unit))))
    return {key: tuple(done) for key, done in found.items()}


def workloads(cells: list[Cell], used: list[Used]) -> tuple[WorkDone, ...]:
    """By phase and workload, those first who used most."""
    uncounted: Mapping[tuple[Phase, str], int] = _uncounted(cells)
    found = [
        WorkDone(*key, each, uncounted.get(key, 0))
        for key, done in work_by(cells, used, lambda _at, series: _whose(series)).items()
        for each in done
    ]
    order = {key: at for at, key in enumerate(dict.fromkeys((w.phase, w.workload) for w in found))}
    return tuple(
        sorted(
            found,
            key=lambda one: (-(one.done.energy_uj or 0), order[one.phase, one.workload]),
        )
    )


def unit_order(unit: str) -> tuple[int, str]:
    """Tokens first, then requests, then the rest by name."""
    return (ORDER.index(unit) if unit in ORDER else len(ORDER), unit)


def _whose(series: Series) -> tuple[Phase, str]:
    return series.account.owner.phase, series.account.owner.workload


def _uncounted(cells: Iterable[Cell]) -> dict[tuple[Phase, str], int]:
    found: dict[tuple[Phase, str], int] = defaultdict(int)
    for _, series, unit, count in cells:
        if unit == UNCOUNTED:
            found[_whose(series)] += count
    return found
