"""What an energy comes to in, texts for people out; and the factors behind it, a line each."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from submeter.footprint.factors import LIMITS, MILLION, NO_CURRENCY, Factor, Quantity
from submeter.reports.priced import Amounts, Applied
from submeter.reports.record import Report
from submeter.units import UJ_PER_J
from submeter.web import figures


class Column(NamedTuple):
    """A kind of amount for people."""

    kind: str
    name: str
    units: tuple[tuple[int, str], ...]  # largest first; in the kind's own unit


COLUMNS: Final = (
    Column(
        "facility_uj",
        "at the site",
        tuple(
            (UJ_PER_J * 3_600 * size, unit)
            for size, unit in ((1_000_000, "MWh"), (1_000, "kWh"), (1, "Wh"))
        ),
    ),
    Column(
        "carbon_ug",
        "CO2e",
        ((10**12, "t"), (10**9, "kg"), (10**6, "g"), (10**3, "mg")),
    ),
    Column("water_ul", "water", ((10**9, "m³"), (10**6, "L"), (10**3, "mL"))),
    Column("cost_micro", "cost", ((10**6, ""),)),
)

MEANINGS: Final = {
    Quantity.PUE: "PUE",
    Quantity.WUE: "WUE, at the site",
    Quantity.WUE_SOURCE: "WUE, of generation",
    Quantity.CARBON: "carbon intensity",
    Quantity.PRICE: "price",
}


def columns_of(report: Report) -> list[Column]:
    """The kinds of amounts that a report has."""
    total = report.priced.total
    return [column for column in COLUMNS if getattr(total, column.kind) is not None]


def cells(
    column: Column, amounts: Sequence[Amounts], total: Amounts, currency: str
) -> tuple[list[str], str]:
    """The texts of a column and of its total, in one unit; they add up as shown."""
    values = [getattr(each, column.kind) for each in amounts]
    sum_ = getattr(total, column.kind) or 0
    size, unit = next((each for each in column.units if sum_ >= each[0]), column.units[-1])
    unit = unit or (currency if currency != NO_CURRENCY else "")
    shown = iter(figures.apportioned([v for v in values if v is not None], sum_ * 1_000 // size))
    texts = [
        figures.UNKNOWN if value is None else _text(next(shown), unit, is_some=value > 0)
        for value in values
    ]
    return texts, _text(sum_ * 1_000 // size, unit, is_some=sum_ > 0)


def text(column: Column, amounts: Amounts, currency: str) -> str:
    """One amount."""
    return cells(column, [amounts], amounts, currency)[0][0]


def factor_lines(report: Report) -> Iterator[str]:
    """Every factor that was applied, and what there was none for."""
    for each in report.priced.applied:
        yield (
            f"{MEANINGS[each.factor.quantity]} {value_text(each)}: {each.factor.source}"
            f"{_validity(report, each.factor)}"
        )
    for column in COLUMNS:
        missing_uj = report.priced.missing_uj.get(column.kind)
        if missing_uj:
            yield f"no factor for {figures.energy(missing_uj)}: not in {column.name}"
    yield from report.priced.notes


def value_text(applied: Applied) -> str:
    """A factor's value with its unit; from … to where it varied."""
    unit = LIMITS[applied.factor.quantity].unit
    if applied.factor.quantity is Quantity.PRICE and applied.factor.currency != NO_CURRENCY:
        unit = f"{applied.factor.currency}/kWh"
    low, high = applied.low / MILLION, applied.high / MILLION
    shown = f"{low:g}" if low == high else f"{low:g} to {high:g} by the hour"
    return f"{shown} {unit}".strip()


def _validity(report: Report, factor: Factor) -> str:
    zone = report.question.zone
    parts = [] if not factor.dated else [f"of {factor.dated}"]
    for word, moment_s in (("from", factor.from_s), ("until", factor.until_s)):
        if moment_s is not None:
            at = zone.local(moment_s).isoformat(sep=" ", timespec="minutes")
            parts.append(f"{word} {at}")
    return f" ({', '.join(parts)})" if parts else ""


def _text(thousandths: int, unit: str, *, is_some: bool) -> str:
    if is_some and not thousandths:
        return f"< 0.001 {unit}".strip()
    sign = "-" if thousandths < 0 else ""
    whole, rest = divmod(abs(thousandths), 1_000)
    return f"{sign}{whole:,}.{rest:03d} {unit}".strip()
