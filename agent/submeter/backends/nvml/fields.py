"""Field values: one driver call for several values, into an array that is made once.

The array is decoded by one precompiled `struct` for all its values: about a tenth of the time of
reading the same structs attribute by attribute.
"""

from collections.abc import Sequence
from ctypes import addressof, c_int, c_void_p
from math import isfinite
from struct import Struct
from typing import Any, Final, NamedTuple

import pynvml

from submeter.backends.nvml import calls, codes
from submeter.backends.nvml.codes import Fault
from submeter.backends.nvml.library import Function, Session

SCOPE_GPU: Final = 0
SCOPE_MODULE: Final = 1
"""Grace superchips: CPU, GPU and memory together. By the constants of nvml.h (NVML_POWER_SCOPE_*);
the comment beside its POWER fields counts them differently."""


class Field(NamedTuple):
    """What to ask for: NVML's field number, and of which part of the board."""

    number: int
    scope: int = SCOPE_GPU


class FieldValue(NamedTuple):
    """One answer. ``value`` is None where ``code`` isn't success."""

    code: int
    value: int | None
    at_us: int  # the driver's timestamp, wall clock µs
    value_type: int


FIELD_ENERGY: Final = 83  # mJ since the driver was loaded
FIELD_ENERGY_SCOPED: Final = 191  # the same, takes a scope
FIELD_POWER_AVERAGE: Final = 185  # mW, over 1 s
FIELD_POWER_INSTANT: Final = 186  # mW
FIELD_LIMIT_MAX: Final = 188  # mW
FIELD_LIMIT_DEFAULT: Final = 189
FIELD_LIMIT_CURRENT: Final = 190  # includes limits set out of band
FIELD_MEMORY_TEMPERATURE: Final = 82  # °C

THROTTLE_FIELDS: Final[tuple[tuple[str, int], ...]] = (  # reason → cumulative ns
    ("sw_power_cap", 74),
    ("sw_thermal", 269),
    ("hw_thermal", 270),
    ("hw_power_brake", 271),
    ("board_limit", 77),
)

# nvmlValueType_t → how the union is read; every entry is 8 bytes long.
_FORMATS: Final = {0: "d", 1: "I4x", 2: "Q", 3: "Q", 4: "q", 5: "i4x", 6: "H6x"}
_VALUES: Final = {kind: Struct(f"={form}") for kind, form in _FORMATS.items()}
_HEAD: Final = "8xq8xII"  # fieldId, scopeId, timestamp, latencyUsec, valueType, nvmlReturn
_QUICK_HEAD: Final = "8xq8xQ"  # the same with the last two as one number
_SIZE: Final = 40
_ANY: Final = Struct(f"={_HEAD}8s")
_UNSIGNED_32, _UNSIGNED_64 = 1, 3
_NOT_AVAILABLE: Final = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})
_BLANK_FROM: Final = 0x7FFFFFFFFFFFFFF0
"""From here on are the "no value" marks of 64-bit values: DCGM's blanks such as
9223372036854775794, and everything with the sign bit."""


def is_blank(value: int) -> bool:
    """Whether a number is one of the marks for "not available" rather than a measurement."""
    return value in _NOT_AVAILABLE or value >= _BLANK_FROM or value < 0


class FieldBatch:
    """A fixed set of fields of one GPU, read by one `nvmlDeviceGetFieldValues`, several times into
    one array: each answer has a slot of its own."""

    def __init__(
        self, fields: Sequence[Field], types: Sequence[int] | None = None, slots: int = 1
    ) -> None:
        """``types`` are the value types that the GPU gave when probed, for the quick decoding."""
        self.fields = tuple(fields)
        self.array = _array(self.fields * slots)
        self.size = len(self.fields) * _SIZE  # of a slot, in bytes
        self.count = c_int(len(self.fields))
        self.address = addressof(self.array)
        self.pointer = c_void_p(self.address)
        self._asked: tuple[Session, Function] | None = None
        self.types = tuple(types or (_UNSIGNED_64,) * len(self.fields))
        self.quick = Struct("=" + "".join(_QUICK_HEAD + _FORMATS[kind] for kind in self.types))
        """Timestamp, state and value of each field; the values are right where each state is the
        field's type alone, that is with a return code of zero above it."""

    def read(self, session: Session, handle: Any) -> list[FieldValue]:
        """Asks and decodes whatever comes. Raises Fault where the call as a whole failed."""
        if self._asked is None or self._asked[0] is not session:
            function = session.function(calls.FIELD_VALUES)
            if function is None:
                raise Fault(calls.FIELD_VALUES, codes.FUNCTION_NOT_FOUND)
            self._asked = session, function
        number = session.call(self._asked[1], handle, self.count, self.pointer)
        if number:
            raise Fault(calls.FIELD_VALUES, number)
        return self.decode()

    def decode(self, slot: int = 0) -> list[FieldValue]:
        """Each value by the type that it says it has."""
        start = slot * self.size
        return [
            _decoded(*_ANY.unpack_from(self.array, start + i * _SIZE))
            for i in range(len(self.fields))
        ]


def _array(fields: Sequence[Field]) -> Any:
    array = (pynvml.c_nvmlFieldValue_t * len(fields))()
    for entry, field in zip(array, fields, strict=True):
        entry.fieldId, entry.scopeId = field
    return array


def _decoded(at_us: int, value_type: int, code: int, raw: bytes) -> FieldValue:
    if code:
        return FieldValue(code, None, at_us, value_type)
    if value_type not in _FORMATS:
        return FieldValue(codes.UNKNOWN, None, at_us, value_type)
    (value,) = _VALUES[value_type].unpack(raw)
    return FieldValue(codes.SUCCESS, int(value) if isfinite(value) else None, at_us, value_type)
