"""What one GPU used in a stretch of time, and which of these are wanted. See `reader`."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

from submeter.ledger.records import Gpu, Series


@dataclass(frozen=True, slots=True)
class Piece:
    """What one GPU used in [start_s, end_s)."""

    gpu: Gpu
    start_s: int
    end_s: int
    energy: tuple[tuple[Series, int], ...]  # µJ; each series once
    metered_ns: int = 0
    facts: Mapping[str, int] = field(default_factory=dict)
    exact: bool = True  # False: an edge is inside it

    @property
    def sum_uj(self) -> int:
        """All energy of the piece."""
        return sum(energy_uj for _, energy_uj in self.energy)


class Wanted(NamedTuple):
    """A stretch of time, and the moments in it that no piece may cross."""

    since_s: int
    until_s: int
    edges: tuple[int, ...]

    def has(self, start_s: int) -> bool:
        """Whether what begins then is wanted."""
        return self.since_s <= start_s < self.until_s

    def touches(self, piece: Piece) -> bool:
        """Whether anything of the piece may be wanted."""
        return piece.start_s < self.until_s and piece.end_s > self.since_s

    def cuts(self, piece: Piece, width_s: int) -> bool:
        """Whether every edge inside the piece is between two parts of that width."""
        first = bisect_right(self.edges, piece.start_s)
        return all(
            edge % width_s == piece.start_s % width_s
            for edge in takewhile(lambda edge: edge < piece.end_s, islice(self.edges, first, None))
        )

    def contains(self, piece: Piece) -> bool:
        """Whether the piece is between two neighbouring edges."""
        if not self.has(piece.start_s):
            return False
        after = bisect_right(self.edges, piece.start_s)
        return piece.end_s <= self.edges[after]
