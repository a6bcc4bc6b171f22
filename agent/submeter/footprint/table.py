"""A TOML file of factors in, its rows out; or the error that says which one is wrong.

    [[carbon_g_per_kwh]]
    from = 2026-01-01
    value = 363
    source = "UBA, Climate Change 33/2026"

    [[price]]
    time_zone = "Europe/Berlin"
    currency = "EUR"
    source = "contract 4711"
    hours = [
        { days = "mon-fri", from = "06:00", to = "22:00", value = 0.31 },
        { days = "mon-fri", from = "22:00", to = "06:00", value = 0.22 },
        { days = "sat-sun", value = 0.22 },
    ]

``from`` and ``until`` (not included) are dates in UTC, or times with an offset.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from submeter.errors import InputError
from submeter.footprint.factors import NO_CURRENCY, Factor, Quantity, currency, micro
from submeter.footprint.tariff import DAY, DAYS, WEEK, Span, Week, week, zone_of

MOST_BYTES: Final = 4 << 20
_KEYS: Final = frozenset({"from", "until", "value", "source"})
_PRICE_KEYS: Final = _KEYS | {"currency", "time_zone", "hours"}
_HOUR_KEYS: Final = frozenset({"days", "from", "to", "value"})
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


def read_table(path: Path) -> tuple[Factor, ...]:
    """The rows of a file, in order. Raises InputError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"expected at most {MOST_BYTES} bytes", source=str(path))
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", source=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not valid TOML: {error}", source=str(path)) from error
    return tuple(_rows(document, str(path)))


def _rows(document: Mapping[str, Any], source: str) -> Iterator[Factor]:
    for name, tables in document.items():
        if name not in set(Quantity):
            known = ", ".join(f"[[{quantity}]]" for quantity in Quantity)
            raise InputError(f"unknown {name[:40]!r}; expected {known}", source=source)
        if not isinstance(tables, list):
            raise InputError(f"expected tables [[{name}]]", source=source)
        quantity = Quantity(name)
        found: list[Factor] = []
        for number, table in enumerate(tables, 1):
            try:
                found.append(_row(quantity, table))
            except (ValueError, InputError) as error:
                raise InputError(f"[[{name}]] number {number}: {error}", source=source) from error
        _check_overlap(found, source)
        yield from found


def _row(quantity: Quantity, table: object) -> Factor:
    is_price = quantity is Quantity.PRICE
    found = _known(table, _PRICE_KEYS if is_price else _KEYS)
    source = found.get("source")
    if not isinstance(source, str) or not source or not source.isprintable():
        raise ValueError("every factor needs its source, a text")
    from_s, until_s = _moment(found.get("from")), _moment(found.get("until"))
    if from_s is not None and until_s is not None and from_s >= until_s:
        raise ValueError("until must be after from")
    prices = _week(found) if "hours" in found else None
    if prices is not None and "value" in found:
        raise ValueError("a price has a value or hours, not both")
    value = 0 if prices is not None else micro(quantity, found.get("value"))
    code = currency(str(found.get("currency", NO_CURRENCY)), "currency") if is_price else ""
    return Factor(
        quantity, value, source, str(found.get("from", "")), from_s, until_s, code, prices
    )


def _known(table: object, keys: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(table, dict):
        raise ValueError("expected a table")  # noqa: TRY004  for the user it is one error
    for key in table:
        if key not in keys:
            raise ValueError(f"unknown key {key[:40]!r}; known are {', '.join(sorted(keys))}")
    return table


def _moment(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs its offset, as 2026-03-29T00:00:00+01:00")
        return int(value.timestamp())
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
    raise ValueError("from and until are dates or times, without quotes")


def _check_overlap(rows: list[Factor], source: str) -> None:
    """Of two rows of one moment nobody could say which is meant."""
    begin = sorted(rows, key=lambda row: -1 if row.from_s is None else row.from_s)
    for one, other in pairwise(begin):
        if other.from_s is None or one.until_s is None:
            # an open end means: until the next one begins
            if other.from_s is None or other.from_s == one.from_s:
                raise InputError(f"two [[{one.quantity}]] from the same moment on", source=source)
        elif other.from_s < one.until_s:
            raise InputError(
                f"two [[{one.quantity}]] overlap: {one.source!r} and {other.source!r}",
                source=source,
            )


def _week(table: Mapping[str, Any]) -> Week:
    zone = table.get("time_zone")
    if not isinstance(zone, str):
        raise ValueError("prices by the hour need time_zone, such as Europe/Berlin")  # noqa: TRY004
    zone_of(zone)
    hours = table["hours"]
    if not isinstance(hours, list) or not hours:
        raise ValueError("hours must be a list of tables")
    return week(zone, [span for each in hours for span in _spans(each)])


def _spans(table: object) -> Iterator[Span]:
    found = _known(table, _HOUR_KEYS)
    value = micro(Quantity.PRICE, found.get("value"))
    start, end = _clock(found.get("from", "00:00")), _clock(found.get("to", "24:00"))
    for day in _days(found.get("days", "mon-sun")):
        begin = day * DAY + start
        finish = day * DAY + end if end > start else (day + 1) * DAY + end
        yield Span(begin, min(finish, WEEK), value)
        if finish > WEEK:  # from Sunday evening into Monday
            yield Span(0, finish - WEEK, value)


def _clock(text: object) -> int:
    match = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f'a time is "HH:MM", found {str(text)[:20]!r}')
    return DAY if match[1] is None else int(match[1]) * 60 + int(match[2])


def _days(text: object) -> list[int]:
    first, dash, last = str(text).partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError(f'days are "mon-fri" or "sun", found {str(text)[:20]!r}')
    begin = DAYS.index(first)
    count = (DAYS.index(last) - begin) % 7 + 1 if dash else 1
    return [(begin + at) % 7 for at in range(count)]
