"""Digests of accounts in, what is known of those who left out: 20 bytes for each series.

An open-addressed table in one piece of memory. As a dictionary it would be three hundred bytes for
each, and on a busy node a thousand leave within minutes.
"""

import struct
from collections.abc import Iterator
from typing import Final

from submeter.model import Method

DIGEST_BYTES: Final = 16
_PLACE: Final = struct.Struct(f"<{DIGEST_BYTES}sI")  # digest, series × methods + method; 0: empty
_METHODS: Final = tuple(Method)
_LEAST: Final = 256  # places


class Left:
    """Owns the table. A digest is of whom a series is; it may have one series for each method."""

    def __init__(self) -> None:
        self._count = 0
        self._places = _LEAST
        self._table = bytearray(_PLACE.size * _LEAST)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        return any(True for _, said in self._from(digest) if said)

    def series(self, digest: bytes, method: Method) -> int | None:
        """The number of the series that was left."""
        mine = _METHODS.index(method)
        for _, said in self._from(digest):
            if said and said % len(_METHODS) == mine:
                return said // len(_METHODS)
        return None

    def add(self, digest: bytes, method: Method, series: int) -> None:
        """From now on that is the series that was left; numbers begin at 1."""
        if 3 * self._count > 2 * self._places:
            self._grow()
        mine = _METHODS.index(method)
        for at, said in self._from(digest):
            if not said or said % len(_METHODS) == mine:
                self._count += not said
                _PLACE.pack_into(self._table, at, digest, series * len(_METHODS) + mine)
                return

    def _from(self, digest: bytes) -> Iterator[tuple[int, int]]:
        """The places of that digest with what they say, and the empty one after them."""
        place = int.from_bytes(digest[:8], "little") % self._places
        while True:
            at = place * _PLACE.size
            found, said = _PLACE.unpack_from(self._table, at)
            if not said or found == digest:
                yield at, said
            if not said:
                return
            place = (place + 1) % self._places

    def _grow(self) -> None:
        known = [each for each in _PLACE.iter_unpack(self._table) if each[1]]
        self._places *= 2
        self._table = bytearray(_PLACE.size * self._places)
        for digest, said in known:
            empty = next(at for at, there in self._from(digest) if not there)
            _PLACE.pack_into(self._table, empty, digest, said)
