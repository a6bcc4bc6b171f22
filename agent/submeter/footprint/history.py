"""Factors that agents use in, a file of versions out, and back: what was valid when.

One JSON object a line, only ever added to:

    {"noted_s": T, "factors": [row…]}    what the configuration said, from T on
    {"noted_s": T, "live": row}          the carbon intensity that was asked for at T

A version is in effect until the next one. So a changed configuration changes nothing before it.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.errors import InputError
from submeter.footprint.factors import LIMITS, MILLION, Factor, Quantity
from submeter.footprint.tariff import Span, Week, week, zone_of

FILE: Final = "factors.jsonl"
ROW_S: Final = 10
"""The ledger's shortest rows: a factor begins with one, so that none is of two factors."""


class _Version(NamedTuple):
    noted_s: int
    rows: tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The rows that could be read, each with the time it was in effect, the last one binding; and
    how many lines could not be read."""

    rows: tuple[Factor, ...] = ()
    unreadable: int = 0


def read_history(directory: Path) -> History:
    """What is in a state directory. A line that makes no sense is counted, and no factor.
    Raises InputError where the file can't be read at all."""
    versions, live, unreadable = _read(directory / FILE)
    rows: list[Factor] = []
    for version, following in pairwise([*versions, None]):
        assert version is not None
        end_s = None if following is None else following.noted_s
        rows += filter(None, (_within(row, version.noted_s, end_s) for row in version.rows))
    return History((*rows, *live), unreadable)


def note(directory: Path, rows: Sequence[Factor], now_s: int) -> None:
    """Adds a version where it is another one than before. Raises OSError and InputError."""
    versions, _, _ = _read(directory / FILE)
    before = versions[-1].rows if versions else ()
    if before != tuple(rows):
        begin_s = now_s // ROW_S * ROW_S
        _append(directory, {"noted_s": begin_s, "factors": [_table(row) for row in rows]})


def note_live(directory: Path, row: Factor) -> None:
    """Adds a carbon intensity that was asked for. Raises OSError."""
    _append(directory, {"noted_s": row.from_s, "live": _table(row)})


def _append(directory: Path, line: dict[str, Any]) -> None:
    path = directory / FILE
    text = json.dumps(line, separators=(",", ":")) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = "\n" + text  # an agent was killed while it wrote
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> tuple[list[_Version], list[Factor], int]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], [], 0
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", source=str(path)) from error
    versions: list[_Version] = []
    live: list[Factor] = []
    unreadable = 0
    for line in lines:
        try:
            found = json.loads(line)
            if "live" in found:
                live.append(_factor(found["live"]))
            else:
                rows = tuple(_factor(each) for each in found["factors"])
                versions.append(_Version(int(found["noted_s"]), rows))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            unreadable += 1
    return versions, live, unreadable


def _within(row: Factor, start_s: int, end_s: int | None) -> Factor | None:
    """The row as far as its version was in effect."""
    from_s = start_s if row.from_s is None else max(row.from_s, start_s)
    ends = [each for each in (row.until_s, end_s) if each is not None]
    until_s = min(ends) if ends else None
    if until_s is not None and until_s <= from_s:
        return None
    return row._replace(from_s=from_s, until_s=until_s)


def _table(row: Factor) -> dict[str, Any]:
    table: dict[str, Any] = row._asdict()
    if row.week is not None:
        table["week"] = {"zone": row.week.zone, "spans": [list(span) for span in row.week.spans]}
    return {key: value for key, value in table.items() if value is not None and value != ""}


def _factor(table: dict[str, Any]) -> Factor:
    quantity = Quantity(table["quantity"])
    from_s, until_s = table.get("from_s"), table.get("until_s")
    if not isinstance(from_s, int | None) or not isinstance(until_s, int | None):
        raise TypeError("no moment")
    prices = _week(table["week"]) if "week" in table else None
    low, high, _, _ = LIMITS[quantity]
    if type(table["micro"]) is not int or not (prices or low <= table["micro"] / MILLION <= high):
        raise ValueError("an absurd factor")
    texts = (str(table["source"]), str(table.get("dated", "")))
    code = str(table.get("currency", ""))
    measured_s = table.get("measured_s")
    if not isinstance(measured_s, int | None):
        raise TypeError("no moment")
    return Factor(quantity, table["micro"], *texts, from_s, until_s, code, prices, measured_s)


def _week(table: dict[str, Any]) -> Week:
    zone_of(table["zone"])
    spans = [Span(*map(int, span)) for span in table["spans"]]
    if any(span.micro < 0 for span in spans):
        raise ValueError("an absurd price")
    return week(table["zone"], spans)
