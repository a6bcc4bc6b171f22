"""What a board's instruments show: true energy in; counter, instant and average gauge out.

Each instrument gives a new value at its own refresh and repeats it in between, with the time of
that refresh. instant = mean power over its window, average = mean over a second (the boxcar that
Yang et al., SC'24, find on boards from GA10x on), both × gain + offset + noise. The counter is
floor(gain · true energy): no offset and no noise, so gauges with an offset disagree with it as
some boards' do (ml-energy/zeus 181).
"""

from collections.abc import Iterable
from typing import NamedTuple

from submeter.backends.mock import dice
from submeter.backends.mock.board import Board
from submeter.backends.mock.plan import PPM, FaultPlan, SensorPlan
from submeter.units import PJ_PER_UJ, UJ_PER_J


class Shown(NamedTuple):
    """A value and when (scenario time) it was made."""

    value: int | None
    at_ns: int


class Sensors:
    """The instruments of one board. Ask after `Board.advance`, holding its lock."""

    def __init__(self, board: Board, seed: int, gpu: int, faults: Iterable[FaultPlan]) -> None:
        self._board = board
        self._plan = board.plan.sensors
        self._faults = [fault for fault in faults if gpu in fault.gpus]
        self._noise = dice.key(seed, "noise", gpu)
        self._gauge_phase_ns, self._counter_phase_ns = _phases(self._plan, seed, gpu)
        self._start_uj = counter_start_uj(self._plan, seed, gpu)
        self._instant = self._average = self._counter = Shown(None, -1)

    def instant(self, now_ns: int) -> Shown:
        """Mean over the short window, mW."""
        at_ns = _grid(now_ns, self._plan.refresh_ns, self._gauge_phase_ns)
        if self._instant.at_ns != at_ns:
            self._instant = Shown(self._gauge(at_ns, self._plan.window_ns, 0), at_ns)
        return self._instant

    def average(self, now_ns: int) -> Shown:
        """Mean over the long window, mW."""
        at_ns = _grid(now_ns, self._plan.refresh_ns, self._gauge_phase_ns)
        if self._average.at_ns != at_ns:
            self._average = Shown(self._gauge(at_ns, self._plan.average_ns, 1), at_ns)
        return self._average

    def counter(self, now_ns: int) -> Shown:
        """The energy counter, µJ."""
        at_ns = _grid(now_ns, self._plan.counter_refresh_ns, self._counter_phase_ns)
        if self._counter.at_ns != at_ns:
            self._counter = Shown(self._count(at_ns), at_ns)
        return self._counter

    def _gauge(self, at_ns: int, window_ns: int, stream: int) -> int:
        history = self._board.history
        energy_pj = history.energy_pj(at_ns) - history.energy_pj(at_ns - window_ns)
        plan = self._plan
        shown_mw = energy_pj // window_ns * plan.gain_ppm // PPM + plan.offset_mw
        if plan.noise_mw:
            refresh = at_ns // plan.refresh_ns
            shown_mw += dice.bell(self._noise + stream, refresh, plan.noise_mw)
        return max(0, shown_mw)

    def _count(self, at_ns: int) -> int:
        if not self._faults:
            return self._registered_uj(self._board.history.energy_pj(at_ns), self._start_uj)
        stalled_ns = [
            _grid(fault.start_ns, self._plan.counter_refresh_ns, self._counter_phase_ns)
            for fault in self._faults
            if fault.kind == "counter_stall" and fault.active(at_ns)
        ]
        at_ns = min(stalled_ns, default=at_ns)
        reset_ns = max((t for t in map(_reset_ns, self._faults) if 0 <= t <= at_ns), default=-1)
        energy_pj = self._energy_pj(at_ns) - (self._energy_pj(reset_ns) if reset_ns >= 0 else 0)
        moved_uj = sum(
            fault.energy_uj if fault.kind == "counter_jump" else -fault.energy_uj
            for fault in self._faults
            if fault.kind in {"counter_jump", "counter_back"}
            and fault.start_ns >= reset_ns
            and fault.active(at_ns)
        )
        return self._registered_uj(energy_pj, (0 if reset_ns >= 0 else self._start_uj) + moved_uj)

    def _energy_pj(self, at_ns: int) -> int:
        mark_pj = self._board.marks.get(at_ns)
        return self._board.history.energy_pj(at_ns) if mark_pj is None else mark_pj

    def _registered_uj(self, energy_pj: int, base_uj: int) -> int:
        shown_uj = base_uj + energy_pj * self._plan.gain_ppm // (PPM * PJ_PER_UJ)
        step_uj = self._plan.counter_step_uj
        return max(0, shown_uj // step_uj * step_uj)


def counter_start_uj(plan: SensorPlan, seed: int, gpu: int) -> int:
    """What the counter shows at the scenario's beginning."""
    if plan.counter_start_uj is not None:
        return plan.counter_start_uj
    return dice.draw(dice.key(seed, "counter", gpu), 0) % 100_000_000 * UJ_PER_J


def marks_ns(plan: SensorPlan, seed: int, gpu: int, faults: Iterable[FaultPlan]) -> list[int]:
    """Moments whose energy must be known long afterwards: resets and beginnings of stalls."""
    _, phase_ns = _phases(plan, seed, gpu)
    mine = [fault for fault in faults if gpu in fault.gpus]
    marks = [_reset_ns(fault) for fault in mine if _reset_ns(fault) >= 0]
    marks += [
        _grid(fault.start_ns, plan.counter_refresh_ns, phase_ns)
        for fault in mine
        if fault.kind == "counter_stall"
    ]
    return marks


def _reset_ns(fault: FaultPlan) -> int:
    """When the counter restarts because of that fault; −1 if it does not."""
    if fault.kind == "counter_reset":
        return fault.start_ns
    if fault.kind == "driver_unavailable" and fault.reload and fault.end_ns is not None:
        return fault.end_ns  # "since the driver was last reloaded" (nvml.h)
    return -1


def _phases(plan: SensorPlan, seed: int, gpu: int) -> tuple[int, int]:
    """Boards' sensors don't tick together."""
    stream = dice.key(seed, "phase", gpu)
    return (
        dice.draw(stream, 0) % plan.refresh_ns,
        dice.draw(stream, 1) % plan.counter_refresh_ns,
    )


def _grid(at_ns: int, refresh_ns: int, phase_ns: int) -> int:
    return (at_ns - phase_ns) // refresh_ns * refresh_ns + phase_ns
