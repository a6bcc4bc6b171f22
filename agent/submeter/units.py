"""Integers in, numbers for people out. Conversion happens only here, at the edge.

Inside, energy is integer microjoules (µJ), power integer milliwatts (mW), time integer
nanoseconds (ns). mW · ns = pJ, so an integral of power over time is exact as well.
"""

import re
from typing import Final

US_PER_S: Final = 1_000_000
NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
UJ_PER_J: Final = 1_000_000
UJ_PER_MJ: Final = 1_000
"""Microjoules per *millijoule*, NVML's unit of energy."""
PJ_PER_UJ: Final = 1_000_000
UJ_PER_WH: Final = 3_600_000_000


def decimal(value: int, exponent: int) -> str:
    """``value · 10**-exponent`` as an exact decimal string: ``decimal(1500000, 6) == "1.5"``."""
    if exponent == 0:
        return str(value)
    if value < 0:
        return "-" + decimal(-value, exponent)
    return pointed(str(value), exponent)


def pointed(digits: str, exponent: int) -> str:
    """The same of a whole number's digits, for an ``exponent`` above 0."""
    digits = digits.zfill(exponent + 1)  # half the time of divmod, and a scrape has thousands
    return f"{digits[:-exponent]}.{digits[-exponent:]}".rstrip("0").rstrip(".")


def mean_power_mw(energy_uj: int, duration_ns: int) -> int:
    """Mean power in mW of an energy spent over a duration; 0 for no duration."""
    return energy_uj * PJ_PER_UJ // duration_ns if duration_ns > 0 else 0


UNCOUNTED: Final = "uncounted_ns"
"""Beside units of work: time in which work was done, and nobody knows how much."""

MOST_WORK: Final = 10**18
"""So much of a unit is no count any more: a double has no units left from 2⁵³ on."""

_UNIT: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def is_unit(name: object) -> bool:
    """Whether that may name a unit of work: a lower-case word such as ``tokens`` or ``steps``."""
    return isinstance(name, str) and bool(_UNIT.fullmatch(name)) and name != UNCOUNTED
