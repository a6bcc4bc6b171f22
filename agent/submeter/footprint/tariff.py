"""Prices by hour of the week in, the price of a moment and the moments of change out.

The hours are those of the clock on the wall: of an hour that comes twice in the night when summer
time ends, both are priced as the clock shows, and what is skipped in spring is never used.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

DAY: Final = 24 * 60
WEEK: Final = 7 * DAY
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Span(NamedTuple):
    """Minutes of the week, from Monday 00:00; the end is not included."""

    start: int
    end: int
    micro: int


class Week(NamedTuple):
    """A whole week of prices in a time zone, without gap or overlap: see `week`."""

    zone: str
    spans: tuple[Span, ...]

    def micro_at(self, moment_s: int) -> int:
        """The price of a moment."""
        local = datetime.fromtimestamp(moment_s, zone_of(self.zone))
        minute = local.weekday() * DAY + local.hour * 60 + local.minute
        return self.spans[bisect_right(self.spans, minute, key=lambda span: span.start) - 1].micro

    def edges(self, since_s: int, until_s: int) -> Iterator[int]:
        """Every moment inside the stretch at which the price may change, in no order."""
        zone = zone_of(self.zone)
        day = datetime.fromtimestamp(since_s, zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(until_s, zone).date() + timedelta(days=1)
        starts = [divmod(span.start, DAY) for span in self.spans]
        while day <= last:
            found = [
                _moment(day, minute, zone, fold)
                for weekday, minute in starts
                if weekday == day.weekday()
                for fold in (0, 1)
            ]
            found += _change(day, zone)
            yield from (moment for moment in found if since_s < moment < until_s)
            day += timedelta(days=1)


def week(zone: str, spans: Sequence[Span]) -> Week:
    """A week of these prices. Raises ValueError for a gap or an overlap, and says where."""
    ordered = sorted(spans)
    at = 0
    for span in ordered:
        if span.start > at:
            raise ValueError(f"no price from {clock(at)} to {clock(span.start)}")
        if span.start < at:
            raise ValueError(f"two prices from {clock(span.start)} to {clock(min(at, span.end))}")
        at = span.end
    if at < WEEK:
        raise ValueError(f"no price from {clock(at)} to {clock(WEEK)}")
    return Week(zone, tuple(ordered))


def clock(minute: int) -> str:
    """A minute of the week for people: ``fri 22:00``."""
    day, rest = divmod(minute, DAY)
    return "the end of sun" if day == len(DAYS) else f"{DAYS[day]} {rest // 60:02d}:{rest % 60:02d}"


def zone_of(name: str) -> tzinfo:
    """The time zone. Raises ValueError where there is none of that name."""
    if name == "UTC":
        return UTC  # needs no database
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name[:40]!r}") from error


def _moment(day: date, minute: int, zone: tzinfo, fold: int) -> int:
    at = time(minute // 60, minute % 60, tzinfo=zone, fold=fold)
    return int(datetime.combine(day, at).timestamp())


def _change(day: date, zone: tzinfo) -> list[int]:
    """When the clock is changed on that day, if it is."""
    before, after = _moment(day, 0, zone, 0), _moment(day + timedelta(days=1), 0, zone, 0)
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    if datetime.fromtimestamp(after, zone).utcoffset() == offset:
        return []
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return [after]
