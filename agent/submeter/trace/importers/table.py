"""Tables with a header line to samples: nvidia-smi --query-gpu logs and whatever looks like them.

Any columns in any order, separated by commas, semicolons or tabs; units in the header, in the
cells or in neither; several GPUs told apart by UUID, bus id, index or, failing all, by their order
at each moment. What a column name means is in `columns`.
"""

import csv
import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from submeter.errors import InputError
from submeter.trace.importers.columns import (
    COLUMNS,
    DIALECTS,
    FIELDS,
    IDENTITIES,
    LABELS,
    POWER_FIELDS,
    Column,
)
from submeter.trace.importers.sample import Importer, Notes, Sample
from submeter.trace.importers.values import has_zone, is_missing, parse_time, parse_value
from submeter.trace.lines import Line
from submeter.units import NS_PER_MS

_DELIMITERS: Final = ",;\t"
_HEADER_CELL: Final = re.compile(r"(.*?)\s*(?:\[([^\]]*)\])?")
_TOOL_MESSAGES: Final = re.compile(  # what nvidia-smi prints between its rows
    r"Unable to determine the device handle|Failed to initialize NVML|NVIDIA-SMI has failed"
    r"|No devices were found|.*GPU is lost",
    re.IGNORECASE,
)
_SAME_MOMENT_NS: Final = 5 * NS_PER_MS
"""nvidia-smi stamps the rows of one query a millisecond or two apart."""
_LOOKED_AT: Final = 512  # rows, to find out how many unnamed GPUs take turns
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where in a row what is; ``columns`` also has the unit that the header gives."""

    delimiter: str
    header: str
    width: int
    time: int
    time_column: Column
    columns: tuple[tuple[int, Column], ...]
    labels: tuple[tuple[int, str], ...]
    series: tuple[tuple[int, str], ...]
    fixed: dict[str, str]


@dataclass(slots=True)
class _Row:
    line: int
    key: str | None  # None where nothing in the row says which GPU it is
    time_ns: int
    values: dict[str, int]
    labels: dict[str, str]
    cells: tuple[str, ...] = field(default=())


def matches(head: Sequence[str]) -> bool:  # noqa: ARG001 - asked last, takes what nobody else took
    """Everything that no other importer recognises is tried as a table."""
    return True


def samples(lines: Iterable[Line], notes: Notes) -> Iterator[Sample]:
    """The rows of a table. Raises InputError with the line for anything that is no such table."""
    rows = _rows(lines, notes)
    first = list(itertools.islice(rows, _LOOKED_AT))
    crowd = _turns([row.time_ns for row in first if row.key is None])
    if crowd > 1:
        notes.add(
            f"no column tells the GPUs apart: taken as {crowd} that take turns at each moment"
        )
    turn, before_ns = 0, None
    for row in itertools.chain(first, rows):
        key = row.key
        if key is None:
            same = before_ns is not None and row.time_ns - before_ns <= _SAME_MOMENT_NS
            turn = turn + 1 if same and turn + 1 < crowd else 0
            before_ns = row.time_ns
            key = str(turn)
        yield Sample(row.line, key, row.time_ns, row.values, row.labels)


IMPORTER: Final = Importer("table", matches, samples)


def _rows(lines: Iterable[Line], notes: Notes) -> Iterator[_Row]:
    layout: _Layout | None = None
    for line in lines:
        text = line.text.strip()
        if not line.whole:
            notes.cut(line.number)
        elif not text or text.startswith("#"):
            continue
        elif not text[0].isdigit() and _TOOL_MESSAGES.match(text):
            notes.add(f"skipped a message of nvidia-smi: {text[:_SHOWN]}", line.number)
        elif layout is None:
            layout = _read_header(text, line.number, notes)
        elif _is_header(text, layout):
            layout = _read_header(text, line.number, notes)
            notes.add("the header is repeated: the logger was restarted", line.number)
        elif (row := _read_row(text, line.number, layout, notes)) is not None:
            yield row


def _is_header(text: str, layout: _Layout) -> bool:
    return text == layout.header or (
        not text[0].isdigit() and _names_time(_split(text, _delimiter(text)))
    )


def _names_time(cells: Sequence[str]) -> bool:
    return any(_column(cell).role in ("time", "elapsed") for cell in cells)


def _read_header(text: str, number: int, notes: Notes) -> _Layout:
    delimiter = _delimiter(text)
    cells = _split(text, delimiter)
    columns = [_column(cell) for cell in cells]
    roles = [column.role for column in columns]
    time_role = "time" if "time" in roles else "elapsed"
    if time_role not in roles or not {*POWER_FIELDS, "energy"} & set(roles):
        raise InputError(_not_a_header(text, cells), line=number)
    time = roles.index(time_role)
    unused = [cell for cell, role in zip(cells, roles, strict=True) if role == ""]
    if unused:
        notes.add("columns not used: " + ", ".join(unused))
    names = frozenset(_name(cell) for cell in cells)
    fixed = next((d.labels for d in DIALECTS if d.columns <= names), {})
    return _Layout(
        delimiter=delimiter,
        header=text,
        width=len(cells),
        time=time,
        time_column=columns[time],
        columns=tuple((i, c) for i, c in enumerate(columns) if c.role in FIELDS),
        labels=tuple((i, role) for i, role in enumerate(roles) if role in LABELS),
        series=tuple((i, _name(cells[i])) for i, role in enumerate(roles) if role == "series"),
        fixed=fixed,
    )


def _read_row(text: str, number: int, layout: _Layout, notes: Notes) -> _Row | None:
    cells = _split(text, layout.delimiter, number)
    if len(cells) != layout.width:
        hint = "; a decimal comma?" if len(cells) > layout.width else ""
        raise InputError(
            f"found {len(cells)} values, expected {layout.width} as in the header{hint}",
            line=number,
        )
    when = cells[layout.time]
    if is_missing(when):
        notes.add("skipped a row without a time", number)
        return None
    try:
        time_ns, dated = parse_time(when, layout.time_column.unit)
        values = _read_values(cells, layout)
    except ValueError as error:
        raise InputError(str(error), line=number) from None
    if layout.time_column.role == "elapsed" or not dated:
        notes.dated = False
    elif not has_zone(when):
        notes.add("dates without a time zone: taken as UTC")
    series = " ".join(f"{name}={cells[position]}" for position, name in layout.series)
    identity, labels = _read_labels(cells, layout, series)
    return _Row(number, identity, time_ns, values, labels)


def _read_values(cells: Sequence[str], layout: _Layout) -> dict[str, int]:
    values: dict[str, int] = {}
    for position, column in layout.columns:
        try:
            value = _value(cells[position], column.unit)
        except ValueError as error:
            raise ValueError(f"column {position + 1}: {error}") from None
        if value is not None:
            values.setdefault(column.role, value)
    return values


def _read_labels(
    cells: Sequence[str], layout: _Layout, series: str
) -> tuple[str | None, dict[str, str]]:
    labels = dict(layout.fixed)
    for position, role in layout.labels:
        if not is_missing(cells[position]):
            labels[role] = cells[position]
    identity = next((labels[role] for role in IDENTITIES if role in labels), None)
    if series:
        labels["name"] = series
        identity = f"{series} {identity}" if identity else series
    return identity, labels


def _turns(times_ns: Sequence[int]) -> int:
    """How many rows share a moment: more than one only if nearly all moments have as many."""
    moments: list[int] = []
    before_ns: int | None = None
    for time_ns in times_ns:
        if before_ns is not None and 0 <= time_ns - before_ns <= _SAME_MOMENT_NS:
            moments[-1] += 1
        else:
            moments.append(1)
        before_ns = time_ns
    whole = moments[:-1] if len(moments) > 1 else moments  # the last one may be cut
    if not whole:
        return 1
    size, count = Counter(whole).most_common(1)[0]
    return size if len(moments) > 1 and count * 10 >= len(whole) * 9 else 1


_value = functools.lru_cache(maxsize=4096)(parse_value)


def _delimiter(text: str) -> str:
    return max(_DELIMITERS, key=text.count)


def _split(text: str, delimiter: str, number: int | None = None) -> list[str]:
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        row = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"found a badly quoted row: {error}", line=number) from None
    return [cell.strip() for cell in row]


def _name(cell: str) -> str:
    match = _HEADER_CELL.fullmatch(cell.strip())
    return match[1].lower() if match else cell.lower()


def _column(cell: str) -> Column:
    known = COLUMNS.get(_name(cell), Column(""))
    match = _HEADER_CELL.fullmatch(cell.strip())
    unit = (match[2] or "").lower() if match else ""
    return Column(known.role, unit) if unit and known.unit else known


def _not_a_header(text: str, cells: Sequence[str]) -> str:
    try:
        parse_time(cells[0], "")
    except ValueError:
        return (
            f"found {text[:_SHOWN]!r}, expected a trace, or a log whose header names a time and a "
            "power column, such as nvidia-smi's: timestamp, index, power.draw [W]"
        )
    return (
        f"found the row {text[:_SHOWN]!r}, expected a header: this was logged with `noheader`; "
        "put the queried fields before it, such as: timestamp, index, power.draw [W]"
    )
