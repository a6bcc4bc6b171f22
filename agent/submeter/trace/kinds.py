"""What one value of a trace may be: a test that it fits, and the words for what was expected."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from submeter.model import EnergySource
from submeter.trace.records import ERROR_KINDS

_LIMIT: Final = 2**64  # no sensor, clock or driver field is wider than 64 bits


class Kind(NamedTuple):
    """A test and its wording."""

    fits: Callable[[Any], bool]
    expected: str


def _is_natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LIMIT


def _is_integer(value: Any) -> bool:
    return type(value) is int and -_LIMIT < value < _LIMIT


def _rows_of(*kinds: Kind) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return type(value) is list and all(
            type(row) is list
            and len(row) == len(kinds)
            and all(kind.fits(item) for kind, item in zip(kinds, row, strict=True))
            for row in value
        )

    return fits


def or_null(kind: Kind) -> Kind:
    return Kind(lambda value: value is None or kind.fits(value), f"{kind.expected} or null")


NATURAL = Kind(_is_natural, "an integer from 0")
INTEGER = Kind(_is_integer, "an integer")
TEXT = Kind(lambda value: type(value) is str, "a string")
FLAG = Kind(lambda value: type(value) is bool, "true or false")
NATURAL_OR_NULL = or_null(NATURAL)
INTEGER_OR_NULL = or_null(INTEGER)
NAMED = Kind(_rows_of(TEXT, NATURAL), "a list of [name, integer]")
ERROR_KIND = Kind(lambda value: value in ERROR_KINDS, " or ".join(ERROR_KINDS))
SOURCE = Kind(lambda value: value in tuple(EnergySource), " or ".join(EnergySource))
MISSING = Kind(_rows_of(TEXT, TEXT), "a list of [capability, reason]")
OBJECT = Kind(lambda value: type(value) is dict, "an object")
OBJECTS = Kind(
    lambda value: type(value) is list and all(type(item) is dict for item in value),
    "a list of objects",
)
HOLDERS = or_null(
    Kind(
        _rows_of(NATURAL, TEXT, NATURAL_OR_NULL, NATURAL_OR_NULL, NATURAL_OR_NULL, TEXT),
        "a list of [pid, kind, memory_bytes, gpu_instance, compute_instance, mig]",
    )
)
INSTANCES = or_null(Kind(_rows_of(*[NATURAL] * 3), "a list of [gpu_instance, slices, sm_ppm]"))
SAMPLES = or_null(
    Kind(_rows_of(*[NATURAL] * 6), "a list of [pid, at_us, sm, memory, encoder, decoder]")
)
