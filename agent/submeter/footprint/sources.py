"""A configuration in, the factors that it names out."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from submeter.config import Config
from submeter.errors import InputError
from submeter.footprint import grid
from submeter.footprint.factors import NO_CURRENCY, Factor, Quantity, currency, micro

SECTION: Final = "footprint"
_FLAT: Final = (Quantity.PUE, Quantity.WUE, Quantity.WUE_SOURCE, Quantity.CARBON, Quantity.PRICE)


def configured(
    config: Config, ask: Callable[[grid.Place], grid.Intensity] = grid.ask
) -> tuple[Factor, ...]:
    """The factors of a configuration, least binding first: codecarbon's for the place, single
    figures, the table's rows. Raises InputError that points to what is wrong."""
    rows = [*_place(config, ask), *_flat(config), *_table(config)]
    codes = {row.currency for row in rows if row.currency}
    if len(codes) > 1:
        raise config.error(
            f"{SECTION}.currency", f"prices are in {' and '.join(sorted(codes))}: expected one"
        )
    return tuple(rows)


def check(config: Config) -> None:
    """Raises InputError for what `configured` would; asks nobody."""
    configured(config, lambda place: grid.Intensity(0.0, str(place)))


def overriding(
    config: Config,
    source: str = "--set",
    ask: Callable[[grid.Place], grid.Intensity] = grid.ask,
) -> tuple[Factor, ...]:
    """Those that were given on the command line: they are meant for all of a report."""
    given = config.origin(f"{SECTION}.table").source == source
    rows = _table(config) if given else ()
    flat = (
        row for row in _flat(config) if config.origin(f"{SECTION}.{row.quantity}").source == source
    )
    places = {config.origin(f"{SECTION}.{key}").source for key in ("country", "region", "cloud")}
    return (*(_place(config, ask) if source in places else ()), *flat, *rows)


def _table(config: Config) -> tuple[Factor, ...]:
    if config.footprint.table is None:
        return ()
    from submeter.footprint.table import read_table

    return read_table(config.footprint.table)


def _flat(config: Config) -> Iterator[Factor]:
    for quantity in _FLAT:
        value = getattr(config.footprint, quantity)
        if value is not None:
            key = f"{SECTION}.{quantity}"
            origin = config.origin(key)
            said = f"{key} ({origin.source})"
            code = _currency(config) if quantity is Quantity.PRICE else ""
            yield Factor(quantity, micro(quantity, value), said, currency=code)


def _currency(config: Config) -> str:
    code = config.footprint.currency
    try:
        return NO_CURRENCY if code is None else currency(code, "")
    except InputError as error:
        raise config.error(f"{SECTION}.currency", str(error).removeprefix(": ")) from error


def _place(config: Config, ask: Callable[[grid.Place], grid.Intensity]) -> Iterator[Factor]:
    section = config.footprint
    if section.region is not None and section.country is None:
        raise config.error(f"{SECTION}.region", "footprint.region needs footprint.country")
    if section.cloud is not None and section.country is not None:
        raise config.error(
            f"{SECTION}.cloud", "expected footprint.cloud or footprint.country, not both"
        )
    place = grid.Place(section.country or "", section.region or "", section.cloud or "")
    if place == grid.Place() or section.carbon_g_per_kwh is not None:
        return
    key = "country" if section.country else "cloud"
    try:
        found = ask(place)
        value = micro(Quantity.CARBON, Decimal(repr(found.g_per_kwh)))
    except (InputError, ValueError) as error:
        raise config.error(f"{SECTION}.{key}", str(error)) from error
    yield Factor(Quantity.CARBON, value, found.source)
