"""A measure's module → figures with their bounds; results.json keeps what was measured last.

A measure is one file in ``measures/``, found by its name, with

* ``FIGURES``, what it measures, each with its bound;
* ``MINUTES``, how long that takes on two cores: from LONG on it only runs when it is named;
* ``measure()``, which gives a value for each figure, or raises Unavailable where the machine
  lacks what it needs.
"""

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

from submeter_reliability.catalogue import ROOT

RESULTS: Final = ROOT / "reliability/results.json"
LONG: Final = 5.0
"""Minutes from which on a measure keeps its last result unless it is named."""

_PACKAGE: Final = "submeter_reliability.measures"


class Unavailable(Exception):
    """This machine can't measure it; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. The unit ends its name; one of the bounds is given."""

    name: str
    what: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def bound(self) -> str:
        """As it is printed: ``<=50``."""
        if self.at_most is not None:
            return f"<={self.at_most:,g}".replace(",", "")
        return f">={self.at_least:.0f}"

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        if self.at_most is not None:
            return value <= self.at_most
        return self.at_least is not None and value >= self.at_least


class Measure(Protocol):
    """A module in ``measures/``."""

    __name__: str
    FIGURES: tuple[Figure, ...]
    MINUTES: float

    def measure(self) -> Mapping[str, float]:
        """A value for each figure, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured last, and on which day (UTC)."""

    value: float
    date: str


def measures() -> dict[str, Measure]:
    """Every measure by its name."""
    package = importlib.import_module(_PACKAGE)
    names = sorted(each.name for each in pkgutil.iter_modules(package.__path__))
    return {
        name: cast(Measure, importlib.import_module(f"{_PACKAGE}.{name}"))
        for name in names
        if not name.startswith("_")
    }


def read(path: Path = RESULTS) -> dict[str, Result]:
    """The last results by figure."""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: Result(about["value"], about["date"]) for name, about in stored.items()}


def keep(new: Mapping[str, Result], path: Path = RESULTS) -> None:
    """Writes new results over the last ones, figure by figure; others stay as they are."""
    kept = {**read(path), **new}
    stored = {name: {"value": each.value, "date": each.date} for name, each in sorted(kept.items())}
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def shown(value: float) -> str:
    """A value without digits that mean nothing."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def unknown(names: Sequence[str], known: Mapping[str, Measure]) -> list[str]:
    """Those that no measure is called."""
    return [name for name in names if name not in known]
