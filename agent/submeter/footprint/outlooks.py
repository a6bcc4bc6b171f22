"""Published estimates with their stated inputs in, the same computed anew out: does it come out?

TWh a year = servers · W · 8,760 h / 10¹²
"""

import tomllib
from importlib import resources
from typing import Any, Final, NamedTuple

HOURS: Final = 8_760
"""Of a year without a leap day, as all these papers count."""
_W_PER_TWH: Final = 1e12


class Estimate(NamedTuple):
    """What was published, and what its inputs come to."""

    id: str
    what: str
    inputs: dict[str, Any]
    formula: str
    computed: tuple[float, ...]
    published: tuple[float, ...]
    digits: int  # after the point, as published
    unit: str
    articles: str
    source: str
    dated: str
    checked: str

    @property
    def first_hand(self) -> bool:
        """Whether the figure was read where it was published, and isn't only quoted."""
        return read_at_source(self.checked)

    @property
    def agrees(self) -> bool:
        """Whether every computed figure is the published one within its rounding."""
        pairs = zip(self.computed, self.published, strict=True)
        return all(abs(one - other) <= 0.5 * 10**-self.digits + 1e-9 for one, other in pairs)


class Comparator(NamedTuple):
    """Somebody who uses electricity."""

    name: str
    twh: float
    year: int
    source: str
    checked: str

    @property
    def first_hand(self) -> bool:
        """Whether the figure was read where it was published, and isn't only quoted."""
        return read_at_source(self.checked)


class Outlooks(NamedTuple):
    """The table that comes with submeter."""

    estimates: tuple[Estimate, ...]
    comparators: tuple[Comparator, ...]
    inference: dict[str, Any]  # share, what, source, dated, checked


def outlooks() -> Outlooks:
    """Reads the table."""
    text = resources.files("submeter.footprint").joinpath("data/outlooks.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return Outlooks(
        tuple(_estimate(each) for each in table["estimate"]),
        tuple(Comparator(**each) for each in table["comparator"]),
        table["inference"],
    )


def read_at_source(checked: str) -> bool:
    """What ``checked`` says: a statistic was read at its office, all else is quoted by others."""
    return all(part.strip().startswith("statistic") for part in checked.split(";"))


def terawatt_hours(servers: float, watts: float) -> float:
    """A year of that many servers at that power."""
    return servers * watts * HOURS / _W_PER_TWH


def _estimate(row: dict[str, Any]) -> Estimate:
    computed: tuple[float, ...]
    names: tuple[str, ...]
    if "servers" in row:
        names, unit = ("servers", "watts"), "TWh/yr"
        formula = "servers × W × 8,760 h"
        computed = tuple(terawatt_hours(row["servers"], watts) for watts in row["watts"])
    elif "gigawatts" in row:
        names, unit, formula = ("gigawatts",), "TWh/yr", "GW × 8,760 h"
        computed = tuple(power * HOURS / 1_000 for power in row["gigawatts"])
    else:
        names, unit = ("megawatt_hours", "home_megawatt_hours"), "homes for a year"
        formula = "MWh ÷ MWh a home"
        pairs = zip(row["megawatt_hours"], row["home_megawatt_hours"], strict=True)
        computed = tuple(energy / home for energy, home in pairs)
    return Estimate(
        *(row["id"], row["what"], {name: row[name] for name in names}, formula, computed),
        *(tuple(map(float, row["published"])), row["digits"], unit),
        *(row["articles"], row["source"], row["dated"], row["checked"]),
    )
