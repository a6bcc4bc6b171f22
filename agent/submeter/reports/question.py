"""``--since``, ``--until``, ``--by`` and ``--tz`` in, what is asked out."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from submeter.errors import InputError
from submeter.footprint.rates import NO_FACTORS, Factors
from submeter.reports.calendar import UNITS
from submeter.reports.moments import UTC_ZONE, Zone

KEYS: Final = (
    *("phase", "workload", "user", "namespace", "pod", "container", "job", "gpu"),
    *UNITS,
    *("method", "component"),
)
"""What a report can be asked by, in any combination."""

DEFAULT_BY: Final = ("phase", "workload")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. Times are seconds since 1970, UTC; ``until_s`` is not included any more."""

    by: tuple[str, ...] = DEFAULT_BY
    since_s: int | None = None  # None: from the beginning
    until_s: int | None = None  # None: until now
    zone: Zone = UTC_ZONE
    timeline: bool = False  # whether energy by phase over time is wanted, too
    factors: Factors = NO_FACTORS
    """What joules mean; empty: nothing is said of that."""

    @property
    def unit(self) -> str | None:
        """The shortest stretch of time it asks by; None if it doesn't."""
        return next((unit for unit in UNITS if unit in self.by), None)


def parse_by(text: str) -> tuple[str, ...]:
    """The keys of ``--by``, each once, in their order; none for an empty text. Raises InputError
    for one that there isn't."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    for key in keys:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"--by: expected some of {','.join(KEYS)}; found {key!r}{hint}")
    return tuple(dict.fromkeys(keys))
