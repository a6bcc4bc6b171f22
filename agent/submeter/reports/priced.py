"""Energy by part of time, row and series in, what it comes to out: amounts that add up.

Rows, phases and workloads are each rounded so that they sum to the same total.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from submeter.footprint.factors import Factor, Quantity
from submeter.footprint.rates import DIVISORS, KINDS, Schedule, rounded, whole
from submeter.model import Phase

K = TypeVar("K", bound=Hashable)
NEEDS: Final[Mapping[str, tuple[Quantity, ...]]] = {
    "facility_uj": (Quantity.PUE,),
    "carbon_ug": (Quantity.CARBON,),
    "water_ul": (Quantity.WUE, Quantity.WUE_SOURCE),
    "cost_micro": (Quantity.PRICE,),
}
"""One of these factors there must be for an amount."""


class Amounts(NamedTuple):
    """What an energy comes to; None: there was no factor for any of it."""

    facility_uj: int | None = None
    carbon_ug: int | None = None
    water_ul: int | None = None
    cost_micro: int | None = None


NOTHING: Final = Amounts()


class Applied(NamedTuple):
    """A factor, what its values were, and how much energy it was applied to."""

    factor: Factor
    low: int
    high: int
    energy_uj: int


@dataclass(frozen=True, slots=True)
class Priced:
    """What a report's energy comes to. Σ ``rows`` = Σ ``phases`` = Σ ``uses`` = ``total``."""

    total: Amounts = NOTHING
    rows: tuple[Amounts, ...] = ()
    phases: Mapping[Phase, Amounts] = field(default_factory=dict)
    uses: Mapping[tuple[str, Phase], Amounts] = field(default_factory=dict)
    """By workload and phase."""
    currency: str = ""
    applied: tuple[Applied, ...] = ()
    missing_uj: Mapping[str, int] = field(default_factory=dict)
    """By kind of amount: energy there was no factor for. Only of kinds that have some."""
    notes: tuple[str, ...] = ()


UNPRICED: Final = Priced()


class Cell(NamedTuple):
    """Energy of one part of time."""

    part: int  # of the schedule
    row: int  # of the report
    use: tuple[str, Phase]  # workload and phase
    energy_uj: int


def priced(schedule: Schedule, cells: Sequence[Cell], rows: int) -> Priced:
    """What the cells come to; ``rows``: how many lines the report has."""
    multipliers = {part: schedule.rates(part).multipliers() for part in {c.part for c in cells}}
    currencies = {schedule.rates(part).currency for part in multipliers} - {""}
    kinds = [kind for kind in KINDS if any(kind in each for each in multipliers.values())]
    notes = []
    if len(currencies) > 1:
        kinds.remove("cost_micro")
        notes.append(f"No cost: prices are in {', '.join(sorted(currencies))}.")
    sums = _Sums(multipliers, cells, kinds)
    return Priced(
        total=Amounts(**{kind: sums.total(kind) for kind in kinds}),
        rows=tuple(sums.by(lambda cell: cell.row, range(rows)).values()),
        phases=sums.by(lambda cell: cell.use[1], [p for p in Phase if p in sums.phases()]),
        uses=sums.by(lambda cell: cell.use, sorted({cell.use for cell in cells})),
        currency=currencies.pop() if len(currencies) == 1 else "",
        applied=_applied(schedule, cells),
        missing_uj={kind: missing for kind in kinds if (missing := sums.missing_uj(kind))},
        notes=tuple(notes),
    )


class _Sums(NamedTuple):
    multipliers: Mapping[int, Mapping[str, int]]
    cells: Sequence[Cell]
    kinds: Sequence[str]

    def phases(self) -> set[Phase]:
        return {cell.use[1] for cell in self.cells}

    def total(self, kind: str) -> int:
        products = (
            cell.energy_uj * self.multipliers[cell.part].get(kind, 0) for cell in self.cells
        )
        return whole(sum(products), DIVISORS[kind])

    def missing_uj(self, kind: str) -> int:
        return sum(cell.energy_uj for cell in self.cells if kind not in self.multipliers[cell.part])

    def by(self, key_of: Callable[[Cell], K], keys: Iterable[K]) -> dict[K, Amounts]:
        found: dict[K, dict[str, int]] = {key: {} for key in keys}
        for kind in self.kinds:
            for key, amount in self._kind_by(kind, key_of).items():
                found[key][kind] = amount
        return {key: Amounts(**amounts) for key, amounts in found.items()}

    def _kind_by(self, kind: str, key_of: Callable[[Cell], K]) -> dict[K, int]:
        sums: dict[K, int] = defaultdict(int)
        for cell in self.cells:
            multiplier = self.multipliers[cell.part].get(kind)
            if multiplier is not None:
                sums[key_of(cell)] += cell.energy_uj * multiplier
        return dict(zip(sums, rounded(list(sums.values()), DIVISORS[kind]), strict=True))


def _applied(schedule: Schedule, cells: Iterable[Cell]) -> tuple[Applied, ...]:
    energy_uj: dict[int, int] = defaultdict(int)
    for cell in cells:
        energy_uj[cell.part] += cell.energy_uj
    found: dict[Factor, Applied] = {}
    for part in sorted(energy_uj):
        for _, factor, micro in schedule.rates(part).valid:
            before = found.get(factor, Applied(factor, micro, micro, 0))
            found[factor] = Applied(
                factor,
                min(before.low, micro),
                max(before.high, micro),
                before.energy_uj + energy_uj[part],
            )
    order = list(Quantity)
    return tuple(sorted(found.values(), key=lambda each: order.index(each.factor.quantity)))
