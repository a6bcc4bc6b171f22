"""What agents counted beside energy in, totals that go on from one agent to the next out.

Counts are kept by group, which is a GPU's UUID, or "" for the agent itself, and by name. Like
energy, they are shown when they are safely in the ledger.
"""

import json
from collections.abc import Mapping
from typing import Final

from submeter.ledger.rows import NONSENSE, BadRow, canonical

PREFIX: Final = "counts."
"""Of the note's name; the rest is the backend, since a simulated node counts for itself."""

Table = dict[str, dict[str, int]]


class Counts:
    """Owns the totals. ``take`` gets what something has counted since it was made: when it is made
    anew and begins at 0, the total goes on all the same."""

    def __init__(self, totals: Mapping[str, Mapping[str, int]]) -> None:
        self.totals: Table = {group: dict(counts) for group, counts in totals.items()}
        self._seen: Table = {}
        self._copy: Table | None = None  # of now

    def take(self, group: str, counted: Mapping[str, int]) -> None:
        """Adds what was counted since the last time."""
        self._copy = None
        totals = self.totals.setdefault(group, {})
        seen = self._seen.setdefault(group, {})
        for name, amount in counted.items():
            before = seen.get(name)
            if before != amount:  # most don't change between two looks
                seen[name] = amount
                gained = amount - before if before is not None and amount >= before else amount
                totals[name] = totals.get(name, 0) + gained

    def copy(self) -> Table:
        """The totals, not to change with these."""
        if self._copy is None:
            self._copy = {group: counts.copy() for group, counts in self.totals.items()}
        return self._copy


def counts_text(totals: Table) -> str:
    """Totals as they are stored."""
    return canonical(totals).decode()


def parse_counts(text: str) -> Table:
    """Totals from what was stored. Raises BadRow."""
    try:
        return {
            str(group): {str(name): int(amount) for name, amount in counts.items()}
            for group, counts in json.loads(text).items()
        }
    except NONSENSE as error:
        raise BadRow(f"unreadable counts: {error}") from error
