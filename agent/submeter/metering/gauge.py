"""A board's power values in, their exact integral and their extremes out."""

from typing import Final, NamedTuple

from submeter.metering.integral import Integral
from submeter.metering.peaks import Peaks
from submeter.model import EnergySource

_NO_LOW_MW: Final = 1 << 62
_NO_HIGH_MW: Final = -1


class Stretch(NamedTuple):
    """What the gauge showed since the last cut; None where it showed nothing."""

    low_mw: int | None
    high_mw: int | None
    integral_uj: int | None  # None as well if there is a hole in it


class Gauge:
    """Owns what is known of one GPU's power.

    Integrated is the 1-s average where the board has it, since it leaves no time out, else
    instantaneous power; for a source that is one of the two, that one alone. The extremes are of
    instantaneous power where there is any. Power beyond ``ceiling_mw`` is no power.
    """

    __slots__ = (
        "_by_average",
        "_ceiling_mw",
        "_either",
        "_high_mw",
        "_low_mw",
        "_start_uj",
        "_whole",
        "integral",
        "peaks",
    )

    def __init__(self, source: EnergySource, ceiling_mw: int, join_ns: int) -> None:
        self.integral = Integral(join_ns)
        self.peaks = Peaks()
        self._by_average = source in (EnergySource.COUNTER, EnergySource.AVERAGE)
        self._either = source is EnergySource.COUNTER
        self._ceiling_mw = ceiling_mw if source is not EnergySource.NONE else -1
        self._start_uj = 0
        self._whole = False  # nothing is integrated before the second point
        self._low_mw = _NO_LOW_MW
        self._high_mw = _NO_HIGH_MW

    def add(self, at_ns: int, instant_mw: int | None, average_mw: int | None) -> bool | None:
        """One reading's power: True if it continues the integral, False if there is a hole
        before it, None if there is nothing to integrate."""
        shown_mw = average_mw if instant_mw is None else instant_mw
        if shown_mw is not None and 0 <= shown_mw <= self._ceiling_mw:
            if not self._low_mw <= shown_mw <= self._high_mw:
                self._widen(shown_mw)
            self.peaks.add(at_ns, shown_mw)
        power_mw = average_mw if self._by_average else instant_mw
        if power_mw is None and self._either:
            power_mw = instant_mw
        if power_mw is None or not 0 <= power_mw <= self._ceiling_mw:
            return None
        joined = self.integral.add(at_ns, power_mw)
        if not joined:
            self._whole = False
        return joined

    def cut(self) -> Stretch:
        """What there was since the last cut, and starts anew."""
        energy_uj = self.integral.energy_uj
        shown = self._high_mw != _NO_HIGH_MW
        stretch = Stretch(
            low_mw=self._low_mw if shown else None,
            high_mw=self._high_mw if shown else None,
            integral_uj=energy_uj - self._start_uj if shown and self._whole else None,
        )
        self._start_uj = energy_uj
        self._whole = True
        self._low_mw = _NO_LOW_MW
        self._high_mw = _NO_HIGH_MW
        return stretch

    def _widen(self, power_mw: int) -> None:
        if power_mw < self._low_mw:
            self._low_mw = power_mw
        if power_mw > self._high_mw:
            self._high_mw = power_mw
