"""The structures of ``ticking.c`` and ``understanding.c``, as `ctypes` sees them."""

from ctypes import POINTER, Structure, c_int32, c_int64, c_void_p, sizeof
from struct import Struct
from typing import Final

LAYOUT: Final = 3
"""As in the C file: a library of another layout is not used."""


class Board(Structure):
    """A board and the answers that nobody has taken yet; the C file says what each field is."""

    _fields_ = (
        ("ask", c_void_p),
        ("device", c_void_p),
        ("values", c_void_p),
        ("ends_ns", c_void_p),
        ("codes", c_void_p),
        ("slot_bytes", c_int64),
        ("took_ns", c_int64),
        ("count", c_int32),
        ("slots", c_int32),
        ("filled", c_int32),
        ("unused", c_int32),
    )


class Round(Structure):
    """Boards with the same deadlines."""

    _fields_ = (
        ("boards", POINTER(POINTER(Board))),
        ("period_ns", c_int64),
        ("next_ns", c_int64),
        ("take_ns", c_int64),
        ("tick_ns", c_int64),
        ("missed", c_int64),
        ("polls", c_int64),
        ("count", c_int32),
        ("hasty", c_int32),
    )


class Lane(Structure):
    """What one thread waits for."""

    _fields_ = (
        ("rounds", POINTER(POINTER(Round))),
        ("turn", c_int64),
        ("since_ns", c_int64),
        ("late_bounds_ns", POINTER(c_int64)),
        ("late_counts", POINTER(c_int64)),
        ("late_sum_ns", c_int64),
        ("late_bound_count", c_int32),
        ("count", c_int32),
        ("stop", c_int32),
        ("unused", c_int32),
    )


READING: Final = Struct("=7q")
"""A row of ``understanding.c``: the fields of `submeter.model.Reading`."""
HELD: Final = Struct("=5q")
"""The last fields of `Usual`, from ``hold_ns`` on."""


class Usual(Structure):
    """A board's answers, and what ordinary ones look like."""

    _fields_ = (
        ("values", c_void_p),
        ("ends_ns", c_void_p),
        ("codes", c_void_p),
        ("rows", c_void_p),
        ("slot_bytes", c_int64),
        ("types", c_int64 * 3),
        ("cap_mw", c_int64),
        ("hold_ns", c_int64),
        ("said", c_int64 * 3),
        ("quiet_until_ns", c_int64),
    )


def expected() -> int:
    """What ``submeter_layout`` gives in a library that fits."""
    sizes = sizeof(Board) * 1_000_000 + sizeof(Round) * 1_000 + sizeof(Lane)
    return LAYOUT * 1_000_000_000 + sizes


def expected_usual() -> int:
    """What ``submeter_usual`` gives in a library that fits."""
    return sizeof(Usual) * 1_000 + READING.size
