"""Factors in, the ones valid at a moment out, and what so many microjoules then come to.

    facility energy   E · PUE
    carbon            E · PUE · g/kWh               (PUE 1 where nobody has said one)
    water             E · WUE + E · PUE · WUE(source)
    cost              E · PUE · price

PUE: ISO/IEC 30134-2. WUE is per kWh of the IT equipment, its source part per kWh that the site
draws: The Green Grid, white paper 35 (2011). Amounts are kept as products of integers and divided
once, at the end, so that any partition of the energy gives the same sum.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from submeter.footprint.factors import MILLION, Factor, Quantity

_UJ_PER_KWH: Final = 3_600_000_000_000
KINDS: Final = ("facility_uj", "carbon_ug", "water_ul", "cost_micro")
"""The amounts, in the unit of their name: µJ, µg, µL, millionths of a currency."""

DIVISORS: Final = {
    "facility_uj": MILLION,
    "carbon_ug": MILLION * _UJ_PER_KWH,
    "water_ul": MILLION * _UJ_PER_KWH,
    "cost_micro": MILLION * _UJ_PER_KWH,
}


class Rates(NamedTuple):
    """What is valid at one moment."""

    valid: tuple[tuple[Quantity, Factor, int], ...] = ()  # with its value then

    def value(self, quantity: Quantity) -> int | None:
        """The factor's millionths; None where there is none."""
        return next((micro for which, _, micro in self.valid if which is quantity), None)

    @property
    def currency(self) -> str:
        """Of the price."""
        return next((row.currency for which, row, _ in self.valid if which is Quantity.PRICE), "")

    def multipliers(self) -> dict[str, int]:
        """By kind of amount: times µJ, divided by `DIVISORS`, it is the amount. What there is no
        factor for isn't there."""
        pue = self.value(Quantity.PUE)
        drawn = MILLION if pue is None else pue
        carbon, price = self.value(Quantity.CARBON), self.value(Quantity.PRICE)
        site, source = self.value(Quantity.WUE), self.value(Quantity.WUE_SOURCE)
        found: dict[str, int] = {}
        if pue is not None:
            found["facility_uj"] = pue
        if carbon is not None:
            found["carbon_ug"] = drawn * carbon
        if site is not None or source is not None:
            found["water_ul"] = MILLION * (site or 0) + drawn * (source or 0)
        if price is not None:
            found["cost_micro"] = drawn * price
        return found


class Factors(NamedTuple):
    """All rows that are known, the most binding layer first; within one the last row wins."""

    layers: tuple[tuple[Factor, ...], ...] = ()

    def at(self, moment_s: int) -> Rates:
        """What is valid then."""
        valid = []
        for quantity in Quantity:
            row = self._row(quantity, moment_s)
            if row is not None:
                valid.append((quantity, row, row.micro_at(moment_s)))
        return Rates(tuple(valid))

    def edges(self, since_s: int, until_s: int) -> list[int]:
        """Every moment inside the stretch at which something may change, in order."""
        found: set[int] = set()
        for row in self._rows():
            found.update(edge for edge in (row.from_s, row.until_s) if edge is not None)
            if row.week is not None:
                begin = since_s if row.from_s is None else max(since_s, row.from_s)
                end = until_s if row.until_s is None else min(until_s, row.until_s)
                if begin < end:
                    found.update(row.week.edges(begin, end))
        return sorted(edge for edge in found if since_s < edge < until_s)

    def _rows(self) -> Iterable[Factor]:
        return (row for layer in self.layers for row in layer)

    def _row(self, quantity: Quantity, moment_s: int) -> Factor | None:
        for layer in self.layers:
            for row in reversed(layer):
                if row.quantity is quantity and row.is_valid(moment_s):
                    return row
        return None


NO_FACTORS: Final = Factors()


class Schedule:
    """Factors over a stretch of time: which part a moment is in, and the rates of a part."""

    def __init__(self, factors: Factors, since_s: int, until_s: int) -> None:
        self.factors = factors
        self.edges = factors.edges(since_s, until_s)
        self._since_s = since_s
        self._rates: dict[int, Rates] = {}

    def part(self, moment_s: int) -> int:
        """The number of the part between two edges that a moment is in."""
        return bisect_right(self.edges, moment_s)

    def rates(self, part: int) -> Rates:
        """What is valid in a part."""
        if part not in self._rates:
            moment_s = self.edges[part - 1] if part else self._since_s
            self._rates[part] = self.factors.at(moment_s)
        return self._rates[part]


def rounded(numerators: Sequence[int], divisor: int) -> list[int]:
    """Amounts as integers that sum to the rounded whole: the largest remainders get the units
    left over, so each is within 1 of what it is exactly. Corrections may be negative."""
    shares = [divmod(numerator, divisor) for numerator in numerators]
    amounts = [amount for amount, _ in shares]
    left = whole(sum(numerators), divisor) - sum(amounts)
    by_need = sorted(range(len(shares)), key=lambda at: (-shares[at][1], at))
    for at in by_need[:left]:
        amounts[at] += 1
    return amounts


def whole(numerator: int, divisor: int) -> int:
    """One amount, rounded to the nearest."""
    return (2 * numerator + divisor) // (2 * divisor)
