"""Integers in, figures for people out: rounded, but so that shown parts add up to the shown sum."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.units import NS_PER_S, UJ_PER_J, UJ_PER_WH, decimal

_ENERGY_UNITS: Final = (
    (1_000_000 * UJ_PER_WH, "MWh"),
    (1_000 * UJ_PER_WH, "kWh"),
    (UJ_PER_WH, "Wh"),
    (UJ_PER_J, "J"),
)
_DIGITS: Final = 1_000  # three digits after the point
_BYTE_UNITS: Final = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIME_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
UNKNOWN: Final = "–"
_MICRO: Final = 6
_MILLI: Final = 3
_JOULE_UNITS: Final = ((10**15, "GJ"), (10**12, "MJ"), (10**9, "kJ"), (10**6, "J"))


class Figure(NamedTuple):
    """A figure for people, and what it stands for exactly: a decimal number of joules, watts, …"""

    text: str
    value: str = ""


def energy_figure(energy_uj: int) -> Figure:
    """One energy with its joules."""
    return Figure(energy(energy_uj), decimal(energy_uj, _MICRO))


def power_figure(power_mw: int | None) -> Figure:
    """One power with its watts."""
    return Figure(watts(power_mw), "" if power_mw is None else decimal(power_mw, _MILLI))


def joules(energy_uj: int) -> str:
    """One energy in J, kJ, MJ, GJ, to the thousandth of it."""
    size, unit = next(
        ((size, unit) for size, unit in _JOULE_UNITS if abs(energy_uj) >= size), _JOULE_UNITS[-1]
    )
    return _thousandths(energy_uj * _DIGITS // size, unit)


def plus_minus(error_uj: int, energy_uj: int) -> str:
    """What an energy may be off by, in the unit that suits the energy, to two digits."""
    size, unit = _unit(energy_uj)
    if 0 < error_uj * _DIGITS < size:
        return f"±< 0.001 {unit}"
    digits = ".2g" if error_uj < 100 * size else ",.0f"
    return f"±{error_uj / size:{digits}} {unit}"


def energies(parts_uj: Sequence[int]) -> tuple[list[str], str]:
    """Each part and their sum, all in the unit that suits the sum. The figures add up to it; a part
    too small for one says so, since nothing that was used is 0."""
    total_uj = sum(parts_uj)
    size_uj, unit = _unit(total_uj)
    shown = apportioned(parts_uj, total_uj * _DIGITS // size_uj)
    tiny = [part_uj > 0 and not part for part_uj, part in zip(parts_uj, shown, strict=True)]
    texts = [
        f"< 0.001 {unit}" if small else _thousandths(part, unit)
        for part, small in zip(shown, tiny, strict=True)
    ]
    return texts, _thousandths(sum(shown), unit)


def powers(parts_mw: Sequence[int]) -> tuple[list[str], str]:
    """Each part and their sum in watts, to the tenth; the figures add up."""
    shown = apportioned(parts_mw, round(sum(parts_mw) / 100))
    return [watts(100 * part) for part in shown], watts(100 * sum(shown))


def energy(energy_uj: int) -> str:
    """One energy, in the unit that suits it."""
    return energies([energy_uj])[0][0]


_SMALL_UNITS: Final = ((1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))


def unit(name: str) -> str:
    """What people call what was done, in the plural."""
    return _UNITS.get(name) or name.replace("_", " ")


_UNITS: Final = {"generation_tokens": "tokens generated", "prompt_tokens": "tokens of prompts"}


def per_unit(joules: float | None) -> str:
    """Joules for one of something, to three digits."""
    if joules is None:
        return UNKNOWN
    size, unit = next((each for each in _SMALL_UNITS if joules >= each[0]), _SMALL_UNITS[-1])
    digits = max(0, 2 - int(math.log10(max(joules / size, 1))))
    return f"{joules / size:,.{digits}f} {unit}"


def apportioned(parts: Sequence[int], whole: int) -> list[int]:
    """Integers in proportion to the parts that sum to ``whole`` (largest remainder)."""
    total = sum(parts)
    if not total:
        return [0 for _ in parts]
    shares = [divmod(part * whole, total) for part in parts]
    result = [share for share, _ in shares]
    by_remainder = sorted(range(len(parts)), key=lambda index: shares[index][1], reverse=True)
    for index in by_remainder[: whole - sum(result)]:
        result[index] += 1
    return result


def watts(power_mw: int | None) -> str:
    """A power, to the tenth of a watt."""
    return UNKNOWN if power_mw is None else f"{power_mw / 1000:,.1f} W"


def whole_watts(power_mw: int | None) -> str:
    """A power, to the watt."""
    return UNKNOWN if power_mw is None else f"{power_mw / 1000:,.0f} W"


def mass(amount_ug: int) -> str:
    """An amount of micrograms, in kg from a kilogram on."""
    grams = amount_ug / 1e6
    return f"{grams / 1000:,.3f} kg" if grams >= 1000 else f"{grams:,.1f} g"


def volume(amount_ul: int) -> str:
    """An amount of microlitres, in litres or millilitres."""
    litres = amount_ul / 1e6
    return f"{litres:,.3f} L" if litres >= 1 else f"{1000 * litres:,.1f} mL"


def data(size_bytes: int | None) -> str:
    """An amount of memory."""
    if size_bytes is None:
        return UNKNOWN
    size, unit = next(((size, unit) for size, unit in _BYTE_UNITS if size_bytes >= size), (1, "B"))
    return f"{size_bytes / size:,.1f} {unit}"


def degrees(temperature_c: int | None) -> str:
    """A temperature."""
    return UNKNOWN if temperature_c is None else f"{temperature_c} °C"


def percent(share: float | None) -> str:
    """A ratio 0…1."""
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def share(part: int, whole: int) -> str:
    """Of a whole that is not 0, in percent; what is not nothing is not 0, nor less than all 100."""
    percents = 100 * part / whole
    if 0 < percents < 1 or 99 < percents < 100:
        return f"{min(max(percents, 0.01), 99.99):.2f} %"
    return f"{percents:.0f} %"


def duration(time_ns: int) -> str:
    """A time in its two largest units."""
    seconds = max(0, time_ns) // NS_PER_S
    parts: list[str] = []
    for size, unit in _TIME_UNITS:
        count, seconds = divmod(seconds, size)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _unit(energy_uj: int) -> tuple[int, str]:
    return next((each for each in _ENERGY_UNITS if energy_uj >= each[0]), _ENERGY_UNITS[-1])


def _thousandths(value: int, unit: str) -> str:
    sign = "-" if value < 0 else ""  # what a correction took
    whole, rest = divmod(abs(value), _DIGITS)
    return f"{sign}{whole:,}.{rest:03d} {unit}"
