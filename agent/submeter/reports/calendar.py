"""A stretch of time and a zone in, its local hours, days or months out.

A local day has 23, 24 or 25 hours (or 23.5, on Lord Howe Island), and an hour in which the clock
is changed may be shorter; together they always are the whole stretch, without gap or overlap. Hours
carry their offset, since one of them comes twice a year.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from submeter.errors import InputError
from submeter.reports.moments import Zone, day_start

UNITS: Final = ("hour", "day", "month")
"""Shortest first; each is made of whole ones of those before it."""

MOST: Final = 1_000_000
_S_PER: Final = {"hour": 3_600, "day": 86_400, "month": 28 * 86_400}


class Bucket(NamedTuple):
    """A local hour, day or month, as far as it is inside the stretch asked for."""

    start_s: int
    end_s: int
    hour: str  # 2026-03-29T03:00+02:00
    day: str  # 2026-03-29
    month: str  # 2026-03


def buckets(unit: str, since_s: int, until_s: int, where: Zone) -> list[Bucket]:
    """Every local ``unit`` of [since_s, until_s), in order. Raises InputError for too many."""
    if (until_s - since_s) // _S_PER[unit] > MOST:
        raise InputError(f"that would be more than {MOST:,} rows by {unit}: ask for less time")
    starts = [since_s]
    step = _STEPS[unit]
    while (following := step(starts[-1], where)) < until_s:
        starts.append(following)
    ends = [*starts[1:], until_s]
    return [
        _bucket(start, end, where) for start, end in zip(starts, ends, strict=True) if end > start
    ]


def timeline_unit(since_s: int, until_s: int) -> str:
    """What a plot of that stretch should have a bar for."""
    span_s = until_s - since_s
    return "hour" if span_s <= 3 * 86_400 else "day" if span_s <= 100 * 86_400 else "month"


def bucket_unit(asked: str | None, since_s: int, until_s: int, *, timeline: bool) -> str | None:
    """Of what buckets are to be: what was asked for, or a plot of that stretch needs if that is
    less; None where there is neither."""
    wanted = {asked, timeline_unit(since_s, until_s) if timeline else None}
    return next((unit for unit in UNITS if unit in wanted), None)


def edges(found: Sequence[Bucket]) -> list[int]:
    """The moments between them."""
    return [each.start_s for each in found[1:]]


def _bucket(start_s: int, end_s: int, where: Zone) -> Bucket:
    local = where.local(start_s).isoformat()
    hour = f"{local[:13]}:00{local[19:]}"  # no replace(minute=0): that may be of another offset
    return Bucket(start_s, end_s, hour, hour[:10], hour[:7])


def _next_hour(at_s: int, where: Zone) -> int:
    local = where.local(at_s)
    following = at_s + 3_600 - local.minute * 60 - local.second
    offset = local.utcoffset()
    if where.local(following - 1).utcoffset() == offset:
        return following
    before, after = at_s, following - 1  # the clock is changed in this hour
    while after - before > 1:
        middle = (before + after) // 2
        if where.local(middle).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _next_day(at_s: int, where: Zone) -> int:
    day = where.local(at_s).date() + timedelta(days=1)
    return max(day_start(day.year, day.month, day.day, where), at_s + 1)


def _next_month(at_s: int, where: Zone) -> int:
    local = where.local(at_s)
    year, month = divmod(local.year * 12 + local.month, 12)
    return day_start(year, month + 1, 1, where)


_STEPS: Final = {"hour": _next_hour, "day": _next_day, "month": _next_month}
