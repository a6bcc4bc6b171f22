"""A board's answers in, its readings out: understood in C where nothing about them is odd."""

import struct
from collections.abc import Sequence
from ctypes import addressof, byref, c_char, c_int64
from typing import TYPE_CHECKING

from submeter.model import Reading
from submeter.ticking.layout import HELD, READING, Usual

if TYPE_CHECKING:
    from submeter.ticking.pacer import Library, Room


class Understanding:
    """Owns the numbers of one board that says its energy, instantaneous and average power."""

    def __init__(
        self, functions: "Library", room: "Room", types: Sequence[int], cap_mw: int
    ) -> None:
        """``types``: those of the values, by nvml.h; ``cap_mw``: no board draws more."""
        state = room.state
        self._understand = functions.understand
        self._room = room  # kept alive
        self._rows = (c_char * (state.slots * READING.size))()
        self._bytes = memoryview(self._rows).cast("B")
        self._usual = Usual(
            values=state.values,
            ends_ns=state.ends_ns,
            codes=state.codes,
            rows=addressof(self._rows),
            slot_bytes=state.slot_bytes,
            types=(c_int64 * len(types))(*types),
            cap_mw=cap_mw,
        )
        self._reference = byref(self._usual)

    def readings(
        self, filled: int, hold_ns: int, said: Sequence[int], quiet_until_ns: int
    ) -> tuple[tuple[Reading, ...], tuple[int, ...], int] | None:
        """What the first answers say, without what the sensors said again within ``hold_ns``; with
        the newest values and until when they are nothing new. None where one of them has to be
        looked at by itself."""
        usual, at = self._usual, Usual.hold_ns.offset
        try:
            HELD.pack_into(usual, at, hold_ns, *said, quiet_until_ns)
        except struct.error:
            return None  # nothing was said yet, or what no board says
        count = self._understand(self._reference, filled)
        if count < 0:
            return None
        rows = READING.iter_unpack(self._bytes[: count * READING.size])
        _, *newest, quiet_until_ns = HELD.unpack_from(usual, at)
        return tuple(map(Reading._make, rows)), tuple(newest), quiet_until_ns
