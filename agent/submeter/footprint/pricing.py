"""Microjoules of a phase at a moment in, running totals of what they came to out.

The totals are handed to the ledger as counts, so they go on from one agent to the next.
"""

from collections.abc import Mapping
from typing import Final

from submeter.footprint.rates import DIVISORS, Factors, Rates
from submeter.model import Phase

PREFIX: Final = "footprint:"


class Pricer:
    """Owns the totals of this agent, as exact products. Used by one thread; ``factors`` may be
    replaced by another."""

    def __init__(self, factors: Factors) -> None:
        self.factors = factors
        self._sums: dict[tuple[str, str, Phase], int] = {}
        self._known: tuple[int, Factors, Rates, dict[str, int]] | None = None

    def add(self, phase: Phase, energy_uj: int, moment_s: int) -> None:
        """Prices an energy at what is valid then; what there is no factor for isn't counted."""
        rates, multipliers = self._at(moment_s)
        for kind, multiplier in multipliers.items():
            key = kind, rates.currency if kind == "cost_micro" else "", phase
            self._sums[key] = self._sums.get(key, 0) + energy_uj * multiplier

    def names(self) -> dict[str, int]:
        """The totals by name, whole units; from 0 on, so that a first step is seen."""
        found = dict.fromkeys(self._current(), 0) | self._sums
        return {
            f"{PREFIX}{kind}:{currency}:{phase}": amount // DIVISORS[kind]
            for (kind, currency, phase), amount in found.items()
        }

    def in_use(self) -> tuple[tuple[str, str, str, int], ...]:
        """The factors of the moment that was priced last: quantity, currency, source, value."""
        if self._known is None:
            return ()
        return tuple(
            (str(quantity), row.currency, row.source, micro)
            for quantity, row, micro in self._known[2].valid
        )

    def ages(self, moment_s: int) -> tuple[tuple[str, int], ...]:
        """Of factors that were measured: how many seconds ago that was."""
        if self._known is None:
            return ()
        return tuple(
            (str(quantity), max(0, moment_s - row.measured_s))
            for quantity, row, _ in self._known[2].valid
            if row.measured_s is not None
        )

    def _current(self) -> list[tuple[str, str, Phase]]:
        if self._known is None:
            return []
        _, _, rates, multipliers = self._known
        return [
            (kind, rates.currency if kind == "cost_micro" else "", phase)
            for kind in multipliers
            for phase in Phase
        ]

    def _at(self, moment_s: int) -> tuple[Rates, dict[str, int]]:
        known = self._known
        if known is None or known[0] != moment_s or known[1] is not self.factors:
            factors = self.factors
            rates = factors.at(moment_s)
            known = self._known = moment_s, factors, rates, rates.multipliers()
        return known[2], known[3]


def of_names(found: Mapping[str, int]) -> dict[tuple[str, str, str], int]:
    """Totals by kind, currency ("" but for costs) and phase, from their names."""
    totals = {}
    for name, amount in found.items():
        parts = name.split(":")
        if name.startswith(PREFIX) and len(parts) == 4 and parts[1] in DIVISORS:
            totals[parts[1], parts[2], parts[3]] = amount
    return totals
