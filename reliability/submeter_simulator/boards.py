"""A plan and events in, a GPU as the driver shows it out; and what its counter has shown.

What it draws is constant between events, so what it used is exact. The counter shows what it was
at the last refresh, in whole millijoules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from submeter.backends import Tally
from submeter.clock import FakeClock
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.model import (
    Activity,
    EnergySource,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    Reading,
    UtilisationSample,
)
from submeter.units import NS_PER_MS, NS_PER_US, PJ_PER_UJ, UJ_PER_J, UJ_PER_MJ
from submeter_simulator.timeline import BoardPlan

NONSENSE: Final = (
    lambda _lifetime_uj: 0,
    lambda _lifetime_uj: 200 * UJ_PER_J,
    lambda lifetime_uj: lifetime_uj // 2,
    lambda lifetime_uj: lifetime_uj * 2,
    lambda _lifetime_uj: 2**64,
)
_TWITCHES_FROM_UJ: Final = 20 * UJ_PER_J
_LEAST_FALL_UJ: Final = 30 * UJ_PER_J
"""A counter that begins at zero again is seen to have fallen by that much, or the meter can't know:
10 J are jitter, and some is drawn until it is read."""


class Trouble(NamedTuple):
    """A call fails until then."""

    call: str
    means: str
    until_ns: int


@dataclass(slots=True)
class Board:
    """A GPU, whoever looks at it. Times are boot time."""

    index: int
    plan: BoardPlan
    start_uj: int
    power_mw: int = 50_000
    at_ns: int = 0
    used_pj: int = 0  # in all, ever
    counted_pj: int = 0  # since the counter began
    shown_uj: int = 0
    frozen_uj: int | None = None  # the counter stands still at that
    troubles: list[Trouble] = field(default_factory=list)
    hang_ns: int = 0  # of the next call
    blank_until_ns: int = 0
    stalled_until_ns: int = 0
    vanished_until_ns: int = 0
    odd_uj: Callable[[int], int] | None = None  # what the counter shows once
    late_uj: int = 0  # what it lacks once
    pids: list[int] = field(default_factory=list)
    delivered: Callable[[int, bool], None] = lambda _uj, _odd: None

    @property
    def uuid(self) -> str:
        return f"GPU-{self.index:08d}"

    def begin(self, at_ns: int) -> None:
        """It was in use before anybody looked."""
        self.at_ns, self.counted_pj = at_ns, self.start_uj * PJ_PER_UJ
        self.shown_uj = self.start_uj

    def advance(self, at_ns: int) -> None:
        """Time passes."""
        if at_ns <= self.at_ns:
            return
        refresh_ns = self.plan.refresh_ms * NS_PER_MS
        mark_ns = at_ns // refresh_ns * refresh_ns
        if mark_ns > self.at_ns:
            counted_pj = self.counted_pj + self.power_mw * (mark_ns - self.at_ns)
            self.shown_uj = counted_pj // PJ_PER_UJ // UJ_PER_MJ * UJ_PER_MJ
        used_pj = self.power_mw * (at_ns - self.at_ns)
        self.used_pj += used_pj
        self.counted_pj += used_pj
        self.at_ns = at_ns
        if self.frozen_uj is not None and at_ns >= self.stalled_until_ns:
            self.frozen_uj = None

    def reset(self) -> None:
        """The counter begins at zero."""
        self.counted_pj = self.shown_uj = 0
        self.frozen_uj = None

    def boot(self, at_ns: int) -> None:
        """The machine was started at boot time zero, and with it the counter."""
        self.reset()
        self.at_ns = 0
        self.troubles, self.pids = [], []
        self.hang_ns = self.blank_until_ns = self.stalled_until_ns = self.vanished_until_ns = 0
        self.odd_uj = None
        self.advance(at_ns)

    def stall(self, until_ns: int) -> None:
        """The counter stands still until then."""
        self.frozen_uj = self.shown_uj
        self.stalled_until_ns = until_ns

    def calm(self) -> None:
        """Nothing is wrong any more."""
        self.troubles.clear()
        self.hang_ns = self.blank_until_ns = self.stalled_until_ns = self.vanished_until_ns = 0
        self.frozen_uj = self.odd_uj = None
        self.late_uj = 0

    def counter_uj(self) -> tuple[int, bool]:
        """What is shown now, and whether that is the nonsense that was asked for, once."""
        odd, self.odd_uj = self.odd_uj, None
        shown_uj = self.shown_uj if self.frozen_uj is None else self.frozen_uj
        if shown_uj > _TWITCHES_FROM_UJ:
            shown_uj -= self.late_uj
        self.late_uj = 0
        return (shown_uj, False) if odd is None else (odd(shown_uj), True)


class ScriptedDevice:
    """A board that was opened. ``driver_until_ns`` says until when no GPU can be used."""

    def __init__(self, board: Board, clock: FakeClock, driver_until_ns: Callable[[], int]) -> None:
        self.board = board
        self.tally = Tally()
        self.closed = False
        self.info = _info(board)
        self._clock = clock
        self._driver_until_ns = driver_until_ns
        self._kept: list[tuple[Reading, bool]] = []

    def hold(self, duration_ns: int) -> None:
        """Nothing is left out."""

    def poll(self, now_ns: int) -> None:
        try:
            self._kept.append(self._read(now_ns))
        except (ReadFailed, DeviceLost, DriverUnavailable):
            return

    def readings(self, now_ns: int) -> Sequence[Reading]:
        kept, self._kept = self._kept, []
        try:
            kept.append(self._read(now_ns))
        except (ReadFailed, DeviceLost, DriverUnavailable):
            if not kept:
                raise
        for reading, odd in kept:
            if reading.energy_uj is not None:
                self.board.delivered(reading.energy_uj, odd)
        return [reading for reading, _ in kept]

    def _read(self, now_ns: int) -> tuple[Reading, bool]:
        at_ns = self._check("readings", now_ns)
        board, source = self.board, self.board.plan.source
        energy_uj, odd = None, False
        if source == "counter" and at_ns >= board.blank_until_ns:
            energy_uj, odd = board.counter_uj()
        # a gauge that shows half of it while the counter stands still: what is bridged by it is
        # never more than what the counter then shows
        silent = board.frozen_uj is not None or at_ns < board.blank_until_ns
        power_mw = board.power_mw // 2 if silent else board.power_mw
        average_mw = power_mw if source == "average" else None
        at_us = self._clock.wall_ns() // NS_PER_US
        return Reading(at_ns, energy_uj, at_us, power_mw, at_us, average_mw, at_us), odd

    def activity(self, now_ns: int) -> Activity:
        at_ns = self._check("activity", now_ns)
        busy = 0 if not self.board.pids else 60
        return Activity(at_ns, busy, len(self.board.pids) << 30)

    def gauges(self, now_ns: int) -> Gauges:
        at_ns = self._check("gauges", now_ns)
        watts = self.board.power_mw // 1_000
        throttled_ns = self.board.used_pj // 1_000_000
        return Gauges(at_ns, 30 + watts // 15, None, self.board.plan.limit_mw, (), (
            ("sw_power_cap", throttled_ns),
        ))  # fmt: skip

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        self._check("holders", now_ns)
        if not self.board.plan.mig:
            return [Holder(pid, memory_bytes=1 << 30) for pid in self.board.pids]
        return [
            Holder(pid, "compute", 1 << 30, pid % 2 + 1, 0, f"1g.10gb/{pid % 2 + 1}")
            for pid in self.board.pids
        ]

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        self._check("utilisation", now_ns)
        if not self.board.plan.utilisation or self.board.plan.mig:
            return None
        at_us = self._clock.wall_ns() // NS_PER_US
        return [UtilisationSample(pid, at_us, pid % 97) for pid in self.board.pids]

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        self._check("instances", now_ns)
        if not self.board.plan.mig:
            return None
        return [InstanceActivity(number, 1, 300_000 * number) for number in (1, 2)]

    def _check(self, call: str, now_ns: int) -> int:
        """When the call comes back. Raises what the script says."""
        board = self.board
        if board.hang_ns:
            self._clock.advance(board.hang_ns)
            board.hang_ns = 0
            now_ns = self._clock.boottime_ns()
        board.advance(max(now_ns, board.at_ns))
        if self.closed or now_ns < board.vanished_until_ns:
            self._fail(call, "lost")
        if now_ns < self._driver_until_ns():
            self._fail(call, "driver")
        for trouble in board.troubles:
            if trouble.call == call and now_ns < trouble.until_ns:
                self._fail(call, trouble.means)
        self.tally.took(call, 10 * NS_PER_US)
        return now_ns

    def _fail(self, call: str, means: str) -> None:
        self.tally.failed(call, means)
        if means == "lost":
            self.closed = True
            raise DeviceLost("gpu_is_lost")
        if means == "driver":
            raise DriverUnavailable("driver_not_loaded", "simulated")
        raise ReadFailed("simulated")


def falls_visibly(highest_uj: int, value_uj: int) -> bool:
    """Whether a counter that began anew and shows that value can be known to have."""
    return value_uj <= highest_uj - _LEAST_FALL_UJ


def _info(board: Board) -> GpuInfo:
    return GpuInfo(
        uuid=board.uuid,
        index=board.index,
        name="NVIDIA H100 80GB HBM3",
        driver="580.95.05",
        pci_bus_id=f"00000000:{board.index:02X}:00.0",
        arch="hopper",
        energy_source=EnergySource(board.plan.source),
        power_window="1s" if board.plan.source == "average" else "25ms",
        refresh_ns=board.plan.refresh_ms * NS_PER_MS,
        refresh_measured=board.index % 2 == 0,
        memory_total_bytes=80 << 30,
        power_limit_max_mw=board.plan.limit_mw,
        mig=board.plan.mig,
    )
