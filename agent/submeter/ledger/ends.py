"""A ledger file and a GPU in; how far its chains had come at that moment out."""

import sqlite3

from submeter.ledger.book import Tip
from submeter.ledger.load import checked_open
from submeter.ledger.rows import LEVELS, TOP, Row, decode


class End:
    """How far the chains of a GPU had come, read in one transaction."""

    def __init__(self, connection: sqlite3.Connection, gpu: int) -> None:
        self.tips = [0] * len(LEVELS)
        self.covered = [0] * len(LEVELS)  # up to there, rows are in longer ones
        self.last: Row | None = None
        before = Tip(0, b"")
        for level in range(TOP, -1, -1):
            table = LEVELS[level].name
            found = connection.execute(
                f"SELECT seq, start_s, body, hash FROM {table} WHERE gpu = ? "  # noqa: S608
                "ORDER BY seq DESC LIMIT 1",
                (gpu,),
            ).fetchone()
            if found is None:
                continue
            self.tips[level] = found[0]
            row = decode(level, found[1], found[2])
            before = Tip(found[0], found[3])
            self.last = row
            if row.cover is not None:
                self.covered[level - 1] = row.cover.below
        self.open = self._open(connection, gpu, before)
        self.last = self.open or self.last

    def _open(self, connection: sqlite3.Connection, gpu: int, before: Tip) -> Row | None:
        found = connection.execute(
            "SELECT start_s, body, state, hash FROM open WHERE gpu = ?", (gpu,)
        ).fetchone()
        if found is None:
            return None
        if self.tips[0] == 0:
            return decode(0, found[0], found[1])
        return checked_open(before, gpu, found)
