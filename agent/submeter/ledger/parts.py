"""What can be proved of one GPU in, rows in order that add up to all that was booked out.

Rows of tens are taken as they are. Where some are missing, the row of minutes that covers them
still knows their sum: what exceeds those that are left is a row of its own, and so on up to days,
and to the totals that every row carries.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from submeter.ledger.remains import GpuRemains, Proved, Remains
from submeter.ledger.rows import TOP, Row, add_all


class Part(NamedTuple):
    """A row for the new ledger and which rows of tens of the old one it stands for."""

    first: int
    last: int
    row: Row


_FIRST: Final = attrgetter("first")


def parts(remains: Remains, one: GpuRemains, lost: int) -> Iterator[Part]:
    """Rows in order that add up to everything that was booked before the open row. What is
    nobody's has series ``lost``."""
    known_uj, last = 0, 0
    for group in remains.groups(one.gpu.id):
        for part in _of_group(group):
            known_uj += part.row.sum_uj
            last = part.last
            yield part
    ends = one.all_ends()
    booked_uj = max((row.total_uj for row in ends), default=0)
    if one.open is not None:
        booked_uj = one.open.total_uj - one.open.sum_uj
    if booked_uj > known_uj:
        newest = max(ends, key=lambda row: row.total_uj)
        row = like(newest, newest.start_s)
        row.energy_uj = {lost: booked_uj - known_uj}
        yield Part(last, 1 << 62, row)


def like(row: Row, start_s: int) -> Row:
    """An empty row of the same end."""
    return Row(
        start_s, row.session, row.epoch, row.end_wall_ns, row.end_ns, counter_uj=row.counter_uj
    )


def _of_group(group: list[tuple[Proved, Row]]) -> list[Part]:
    """The parts of a day, or of as much as is known of it."""
    found = [Part(proved.seq, proved.seq, row) for proved, row in group if proved.level == 0]
    for level in range(1, TOP + 1):
        covering = [row for proved, row in group if proved.level == level]
        rest = [part for row in covering for part in _rest(row, found)]
        found = sorted([*found, *rest], key=lambda part: (part.first, part.last))
    return found


def _rest(row: Row, parts: list[Part]) -> Iterator[Part]:
    """What a covering row knows that is in none of the parts it covers."""
    assert row.cover is not None
    first, last = row.cover.first, row.cover.last
    rest = like(row, row.start_s)
    rest.metered_ns = row.metered_ns
    add_all(rest.energy_uj, row.energy_uj)
    add_all(rest.facts, row.facts)
    start = bisect_left(parts, first, key=_FIRST)
    for part in parts[start : bisect_right(parts, last, key=_FIRST)]:
        rest.metered_ns -= part.row.metered_ns
        for series, energy_uj in part.row.energy_uj.items():
            rest.energy_uj[series] = rest.energy_uj.get(series, 0) - energy_uj
        for name, amount in part.row.facts.items():
            rest.facts[name] = rest.facts.get(name, 0) - amount
    if any(rest.energy_uj.values()) or any(rest.facts.values()):
        yield Part(first, last, rest)
