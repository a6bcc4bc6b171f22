"""How long each resolution is kept: rows that are too old go, once longer rows cover them.

Their energy stays to the microjoule in the rows that cover them, and so does the hash of the last
one that went, from which the chain of those that are left is checked. Days are kept for ever.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from submeter.ledger.records import Commit
from submeter.ledger.rows import LEVELS, TOP, BadRow, Cover, decode

_ALL: Final = 1 << 62
_S_PER_DAY: Final = 86_400
_AT_ONCE: Final = 10
"""Covering rows whose rows go in one commit: more than come, so that shortening a time limit is
caught up with, and few enough that no commit takes long."""


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days rows of tens, minutes and hours are kept."""

    tens_days: float = 3
    minute_days: float = 35
    hour_days: float = 400

    def seconds(self, level: int) -> float:
        """How long rows of a level are kept."""
        return (self.tens_days, self.minute_days, self.hour_days)[level] * _S_PER_DAY


class Retention:
    """Remembers how far each chain was shortened already."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._next: dict[tuple[int, int], int] = {}  # (GPU, level) → the next covering row to try

    def prune(self, connection: sqlite3.Connection, commit: Commit) -> None:
        """Within the commit's transaction, and only after a covering row was added to."""
        for sealed in commit.sealed:
            if sealed.level:
                self._shorten(connection, sealed.gpu, sealed.level - 1, commit.now_s)

    def _shorten(self, connection: sqlite3.Connection, gpu: int, level: int, now_s: int) -> None:
        above = LEVELS[level + 1]
        before_s = now_s - self._keep.seconds(level) - above.width_s
        upper = self._next.get((gpu, level)) or _first(connection, gpu, level)
        query = f"SELECT start_s, body FROM {above.name} WHERE gpu = ? AND seq = ?"  # noqa: S608
        # the row before the one that covers the oldest row below vouches for the hash of that
        most = _first(connection, gpu, level - 1) - 2 if level else _ALL
        covered = 0
        for _ in range(_AT_ONCE):
            found = connection.execute(query, (gpu, upper)).fetchone()
            if found is None or found[0] > before_s:
                break
            below = _cover(level + 1, *found).below
            if below > most:
                break
            covered = below
            upper += 1
        self._next[gpu, level] = upper
        if covered:
            table = LEVELS[level].name
            connection.execute(f"DELETE FROM {table} WHERE gpu = ? AND seq <= ?", (gpu, covered))  # noqa: S608


def _first(connection: sqlite3.Connection, gpu: int, level: int) -> int:
    """The number of the row that covers the oldest row of a level which is still there, or will
    cover it."""
    lower, table = LEVELS[level].name, LEVELS[level + 1].name
    oldest = connection.execute(f"SELECT min(seq) FROM {lower} WHERE gpu = ?", (gpu,)).fetchone()[0]  # noqa: S608
    low, high = connection.execute(
        f"SELECT min(seq), max(seq) FROM {table} WHERE gpu = ?",  # noqa: S608
        (gpu,),
    ).fetchone()
    if oldest is None or low is None:
        return low or 1
    query = f"SELECT start_s, body FROM {table} WHERE gpu = ? AND seq = ?"  # noqa: S608
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(query, (gpu, middle)).fetchone()
        if found is None or _cover(level + 1, *found).below < oldest:
            low = middle + 1
        else:
            high = middle
    last = connection.execute(query, (gpu, low)).fetchone()
    first: int = low if _cover(level + 1, *last).below >= oldest else low + 1
    return first


def _cover(level: int, start_s: int, body: bytes) -> Cover:
    cover = decode(level, start_s, body).cover
    if cover is None or not 0 < level <= TOP:
        raise BadRow(f"{LEVELS[level].name}: a row that covers nothing")
    return cover
