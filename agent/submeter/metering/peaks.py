"""Powers as they are read in, the lowest and highest of the last 15 s out.

A ring of one-second buckets: O(1) per reading, and no peak between two scrapes is lost. The oldest
bucket is dropped as a whole, so the window is never shorter than asked for and at most one bucket
longer.
"""

from typing import Final

from submeter.model import PowerPeaks
from submeter.units import NS_PER_S

WINDOW_NS: Final = 15 * NS_PER_S
_BUCKET_NS: Final = NS_PER_S
_BUCKETS: Final = WINDOW_NS // _BUCKET_NS + 1


class Peaks:
    """Owns the last seconds' extremes of one GPU. One thread adds, any thread may look."""

    __slots__ = ("_full", "_ring", "high_mw", "low_mw", "until_ns")

    def __init__(self) -> None:
        self.until_ns = 0  # end of the open bucket
        self.low_mw = 0
        self.high_mw = 0
        # Finished and open buckets (number, low, high); replaced, never changed, so that a reader
        # in another thread sees one that is whole.
        self._ring: tuple[tuple[int, int, int], ...] = ()

    def add(self, at_ns: int, power_mw: int) -> None:
        """One more value; times must not go backwards."""
        if at_ns >= self.until_ns:
            self._open(at_ns, power_mw)
        elif power_mw > self.high_mw:
            self.high_mw = power_mw
            self._renew()
        elif power_mw < self.low_mw:
            self.low_mw = power_mw
            self._renew()

    def look(self, now_ns: int) -> PowerPeaks | None:
        """The extremes of the last `WINDOW_NS`; None if no power was read in that time."""
        oldest = now_ns // _BUCKET_NS - _BUCKETS + 1
        recent = [bucket for bucket in self._ring if bucket[0] >= oldest]
        if not recent:
            return None
        return PowerPeaks(
            window_ns=WINDOW_NS,
            min_mw=min(low for _, low, _ in recent),
            max_mw=max(high for _, _, high in recent),
        )

    def _open(self, at_ns: int, power_mw: int) -> None:
        number = at_ns // _BUCKET_NS
        self.until_ns = (number + 1) * _BUCKET_NS
        self.low_mw = self.high_mw = power_mw
        self._ring = (*self._ring[1 - _BUCKETS :], (number, power_mw, power_mw))

    def _renew(self) -> None:
        number = self._ring[-1][0]
        self._ring = (*self._ring[:-1], (number, self.low_mw, self.high_mw))
