"""A figure from somebody in, a factor out: a row with its source and the time it is valid for.

Values are integers of millionths: a PUE of 1.25 is 1 250 000, 380 g/kWh are 380 000 000.
"""

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final, NamedTuple

from submeter.errors import InputError
from submeter.footprint.tariff import Week

MILLION: Final = 1_000_000


class Quantity(StrEnum):
    """What a factor turns joules into; the names are those of the configuration."""

    PUE = "pue"
    WUE = "wue"
    WUE_SOURCE = "wue_source"
    CARBON = "carbon_g_per_kwh"
    PRICE = "price"


class Limits(NamedTuple):
    """What a believable figure is, and in which unit."""

    low: int
    high: int
    unit: str
    meaning: str


LIMITS: Final = {
    Quantity.PUE: Limits(1, 10, "", "facility energy ÷ energy of the IT equipment"),
    Quantity.WUE: Limits(0, 100, "L/kWh", "water the site uses for a kWh of the IT equipment"),
    Quantity.WUE_SOURCE: Limits(0, 1_000, "L/kWh", "water that generating a kWh takes"),
    Quantity.CARBON: Limits(0, 10_000, "gCO2e/kWh", "carbon intensity of the electricity"),
    Quantity.PRICE: Limits(0, 1_000_000, "per kWh", "price of a kWh"),
}
"""PUE is never below 1 (ISO/IEC 30134-2); hardly any grid is above 1,500 g/kWh (coal alone is at
about 1,000: IPCC 2014, AR5 WG3, table A.III.2); a kWh costs thousands in some currencies."""

NO_CURRENCY: Final = "XXX"
"""ISO 4217's code where no currency is involved: prices whose currency nobody has named."""


class Factor(NamedTuple):
    """One row. ``from_s`` and ``until_s`` (not included) are seconds since 1970; None: open."""

    quantity: Quantity
    micro: int
    """Millionths of the unit; meaningless where there is a ``week``."""
    source: str
    dated: str = ""  # what the source says of when: a year, a date, when it was asked
    from_s: int | None = None
    until_s: int | None = None
    currency: str = ""
    week: Week | None = None
    measured_s: int | None = None  # of what changes by the hour: when it was so

    def is_valid(self, moment_s: int) -> bool:
        """Whether the factor is of that moment."""
        after = self.from_s is None or moment_s >= self.from_s
        return after and (self.until_s is None or moment_s < self.until_s)

    def micro_at(self, moment_s: int) -> int:
        """Its value then."""
        return self.micro if self.week is None else self.week.micro_at(moment_s)


def micro(quantity: Quantity, value: object) -> int:
    """A figure as millionths. Raises ValueError, saying what is believable, for one that isn't:
    no number, not finite, negative, absurd."""
    low, high, unit, _ = LIMITS[quantity]
    try:
        number = None if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or not low <= number <= high:
        raise ValueError(
            f"{quantity} must be a number from {low:,} to {high:,}{unit and f' {unit}'}, "
            f"found {str(value)[:40]!r}"
        )
    return int((number * MILLION).to_integral_value())


def currency(text: str, source: str) -> str:
    """A currency's code. Raises InputError for what isn't three capital letters."""
    if len(text) != 3 or not (text.isascii() and text.isalpha() and text.isupper()):
        raise InputError(
            f"a currency is three capital letters (ISO 4217), such as EUR; found {text[:20]!r}",
            source=source,
        )
    return text
