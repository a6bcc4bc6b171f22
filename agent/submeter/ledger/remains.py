"""What is proved of a damaged ledger: who, and the rows, a day at a time."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from submeter.ledger.records import Gpu, Series, Session
from submeter.ledger.rows import LEVELS, Row, decode


class Proved(NamedTuple):
    """A row, and the rows of tens that it is of, from the first to the last."""

    level: int
    seq: int
    first: int
    last: int


@dataclass(slots=True)
class GpuRemains:
    """What can be proved of one GPU, beside its rows."""

    gpu: Gpu
    ends: list[Row] = field(default_factory=list)  # the last row of each level
    open: Row | None = None
    state: str = ""

    def all_ends(self) -> list[Row]:
        """With the open one."""
        return self.ends if self.open is None else [*self.ends, self.open]


@dataclass(slots=True)
class Remains:
    """What can be proved of a file, taken for one ledger's."""

    readable: sqlite3.Connection
    claim: int = 0
    gpus: list[GpuRemains] = field(default_factory=list)
    series: dict[int, Series] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)  # notes by name
    rows: int = 0
    bad: int = 0  # rows that were there and can't be proved

    def groups(self, gpu: int) -> Iterator[list[tuple[Proved, Row]]]:
        """The rows of a GPU in order, each with all that it covers: a day's at a time, since more
        would be too much at once."""
        query = (
            "SELECT level, seq, first, last FROM proved WHERE claim = ? AND gpu = ? "
            "ORDER BY first, level DESC"
        )
        group: list[tuple[Proved, Row]] = []
        end = -1
        for found in self.readable.execute(query, (self.claim, gpu)):
            proved = Proved(*found)
            if proved.first > end and group:
                yield group
                group = []
            end = max(end, proved.last)
            group.append((proved, self._row(gpu, proved)))
        if group:
            yield group

    def _row(self, gpu: int, proved: Proved) -> Row:
        table = LEVELS[proved.level].name
        query = f"SELECT start_s, body FROM {table} WHERE gpu = ? AND seq = ?"  # noqa: S608
        return decode(proved.level, *self.readable.execute(query, (gpu, proved.seq)).fetchone())
