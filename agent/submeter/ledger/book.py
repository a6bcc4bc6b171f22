"""One GPU's energy in, finished rows of its history out: sealing and roll-up, without any I/O."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from submeter.ledger.growing import Growing
from submeter.ledger.rows import LEVELS, TOP, Cover, Row, Sealed, encode, link
from submeter.units import NS_PER_S

SYNCED_FROM_S: Final = 1_735_689_600
"""2025-01-01: a wall clock that shows less was not set yet (boards without a battery begin at
1970)."""


class Tip(NamedTuple):
    """The end of a chain."""

    seq: int
    hash: bytes


@dataclass(slots=True)
class _Rollup:
    """A row of minutes, hours or days that is not over yet."""

    row: Growing
    first: int  # of the tens in it
    last: int
    below: Tip  # the last row of the level below in it


class Book:
    """Owns the open row of one GPU and the open roll-ups above it. Used by one thread."""

    def __init__(self, gpu: int, tips: tuple[Tip, ...], total_uj: int = 0) -> None:
        """``tips``: the ends of its chains, by level."""
        self.gpu = gpu
        self.tips = list(tips)
        self.total_uj = total_uj
        self.open: Row | None = None
        self.width_s = LEVELS[0].width_s  # of the next rows
        self._rollups: list[_Rollup | None] = [None] * len(LEVELS)

    def add(self, entry: Row) -> list[Sealed]:
        """Books what was used just before ``entry.end_wall_ns``; gives the rows that this ends.

        The entry's amounts, facts and time are added to the open row, unless the wall clock says
        that a new one has begun.
        """
        start_s = (entry.end_wall_ns - 1) // NS_PER_S // self.width_s * self.width_s
        sealed: list[Sealed] = []
        if self.open is not None and self.open.start_s != start_s:
            sealed = self.seal()
        self.total_uj += entry.sum_uj
        entry.total_uj = self.total_uj
        if self.open is None:
            entry.start_s = start_s
            if start_s < SYNCED_FROM_S:
                entry.facts["clock_unsynced"] = 1
            self.open = entry
        else:
            self.open.merge(entry)
        return sealed

    def append(self, row: Row) -> list[Sealed]:
        """Books a row that is finished already, as one of an older file, under its own label."""
        self.total_uj += row.sum_uj
        row.total_uj = self.total_uj
        row.cover = None
        sealed = [self._seal(0, row)]
        self.roll_up(0, self.tips[0], row, sealed)
        return sealed

    def seal(self) -> list[Sealed]:
        """Ends the open row; gives it, and every roll-up that ends with it."""
        row, self.open = self.open, None
        if row is None:
            return []
        sealed = [self._seal(0, row)]
        self.roll_up(0, self.tips[0], row, sealed)
        return sealed

    def roll_up(self, level: int, tip: Tip, row: Row, sealed: list[Sealed]) -> None:
        """Adds a sealed row to the open roll-up above it, ending the one before where its time
        is over. Also rebuilds the open roll-ups from stored rows that none covers yet."""
        above = level + 1
        if above > TOP:
            return
        start_s = above_s(level, row.start_s)
        rollup = self._rollups[above]
        if rollup is not None and rollup.row.start_s != start_s:
            ended = rollup.row.whole()
            ended.cover = Cover(rollup.first, rollup.last, *rollup.below)
            sealed.append(self._seal(above, ended))
            self.roll_up(above, self.tips[above], ended, sealed)
            rollup = None
        first, last = (tip.seq, tip.seq) if row.cover is None else row.cover[:2]
        if rollup is None:
            rollup = self._rollups[above] = _Rollup(Growing(above, start_s), first, last, tip)
        rollup.row.add(row)
        rollup.last, rollup.below = last, tip

    def _seal(self, level: int, row: Row) -> Sealed:
        before = self.tips[level]
        seq = before.seq + 1
        sealed = Sealed(level, self.gpu, seq, row.start_s, encode(row))
        digest = link(before.hash, sealed)
        self.tips[level] = Tip(seq, digest)
        return sealed._replace(hash=digest)


def above_s(level: int, start_s: int) -> int:
    """The label of the longer row that a row is added to. All rows of a level that none covers yet
    have the same one, since the first row of another ends it."""
    width_s = LEVELS[level + 1].width_s
    return start_s // width_s * width_s
