"""Metric families: what every exporter encodes. Numbers are integers of a known decimal exponent.

``value · 10**-exponent`` is in the family's base unit, so a microjoule stays exact until the very
last digit is printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How a value moves."""

    COUNTER = "counter"  # only up, across restarts too
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Labels = tuple[str, ...]
"""Label values, in the order of the family's label names."""

Sample = tuple[Labels, int | float]
"""One series. An integer is scaled by the family's exponent; a float is in the base unit already.
A plain tuple, because a scrape builds thousands."""


class Distribution(NamedTuple):
    """One histogram series; bounds and sum are scaled by the family's exponent, counts aren't."""

    labels: Labels
    bounds: tuple[int, ...]  # upper bounds; +Inf is implied
    counts: tuple[int, ...]  # per bucket, not cumulative; one more than bounds
    total: int


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one metric. ``name`` is the name a sample has: a counter's ends in _total."""

    name: str
    kind: Kind
    help: str
    unit: str  # "joules", "watts", …; "" for a pure number
    label_names: tuple[str, ...]
    exponent: int
    samples: Sequence[Sample] = ()
    distributions: Sequence[Distribution] = ()  # histograms only, and then instead of samples
