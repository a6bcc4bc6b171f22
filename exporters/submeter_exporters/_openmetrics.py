"""Metric families in, bytes of the Prometheus text format 0.0.4 or OpenMetrics 1.0.0 out; pure.

No series appears twice: label values that become equal once they are safe to print are one
series, in which counters add up and a gauge keeps its last value. Numbers are printed without
rounding. There are no ``_created`` samples: Prometheus before 3.0 stores them as further series.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

import math
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from submeter import lines
from submeter.kept import Kept
from submeter.metrics import Distribution, Family, Kind, Labels, in_columns
from submeter.text import UNSAFE
from submeter.units import decimal, pointed

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({**UNSAFE, "\\": r"\\", '"': r"\"", "\n": r"\n"})
_SPARE_SERIES = 64
_PIECE_BYTES = 32 * 1024  # with what comes last, less than what the C library maps for itself
_PARTS = 512  # of lines: 60 kB


def render(
    families: Iterable[Family], *, openmetrics: bool = False, foreign: bool = False
) -> bytes:
    """The exposition of all families. Raises ValueError for a name that no parser would take
    and for a family that comes twice. ``foreign``: the names are others', whose counters need not
    end in _total."""
    return b"".join(pieces(families, openmetrics=openmetrics, foreign=foreign))


def pieces(
    families: Iterable[Family], *, openmetrics: bool = False, foreign: bool = False
) -> Iterator[bytes]:
    """The same in pieces, at least one, each of some 100 kB at most while names are not long."""
    seen: set[str] = set()
    pending: list[bytes] = []
    size = 0
    for family in families:
        if family.name in seen:
            raise ValueError(f"metric family {family.name} comes twice")
        seen.add(family.name)
        head = _head(family, openmetrics=openmetrics, foreign=foreign).encode()
        for part in (head, *_lines(family)):
            pending.append(part)
            size += len(part)
            if size >= _PIECE_BYTES:
                yield b"".join(pending)
                pending, size = [], 0
    if openmetrics:
        pending.append(b"# EOF\n")
    yield b"".join(pending)


def _head(family: Family, *, openmetrics: bool, foreign: bool) -> str:
    named_well = foreign or (family.kind is Kind.COUNTER) == family.name.endswith("_total")
    if not named_well or (foreign and openmetrics):
        raise ValueError(f"{family.name!r} is no name for a {family.kind}")
    return _head_lines(family.name, family.kind, family.help, family.unit, openmetrics)


@lru_cache(maxsize=1024)
def _head_lines(name: str, kind: Kind, text: str, unit: str, openmetrics: bool) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a {kind}")
    if not openmetrics:
        escaped = text.translate({**UNSAFE, 0x0A: r"\n", 0x5C: r"\\"})
        return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"
    family = name.removesuffix("_total")
    unit_line = f"# UNIT {family} {unit}\n" if unit and family.endswith(f"_{unit}") else ""
    return f"# HELP {family} {_escape(text)}\n# TYPE {family} {kind}\n{unit_line}"


def _lines(family: Family) -> Iterable[bytes]:
    """All of a family at once: with thousands of series, a call for each would take longer than
    all that is done here."""
    if family.kind is Kind.HISTOGRAM:
        return ["".join(_histogram_lines(family)).encode()]
    columns = in_columns(family.samples)
    known = _known_starts(family.name, family.label_names).of(columns.labels)
    starts, values = known.texts, columns.values
    if known.twice:
        merged = _merged(starts, values, adds=family.kind is Kind.COUNTER)
        starts, values = tuple(merged), tuple(merged.values())
    elif known.ready is not None and (compiled := lines.compiled()):
        made = compiled.of(known.ready, values, family.exponent)
        if made is not None:
            return made
    return _interpreted(starts, _numbers(tuple(values), family.exponent))


def _interpreted(starts: tuple[str, ...], numbers: list[str]) -> Iterator[bytes]:
    parts = [""] * (2 * len(starts))
    parts[::2] = starts
    parts[1::2] = numbers
    for first in range(0, len(parts), _PARTS):
        yield "".join(parts[first : first + _PARTS]).encode()


def _numbers(values: tuple[int | float, ...], exponent: int) -> list[str]:
    """Each with the end of its line."""
    if set(map(type, values)) != {int} or (least := min(values)) < 0:
        return [_number(value, exponent) for value in values]
    if values.count(least) == len(values):
        return [_number(least, exponent)] * len(values)
    if not exponent:
        return [f"{value}\n" for value in values]
    # Mostly above 1 and with no zeroes to be cut off: written out, since thousands of calls would
    # take as long as everything else.
    before, after = slice(None, -exponent), slice(-exponent, None)
    return [
        f"{digits[before]}.{digits[after]}\n"
        if digits[-1] != "0" and len(digits) > exponent
        else f"{pointed(digits, exponent)}\n"
        for digits in map(str, values)
    ]


def _number(value: int | float, exponent: int) -> str:
    return f"{decimal(value, exponent) if isinstance(value, int) else _float(value)}\n"


class _Known(NamedTuple):
    """Starts of a family's lines; whether some of them are the same once they are safe; and where
    not, ready to be written by the compiled library."""

    texts: tuple[str, ...]
    twice: bool
    ready: lines.Starts | None


class _Starts:
    """What stands before the value of each of a family's series. Owns those of the newest snapshot,
    and of series that were there lately: they come and go with who works just now.

    Escaping is most of a scrape's work, and series seldom change; looking each up by its labels
    is half of what is left, and mostly the labels of all are those of the last time.
    """

    def __init__(self, name: str, label_names: tuple[str, ...]) -> None:
        self._name = name
        self._label_names = label_names
        self._kept = Kept(self._made)
        self._by_labels: dict[Labels, str] = {}
        self._newest = _Known((), twice=False, ready=None)

    def of(self, labels: tuple[Labels, ...]) -> "_Known":
        """In the order of the labels."""
        starts = self._kept.of(labels)
        newest = self._newest
        if newest.texts is not starts:
            twice = len(set(starts)) < len(starts)
            ready = None if twice or lines.compiled() is None else lines.starts(starts)
            newest = self._newest = _Known(starts, twice, ready)
            if len(self._by_labels) > 2 * len(starts) + _SPARE_SERIES:
                self._by_labels = dict(zip(labels, starts, strict=True))
        return newest

    def _made(self, labels: tuple[Labels, ...]) -> tuple[str, ...]:
        known = self._by_labels
        found = []
        for each in labels:
            start = known.get(each)
            if start is None:
                start = known[each] = f"{_series(self._name, self._label_names, each)} "
            found.append(start)
        return tuple(found)


@lru_cache(maxsize=256)
def _known_starts(name: str, label_names: tuple[str, ...]) -> _Starts:
    return _Starts(name, label_names)


def _merged(
    starts: Iterable[str], values: Iterable[int | float], *, adds: bool
) -> dict[str, int | float]:
    merged: dict[str, int | float] = {}
    for start, value in zip(starts, values, strict=True):
        merged[start] = merged.get(start, 0) + value if adds else value
    return merged


def _histogram_lines(family: Family) -> Iterator[str]:
    """A histogram of the same labels as an earlier one is added to it if its bounds are equal."""
    merged: dict[str, Distribution] = {}
    for distribution in family.distributions:
        block = _series("", family.label_names, distribution.labels)
        known = merged.get(block)
        merged[block] = distribution if known is None else _sum(known, distribution)
    names = (*family.label_names, "le")
    for block, (labels, bounds, counts, total) in merged.items():
        limits = [*(_canonical(bound, family.exponent) for bound in bounds), "+Inf"]
        cumulative = list(accumulate(counts))
        for limit, count in zip(limits, cumulative, strict=True):
            yield f"{_series(family.name + '_bucket', names, (*labels, limit))} {count}\n"
        yield f"{family.name}_count{block} {cumulative[-1]}\n"
        yield f"{family.name}_sum{block} {decimal(total, family.exponent)}\n"


def _sum(one: Distribution, other: Distribution) -> Distribution:
    if one.bounds != other.bounds:
        raise ValueError("histograms of the same labels have different bounds")
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    return Distribution(one.labels, one.bounds, counts, one.total + other.total)


def _series(name: str, label_names: tuple[str, ...], labels: Labels) -> str:
    """What stands before a sample's value."""
    if len(labels) != len(label_names):
        raise ValueError(f"{name}: {len(labels)} values as arguments of {len(label_names)} labels")
    safe = labels if _is_plain("".join(labels)) else map(_escape, labels)
    return _pattern(name, label_names) % (*safe,)


@lru_cache(maxsize=1024)
def _pattern(name: str, label_names: tuple[str, ...]) -> str:
    """A series with %s for each label's value: filled in a third of the time of joining pairs."""
    if not all(map(_LABEL_NAME.fullmatch, label_names)) or len(set(label_names)) < len(label_names):
        raise ValueError(f"{name}: bad label names {label_names!r}")
    pairs = ",".join(f'{key}="%s"' for key in label_names)
    return f"{name}{{{pairs}}}" if pairs else name


def _escape(text: str) -> str:
    return text if _is_plain(text) else text.translate(_ESCAPES)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _canonical(value: int, exponent: int) -> str:
    """A bucket's bound as OpenMetrics wants it: the way Go prints a float64, with a point."""
    text = repr(value / 10**exponent)
    whole, point, fraction = text.partition(".")
    if not point or len(whole) <= 6 or "e" in fraction:
        return text
    mantissa = f"{whole[0]}.{whole[1:]}{fraction}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(whole) - 1:02d}"
