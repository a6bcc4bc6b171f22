"""What a board drew lately: piecewise-constant power in, exact energy between any two moments out.

Kept for `HORIZON_NS`: long enough for the longest sensor window and the utilisation ring.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from submeter.backends.mock.plan import PPM
from submeter.units import NS_PER_S

HORIZON_NS: Final = 12 * NS_PER_S

Shares = tuple[tuple[int, int], ...]
"""(PID, SM time per time in ppm) of everybody who worked."""


class History:
    """Columns of segments: where each begins, energy and busy time up to there, rates in it."""

    def __init__(self, idle_mw: int) -> None:
        self._starts = [-HORIZON_NS]  # before the scenario began the board idled
        self._energy_pj = [-HORIZON_NS * idle_mw]
        self._power_mw = [idle_mw]
        self._busy = [0]
        self._busy_ppm = [0]
        self._shares: list[Shares] = [()]
        self._prune_at = 256

    def begin(self, at_ns: int, power_mw: int, busy_ppm: int, shares: Shares) -> None:
        """A new segment; what went before is closed. ``at_ns`` never decreases."""
        lasted_ns = at_ns - self._starts[-1]
        self._energy_pj.append(self._energy_pj[-1] + self._power_mw[-1] * lasted_ns)
        self._busy.append(self._busy[-1] + self._busy_ppm[-1] * lasted_ns)
        self._starts.append(at_ns)
        self._power_mw.append(power_mw)
        self._busy_ppm.append(busy_ppm)
        self._shares.append(shares)
        if len(self._starts) >= self._prune_at:
            self._prune(at_ns - HORIZON_NS)

    def energy_pj(self, at_ns: int) -> int:
        """Energy from the scenario's beginning to then; exact within the horizon."""
        row = bisect_right(self._starts, at_ns) - 1
        if row < 0:
            return self._energy_pj[0]
        return self._energy_pj[row] + self._power_mw[row] * (at_ns - self._starts[row])

    def busy_ppm(self, start_ns: int, end_ns: int) -> int:
        """Mean share of time during which anybody worked."""
        return (self._busy_until(end_ns) - self._busy_until(start_ns)) // (end_ns - start_ns)

    def worked(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """(PID, SM time in ppm · ns) of that time, in order; a PID comes up again and again."""
        row = max(0, bisect_right(self._starts, start_ns) - 1)
        while start_ns < end_ns:
            last = row + 1 == len(self._starts)
            until_ns = end_ns if last else min(end_ns, self._starts[row + 1])
            for pid, ppm in self._shares[row]:
                yield pid, ppm * (until_ns - start_ns)
            start_ns = until_ns
            row += 1

    def _busy_until(self, at_ns: int) -> int:
        row = max(0, bisect_right(self._starts, at_ns) - 1)
        return self._busy[row] + min(PPM, self._busy_ppm[row]) * (at_ns - self._starts[row])

    def _prune(self, before_ns: int) -> None:
        cut = max(0, bisect_right(self._starts, before_ns) - 1)
        for column in (
            self._starts,
            self._energy_pj,
            self._power_mw,
            self._busy,
            self._busy_ppm,
            self._shares,
        ):
            del column[:cut]
        self._prune_at = 2 * len(self._starts) + 256
