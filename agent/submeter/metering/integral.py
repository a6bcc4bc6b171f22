"""Points of power in, exact energy out: the trapezoid rule in integers.

Σ (p₀ + p₁)·Δt/2 over neighbouring points; mW · ns = pJ, so twice the integral is an integer.
It is kept whole and only divided when somebody asks, so the parts of an integral always add up to
the whole, to the microjoule, however finely it is cut.
"""

from typing import Final

from submeter.units import PJ_PER_UJ

_NEVER_NS: Final = -(1 << 62)
_TWO_PJ_PER_UJ: Final = 2 * PJ_PER_UJ


class Integral:
    """∫power since it was made. Points further apart than ``max_gap_ns`` are not joined.

    A sensor that repeats its value (zero-order hold) is no special case: equal points integrate
    to a rectangle.
    """

    __slots__ = ("_max_gap_ns", "_mw", "at_ns", "twice_pj")

    def __init__(self, max_gap_ns: int) -> None:
        self.at_ns = _NEVER_NS  # the last point's time
        self.twice_pj = 0
        self._mw = 0
        self._max_gap_ns = max_gap_ns

    def add(self, at_ns: int, power_mw: int) -> bool:
        """One more point, not older than the one before; False if nothing joins the two."""
        step_ns = at_ns - self.at_ns
        self.at_ns = at_ns
        joined = step_ns <= self._max_gap_ns
        if joined:
            self.twice_pj += (power_mw + self._mw) * step_ns
        self._mw = power_mw
        return joined

    def part(self) -> None:
        """Whatever was sampled before, the next point is not joined to it."""
        self.at_ns = _NEVER_NS

    @property
    def energy_uj(self) -> int:
        """All energy so far, rounded down to whole µJ."""
        return whole_uj(self.twice_pj)


def whole_uj(twice_pj: int) -> int:
    """Twice an energy in pJ to whole µJ, rounded down: differences of it telescope exactly."""
    return twice_pj // _TWO_PJ_PER_UJ
