"""The physics of one board: processes' demands in, exact energy by cause out, event by event.

    power = idle floor + leakage + context step (if anybody holds a context) + Σ dynamic

Power is constant between events (a segment ends, a process comes or goes, the temperature is
updated), so mW · ns = pJ adds up without rounding. Where the SMs are asked for more than there is,
time is shared in proportion; where the power limit is hit, dynamic power is scaled down. How often
anybody looks changes nothing: the next event depends on the scenario alone.
"""

import heapq
import math
from collections.abc import Iterable
from threading import Lock
from typing import Final, NamedTuple

from submeter.backends.mock.history import History, Shares
from submeter.backends.mock.plan import (
    MIG_SLICES,
    PPM,
    BoardPlan,
    MigInstance,
    ProcessPlan,
    life,
)
from submeter.backends.mock.slots import Slot, share_time
from submeter.units import NS_PER_S

_THERMAL_TICK_NS: Final = NS_PER_S
_RECENT: Final = 256  # runs that may have ended within the last seconds


class Used(NamedTuple):
    """What one run of a process truly used on one board up to now, in pJ."""

    dynamic_pj: int
    context_pj: int  # its equal part of the context step while it held the board
    idle_pj: int  # its equal part of the floor while it held the board
    sm_ns: int  # SM time


class Board:
    """One simulated GPU. Owns its state; callers hold ``lock`` while they ask."""

    def __init__(
        self,
        plan: BoardPlan,
        gpu: int,
        seed: int,
        processes: Iterable[ProcessPlan],
        marks_ns: Iterable[int] = (),
    ) -> None:
        self.lock = Lock()
        self.plan = plan
        self.history = History(plan.idle_mw)
        self.slots: list[Slot] = []  # who holds the board now
        self.gone: list[Slot] = []
        self.marks: dict[int, int] = {}  # energy at moments that faults refer to
        self._gpu = gpu
        self._seed = seed
        self._coming = [(p.start_ns, p.index, 0, p) for p in processes if gpu in p.gpus]
        heapq.heapify(self._coming)
        self._marks_ns = sorted(marks_ns)
        self._start_ns = self._end_ns = self._tick_ns = 0
        self._power_mw = self._idle_mw = self._context_mw = 0
        self._throttling = False
        self._withheld_ppm = 0
        self._throttled_ns = 0
        self._unheld_pj = 0
        self._shared_ns = 0  # since when the present holders share the floor
        self._shared_pj = (0, 0)  # floor and context step since then
        thermal = plan.thermal
        self._alpha_ppm = int(-math.expm1(-_THERMAL_TICK_NS / thermal.lag_ns) * PPM)
        self._rest_uc = thermal.ambient_uc + thermal.resistance_uc_per_mw * plan.idle_mw
        self._temperature_uc = self._rest_uc

    def advance(self, to_ns: int) -> None:
        """Lives on until the present segment holds ``to_ns``; never goes back."""
        while self._end_ns <= to_ns:
            self._close()
            self._change(self._end_ns)
            self._share_out()
            self._open(self._end_ns)

    @property
    def power_mw(self) -> int:
        return self._power_mw

    @property
    def temperature_uc(self) -> int:
        return self._temperature_uc

    @property
    def withheld_ppm(self) -> int:
        """Share of the dynamic power asked for that the limit withholds now."""
        return self._withheld_ppm

    def at(self, now_ns: int) -> int:
        """That moment, or the beginning of the present segment if that is later."""
        return max(now_ns, self._start_ns)

    def throttled_ns(self, now_ns: int) -> int:
        """Time spent at the power limit."""
        return self._throttled_ns + (self.at(now_ns) - self._start_ns) * self._throttling

    def unheld_pj(self, now_ns: int) -> int:
        """What the floor used while nobody held the board."""
        return self._unheld_pj + (0 if self.slots else self._shares_pj(now_ns)[0])

    def used(self, slot: Slot, now_ns: int) -> Used:
        """What that run used up to now."""
        if slot not in self.slots:
            return Used(slot.dynamic_pj, slot.context_pj, slot.idle_pj, slot.sm_ppm_ns // PPM)
        since_ns = self.at(now_ns) - self._start_ns
        idle_pj, context_pj = self._shares_pj(now_ns)
        rank, count = self.slots.index(slot), len(self.slots)
        return Used(
            slot.dynamic_pj + slot.power_mw * since_ns,
            slot.context_pj + _part(context_pj, rank, count),
            slot.idle_pj + _part(idle_pj, rank, count),
            (slot.sm_ppm_ns + slot.sm_ppm * since_ns) // PPM,
        )

    def busy_instances_ppm(self, start_ns: int, end_ns: int) -> dict[MigInstance, int]:
        """SM time of each MIG instance that worked between then and then, of its own."""
        where = {slot.life.pid: slot.instance for slot in (*self.gone[-_RECENT:], *self.slots)}
        worked: dict[MigInstance, int] = {}
        for pid, amount in self.history.worked(start_ns, end_ns):
            instance = where.get(pid)
            if instance is not None:
                worked[instance] = worked.get(instance, 0) + amount
        return {
            instance: amount * MIG_SLICES // instance.slices // (end_ns - start_ns)
            for instance, amount in worked.items()
        }

    def _close(self) -> None:
        """Books the segment that has ended."""
        lasted_ns = self._end_ns - self._start_ns
        idle_pj, context_pj = self._shared_pj
        self._shared_pj = (
            idle_pj + self._idle_mw * lasted_ns,
            context_pj + self._context_mw * lasted_ns,
        )
        for slot in self.slots:
            slot.dynamic_pj += slot.power_mw * lasted_ns
            slot.sm_ppm_ns += slot.sm_ppm * lasted_ns
        if self._throttling:
            self._throttled_ns += lasted_ns
        self._start_ns = self._end_ns

    def _change(self, now_ns: int) -> None:
        """Everything that happens at this moment."""
        if self._marks_ns and self._marks_ns[0] <= now_ns:
            mark_ns = self._marks_ns.pop(0)
            self.marks[mark_ns] = self.history.energy_pj(mark_ns)
        if self._tick_ns <= now_ns:
            self._heat(now_ns)
            self._tick_ns = now_ns + _THERMAL_TICK_NS
        leaving = [s for s in self.slots if s.life.end_ns is not None and s.life.end_ns <= now_ns]
        if leaving or (self._coming and self._coming[0][0] <= now_ns):
            self._settle()
            self.slots = [slot for slot in self.slots if slot not in leaving]
            self.gone += leaving
            while self._coming and self._coming[0][0] <= now_ns:
                self._arrive()
        for slot in self.slots:
            slot.proceed(now_ns)

    def _settle(self) -> None:
        """Shares the floor and the context step between those who held the board until now."""
        idle_pj, context_pj = self._shared_pj
        if not self.slots:
            self._unheld_pj += idle_pj
        for rank, slot in enumerate(self.slots):
            slot.idle_pj += _part(idle_pj, rank, len(self.slots))
            slot.context_pj += _part(context_pj, rank, len(self.slots))
        self._shared_pj = (0, 0)

    def _arrive(self) -> None:
        _, index, number, plan = heapq.heappop(self._coming)
        self.slots.append(Slot(plan, life(plan, number), self.plan, self._gpu, self._seed))
        if plan.every_ns:
            following = life(plan, number + 1)
            heapq.heappush(self._coming, (following.start_ns, index, number + 1, plan))

    def _heat(self, now_ns: int) -> None:
        """First-order lag towards what the mean power of the last tick would settle at."""
        energy_pj = self.history.energy_pj(now_ns) - self.history.energy_pj(
            now_ns - _THERMAL_TICK_NS
        )
        thermal = self.plan.thermal
        mean_mw = energy_pj // _THERMAL_TICK_NS
        target_uc = thermal.ambient_uc + thermal.resistance_uc_per_mw * mean_mw
        self._temperature_uc += (target_uc - self._temperature_uc) * self._alpha_ppm // PPM

    def _share_out(self) -> None:
        """Who gets how much SM time and power in the segment that begins."""
        plan = self.plan
        leakage_mw = (
            max(0, self._temperature_uc - self._rest_uc) * plan.thermal.leakage_mw_per_c // PPM
        )
        self._context_mw = plan.context_mw if self.slots else 0
        self._idle_mw = min(plan.idle_mw + leakage_mw, plan.limit_mw - self._context_mw)
        share_time(self.slots)
        available_mw = plan.limit_mw - self._idle_mw - self._context_mw
        dynamic_mw = sum([slot.power_mw for slot in self.slots])
        self._throttling = dynamic_mw > available_mw
        self._withheld_ppm = 0
        if self._throttling:
            self._withheld_ppm = (dynamic_mw - available_mw) * PPM // dynamic_mw
            for slot in self.slots:
                slot.power_mw = slot.power_mw * available_mw // dynamic_mw
            dynamic_mw = sum([slot.power_mw for slot in self.slots])
        self._power_mw = self._idle_mw + self._context_mw + dynamic_mw

    def _open(self, now_ns: int) -> None:
        """The next segment lasts until anything changes."""
        end_ns = self._tick_ns
        for slot in self.slots:
            end_ns = min(end_ns, slot.segment_end_ns)
            if slot.life.end_ns is not None and slot.life.end_ns < end_ns:
                end_ns = slot.life.end_ns
        if self._coming and self._coming[0][0] < end_ns:
            end_ns = self._coming[0][0]
        if self._marks_ns and self._marks_ns[0] < end_ns:
            end_ns = max(self._marks_ns[0], now_ns + 1)
        self._end_ns = end_ns
        shares: Shares = tuple([(slot.life.pid, slot.sm_ppm) for slot in self.slots if slot.sm_ppm])
        self.history.begin(now_ns, self._power_mw, sum([ppm for _, ppm in shares]), shares)

    def _shares_pj(self, now_ns: int) -> tuple[int, int]:
        since_ns = self.at(now_ns) - self._start_ns
        idle_pj, context_pj = self._shared_pj
        return idle_pj + self._idle_mw * since_ns, context_pj + self._context_mw * since_ns


def _part(total: int, rank: int, count: int) -> int:
    """The rank-th of ``count`` equal integer parts; they add up, and none ever shrinks."""
    return (total + count - 1 - rank) // count
