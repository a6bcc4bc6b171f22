"""Cells of a log to integers and times: "397.30 W" to 397300 mW, "2023/07/14 10:12:46.483" to ns.

Pure and exact: no float is involved. What can't be read raises ValueError with what was expected.
"""

import functools
import re
from datetime import date
from decimal import Decimal, DecimalException
from typing import Final

from submeter.trace.importers.columns import UNITS
from submeter.units import NS_PER_S

_NO_VALUE: Final = frozenset(
    {"", "-", "n/a", "na", "nan", "none", "null", "not supported", "unknown error", "inf"}
)
_NUMBER: Final = re.compile(r"([+-]?(?:\d[\d']*)?(?:[.,]\d+)?(?:[eE][+-]?\d{1,2})?)\s*([^\d\s]*)")
_DATE: Final = re.compile(
    r"(\d{4})[-/](\d\d?)[-/](\d\d?)[T ]+(\d\d?):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
    r"\s*(Z|UTC|[+-]\d\d:?\d\d)?"
)
_DAY_FIRST: Final = re.compile(  # only with dots: with slashes nobody knows which comes first
    r"(\d\d?)\.(\d\d?)\.(\d{4})[T ]+(\d\d?):(\d\d):(\d\d)(?:[.,](\d{1,9}))?()"
)
_EPOCH: Final = re.compile(r"(\d{1,20})(?:[.,](\d{1,9})\d*)?")
_SECONDS_BELOW: Final = 10**11  # year 5138: a larger epoch is in ms, then µs, then ns
_DATED_FROM_S: Final = 10**8  # 1973: a smaller "epoch" counts from the start of the log
_UNIX_DAY_ONE: Final = date(1970, 1, 1).toordinal()
DATE_EXPECTED: Final = "a date like 2023/07/14 10:12:46.483, ISO 8601, or seconds since 1970"


def is_missing(text: str) -> bool:
    """True for every way to say that there is no value: "[N/A]", "N/A", "[Unknown Error]", ""."""
    return text.startswith("[") or text.lower() in _NO_VALUE


def parse_value(text: str, unit: str) -> int | None:
    """A number in the inner unit, rounded; None for "no value".

    ``unit`` (of `UNITS`, or "") applies where the cell carries none; the cell's own unit wins.
    """
    if is_missing(text):
        return None
    match = _NUMBER.fullmatch(text)
    if match is None or not match[1]:
        raise ValueError(f"found {text[:40]!r}, expected a number")
    own = match[2].lower().removeprefix("°")
    scale = UNITS.get(own or unit)
    if scale is None:
        raise ValueError(f"found the unit {match[2][:20]!r}, expected {unit or 'none'}")
    try:
        return round(Decimal(match[1].replace(",", ".").replace("'", "")) * scale)
    except DecimalException:
        raise ValueError(f"found {text[:40]!r}, expected a number") from None


def parse_time(text: str, unit: str) -> tuple[int, bool]:
    """Nanoseconds, and whether they count from 1970 (True) or from the start of the log (False).

    Dates without a zone are taken as UTC. ``unit`` is that of an epoch, "" to tell by its size.
    """
    match = _DATE.fullmatch(text)
    if match is not None:
        return _from_date(match, *match.group(1, 2, 3)), True
    epoch = _EPOCH.fullmatch(text)
    if epoch is not None:
        return _from_epoch(epoch, unit)
    match = _DAY_FIRST.fullmatch(text)
    if match is not None:
        return _from_date(match, *match.group(3, 2, 1)), True
    raise ValueError(f"found {text[:40]!r}, expected {DATE_EXPECTED}")


def has_zone(text: str) -> bool:
    """Whether a time says which zone it is in; epochs do by definition."""
    match = _DATE.fullmatch(text)
    return bool(match[8]) if match is not None else _DAY_FIRST.fullmatch(text) is None


def day_ns(year: int, month: int, day: int) -> int:
    """Midnight UTC of a day, in ns since 1970. Raises ValueError for a day that never was."""
    return (date(year, month, day).toordinal() - _UNIX_DAY_ONE) * 86_400 * NS_PER_S


def clock_ns(hour: str, minute: str, second: str, fraction: str | None) -> int:
    """Nanoseconds since midnight."""
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second)
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


@functools.lru_cache(maxsize=16)
def _midnight(year: str, month: str, day: str) -> int:
    try:
        return day_ns(int(year), int(month), int(day))
    except ValueError:
        raise ValueError(f"found {year}-{month}-{day}, expected {DATE_EXPECTED}") from None


def _from_date(match: re.Match[str], year: str, month: str, day: str) -> int:
    hour, minute, second, fraction, zone = match.group(4, 5, 6, 7, 8)
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        raise ValueError(f"found {match[0]!r}, expected {DATE_EXPECTED}")
    at_ns = _midnight(year, month, day) + clock_ns(hour, minute, second, fraction)
    if zone in (None, "", "Z", "UTC"):
        return at_ns
    digits = zone[1:].replace(":", "")
    offset_ns = (int(digits[:2]) * 60 + int(digits[2:])) * 60 * NS_PER_S
    return at_ns - offset_ns if zone[0] == "+" else at_ns + offset_ns


def _from_epoch(match: re.Match[str], unit: str) -> tuple[int, bool]:
    whole = int(match[1])
    scale = UNITS[unit] if unit else _scale_of(whole)
    fraction = (match[2] or "").ljust(9, "0")
    at_ns = whole * scale + int(fraction) * scale // NS_PER_S
    return at_ns, at_ns >= _DATED_FROM_S * NS_PER_S


def _scale_of(whole: int) -> int:
    scale = NS_PER_S
    while whole >= _SECONDS_BELOW and scale > 1:
        whole //= 1_000
        scale //= 1_000
    return scale
