"""Metric families: what every exporter encodes. Numbers are integers of a known decimal exponent.

``value · 10**-exponent`` is in the family's base unit, so a microjoule stays exact until the very
last digit is printed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, overload


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


class Columns(Sequence[Sample]):
    """Samples as two columns: a thousand pairs take longer to make than all else that is done with
    them. The same labels as in an earlier snapshot may be the same object, and then so may be
    whatever was made of them."""

    __slots__ = ("labels", "values")

    def __init__(self, labels: tuple[Labels, ...], values: Sequence[int | float]) -> None:
        """``values``: as many as there are labels, in the same order."""
        self.labels = labels
        self.values = values

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return Columns(self.labels[index], self.values[index])
        return self.labels[index], self.values[index]

    def __iter__(self) -> Iterator[Sample]:
        return zip(self.labels, self.values, strict=True)

    def __len__(self) -> int:
        return len(self.labels)


def in_columns(samples: Sequence[Sample]) -> Columns:
    """The same samples as columns."""
    if isinstance(samples, Columns):
        return samples
    return Columns(tuple(labels for labels, _ in samples), [value for _, value in samples])


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
