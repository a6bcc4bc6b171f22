"""Times as people write them and names of time zones in, moments out: seconds since 1970, UTC.

A date or time without an offset is of the report's time zone. A time that the clock shows twice,
when summer time ends, is the first of the two; one that it skips is no time.
"""

import os
import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from submeter.errors import InputError

ACCEPTED: Final = (
    "a date (2026-03-29), a month (2026-03), a time (2026-03-29T14:30, with +02:00 or Z if it is "
    "of another zone), now, today, yesterday, or how long ago: 24h, -24h, 7d (s, min, h, d, w)"
)
"""What `moment` takes, for error messages and help."""

_AGO: Final = re.compile(r"-?(\d{1,9})\s*(s|min|m|h|d|w)")
_SECONDS: Final = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_END_S: Final = 32_503_680_000  # the year 3000
_LOCALTIME: Final = Path("/etc/localtime")


class Zone(NamedTuple):
    """A time zone and what it is called."""

    name: str
    info: tzinfo

    def local(self, moment_s: int) -> datetime:
        """What the clock on the wall shows then."""
        return datetime.fromtimestamp(moment_s, self.info)


UTC_ZONE: Final = Zone("UTC", UTC)


def zone(name: str) -> Zone:
    """The time zone of that IANA name. Raises InputError where there is none."""
    if name.upper() in {"UTC", "ETC/UTC"}:
        return UTC_ZONE  # needs no database
    try:
        return Zone(name, ZoneInfo(name))
    except (KeyError, ValueError, OSError) as error:
        near = get_close_matches(name, sorted(available_timezones()), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(
            f"expected the name of a time zone, such as Europe/Berlin or UTC; found {name!r}{hint}",
            source="--tz",
        ) from error


def machine_zone() -> Zone:
    """The time zone this machine is set to; UTC where it doesn't say by name."""
    target = os.path.realpath(_LOCALTIME)
    for name in (os.environ.get("TZ", "").removeprefix(":"), target.partition("zoneinfo/")[2]):
        if name:
            try:
                return zone(name)
            except InputError:
                continue
    return UTC_ZONE


def moment(text: str, where: Zone, now_s: int, source: str) -> int:
    """The moment a text means. Raises InputError that says what is accepted."""
    try:
        if not (text.isascii() and text.isprintable()):
            raise ValueError("no such date or time")  # noqa: TRY301
        found = _relative(text.strip(), where, now_s)
        if found is None:
            found = _absolute(text.strip(), where)
        if not 0 <= found < _END_S:
            raise ValueError("that is not between 1970 and 2999")  # noqa: TRY301
    except (ValueError, OverflowError) as error:
        raise InputError(f"{text!r}: {error}; expected {ACCEPTED}", source=source) from error
    return found


def day_start(year: int, month: int, day: int, where: Zone) -> int:
    """The first moment of a local date: midnight, or what follows it where that is skipped."""
    naive = datetime(year, month, day)  # noqa: DTZ001  the zone is given to it below
    guess = int(naive.replace(tzinfo=where.info).timestamp())
    wanted = naive.date()
    before, after = guess - 1, guess
    if where.local(before).date() < wanted <= where.local(after).date():
        return guess
    before, after = guess - 50 * 3_600, guess + 50 * 3_600
    while after - before > 1:
        middle = (before + after) // 2
        if where.local(middle).date() < wanted:
            before = middle
        else:
            after = middle
    return after


def _relative(text: str, where: Zone, now_s: int) -> int | None:
    if text == "now":
        return now_s
    today = where.local(now_s).date()
    if text in {"today", "yesterday"}:
        day = today - timedelta(days=text == "yesterday")
        return day_start(day.year, day.month, day.day, where)
    ago = _AGO.fullmatch(text)
    if ago is None:
        return None
    return now_s - int(ago[1]) * _SECONDS[ago[2]]


def _absolute(text: str, where: Zone) -> int:
    if _MONTH.fullmatch(text):
        text += "-01"
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(_why(error)) from error
    if not 1970 <= value.year < 3_000:
        raise ValueError("that is not between 1970 and 2999")
    if value.tzinfo is not None:
        return int(value.timestamp())
    if value.time() == time():
        return day_start(value.year, value.month, value.day, where)
    found = int(value.replace(tzinfo=where.info).timestamp())
    if where.local(found).replace(tzinfo=None, fold=0) != value.replace(microsecond=0):
        raise ValueError(f"the clocks of {where.name} skip that time")
    return found


def _why(error: ValueError) -> str:
    known = str(error)
    return known if "range" in known else "no such date or time"
