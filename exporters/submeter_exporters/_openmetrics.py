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
from typing import Final

from submeter.metrics import Distribution, Family, Kind, Labels, Sample
from submeter.text import UNSAFE
from submeter.units import decimal

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({**UNSAFE, "\\": r"\\", '"': r"\"", "\n": r"\n"})
_SPARE_SERIES = 64


def render(
    families: Iterable[Family], *, openmetrics: bool = False, foreign: bool = False
) -> bytes:
    """The exposition of all families. Raises ValueError for a name that no parser would take
    and for a family that comes twice. ``foreign``: the names are others', whose counters need not
    end in _total."""
    seen: set[str] = set()
    parts: list[str] = []
    for family in families:
        if family.name in seen:
            raise ValueError(f"metric family {family.name} comes twice")
        seen.add(family.name)
        parts.append(_head(family, openmetrics=openmetrics, foreign=foreign))
        if family.kind is Kind.HISTOGRAM:
            parts.append("".join(_histogram_lines(family)))
        else:
            parts.append("".join(_sample_lines(family)))  # a family's lines at a time: less memory
    if openmetrics:
        parts.append("# EOF\n")
    return "".join(parts).encode()


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


def _sample_lines(family: Family) -> list[str]:
    exponent = family.exponent
    series = _all_series(family)
    samples: Iterable[tuple[str, int | float]]
    if len(set(series)) == len(series):
        samples = zip(series, (value for _, value in family.samples), strict=True)
    else:
        samples = _merged(series, family.samples, adds=family.kind is Kind.COUNTER).items()
    # Most are whole numbers above 1 that need no zeroes cut off: written out, since a scrape has
    # thousands, and `decimal` takes as long as everything else.
    least = 10**exponent if exponent else math.inf
    return [
        f"{start} {digits[:-exponent]}.{digits[-exponent:]}\n"
        if type(value) is int and value >= least and (digits := str(value))[-1] != "0"
        else f"{start} {decimal(value, exponent) if isinstance(value, int) else _float(value)}\n"
        for start, value in samples
    ]


def _all_series(family: Family) -> list[str]:
    """What stands before each sample's value, in the samples' order."""
    name, names = family.name, family.label_names
    known = _known_series(name, names)
    series = []
    for labels, _ in family.samples:
        start = known.get(labels)
        if start is None:
            start = known[labels] = _series(name, names, labels)
        series.append(start)
    if len(known) > 2 * len(series) + _SPARE_SERIES:  # of processes that came and went
        known.clear()
        known.update(
            (labels, start) for (labels, _), start in zip(family.samples, series, strict=True)
        )
    return series


@lru_cache(maxsize=256)
def _known_series(_name: str, _label_names: tuple[str, ...]) -> dict[Labels, str]:
    """Cached, since escaping is most of a scrape's work and series seldom change; by family, since
    to look one up by its labels alone is half the work."""
    return {}


def _merged(series: list[str], samples: Iterable[Sample], *, adds: bool) -> dict[str, int | float]:
    merged: dict[str, int | float] = {}
    for start, (_, value) in zip(series, samples, strict=True):
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
    pairs = [f'{key}="{_escape(value)}"' for key, value in zip(label_names, labels, strict=True)]
    if not all(map(_LABEL_NAME.fullmatch, label_names)) or len(set(label_names)) < len(pairs):
        raise ValueError(f"{name}: bad label names {label_names!r}")
    return f"{name}{{{','.join(pairs)}}}" if pairs else name


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


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
