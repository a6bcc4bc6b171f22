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

    __slots__ = ("_bucket", "_ring", "_until_ns")

    def __init__(self) -> None:
        self._until_ns = 0  # end of the open bucket
        # A bucket is its number, its low and its high. The last one in the ring is open: its low
        # only falls, its high only rises. The ring is replaced, never changed, so that a reader in
        # another thread sees one that is whole.
        self._bucket: list[int] = []
        self._ring: tuple[list[int], ...] = ()

    def add(self, at_ns: int, power_mw: int) -> None:
        """One more value; times must not go backwards."""
        bucket = self._bucket
        if at_ns >= self._until_ns:
            self._open(at_ns, power_mw)
        elif power_mw > bucket[2]:
            bucket[2] = power_mw
        elif power_mw < bucket[1]:
            bucket[1] = power_mw

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
        self._until_ns = (number + 1) * _BUCKET_NS
        self._bucket = [number, power_mw, power_mw]
        self._ring = (*self._ring[1 - _BUCKETS :], self._bucket)
