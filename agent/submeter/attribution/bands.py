"""Seconds in, their sums by how much power was drawn out: fine bands kept, wide ones made of them.

What powers there will be isn't known beforehand: bands begin fine and are joined in pairs when
there are too many.
"""

from dataclasses import dataclass
from typing import Final

from submeter.attribution.linear import Vector

_MOST: Final = 96
_FINEST_WATTS: Final = 0.125


@dataclass(slots=True)
class Band:
    """Sums over weighted seconds; for one second with its weight, plain values."""

    mass: float
    z: Vector
    x: Vector
    watts: float


class Bands:
    """Sums by power."""

    def __init__(self) -> None:
        self._bands: dict[int, Band] = {}
        self._step_watts = _FINEST_WATTS

    def add(self, second: Band) -> None:
        """One second; ``mass`` is its weight."""
        weight = second.mass
        part = Band(
            weight,
            [weight * value for value in second.z],
            [weight * value for value in second.x],
            weight * second.watts,
        )
        self._put(int(second.watts / self._step_watts), part)
        if len(self._bands) > _MOST:
            self._step_watts *= 2
            fine, self._bands = self._bands, {}
            for key, band in fine.items():
                self._put(key // 2, band)

    def wide(self, count: int, mass: float) -> list[Band]:
        """About ``count`` bands of about equal mass, of ``mass`` together."""
        each = mass / count
        wide: list[Band] = []
        for key in sorted(self._bands):
            band = self._bands[key]
            if wide and wide[-1].mass < each:
                _merge(wide[-1], band)
            else:
                wide.append(Band(band.mass, list(band.z), list(band.x), band.watts))
        return wide

    def add_column(self) -> None:
        """One more process."""
        for band in self._bands.values():
            band.z.append(0.0)
            band.x.append(0.0)

    def drop_column(self, z: int, x: int, beta: float) -> None:
        """One process less; what it drew is taken off."""
        for band in self._bands.values():
            band.watts -= beta * band.x.pop(x)
            del band.z[z]

    def scale(self, by: float) -> None:
        """All weights times that."""
        for band in self._bands.values():
            band.mass *= by
            band.watts *= by
            band.z = [value * by for value in band.z]
            band.x = [value * by for value in band.x]

    def _put(self, key: int, part: Band) -> None:
        known = self._bands.setdefault(key, part)
        if known is not part:
            _merge(known, part)


def _merge(into: Band, other: Band) -> None:
    into.mass += other.mass
    into.watts += other.watts
    into.z = [a + b for a, b in zip(into.z, other.z, strict=True)]
    into.x = [a + b for a, b in zip(into.x, other.x, strict=True)]
