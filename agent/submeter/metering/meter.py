"""One GPU's readings in, contiguous intervals out: the hot path, 10 to 200 readings a second.

Where the energy comes from:

| source            | booked                                                                     |
|-------------------|----------------------------------------------------------------------------|
| counter           | what `submeter.metering.counter` believes of it; its table has all rules   |
| … stalled or gone | ∫power, once more than ``stall_uj`` was drawn in more than ``stall_ns``    |
|                   | without the counter moving; when it moves again, only what exceeds that    |
| average, instant  | ∫power over every reading; times without points are unmetered              |
| none              | nothing; all time is unmetered                                             |

When it is booked, and what nobody saw:

| what happens                   | intervals                                                     |
|--------------------------------|---------------------------------------------------------------|
| a reading after a boundary     | its energy belongs to the interval in which it is read: a     |
|                                | boundary is late by at most one refresh, and the sum is exact |
| no reading for > ``gap_ns``    | up to the last reading: observed; from there to the next one: |
| (stopped, suspended) or `lost` | not observed, with all that the counter gained meanwhile      |
| a counter catches up that was  | the same: the energy is real, but it came too late to say     |
| silent or stood for > ``gap_ns``| whose it was                                                 |
| the agent was not running      | the same, from where its last interval ended, ``agent_down``  |
| the counter restarts           | a new one, of the next epoch; the time since the last value is|
|                                | unmetered, since what was counted in it is gone               |
"""

from typing import Final

from submeter.metering.counter import NO_FAULTS, Counter
from submeter.metering.gauge import Gauge
from submeter.metering.integral import whole_uj
from submeter.metering.limits import DEFAULT, Limits
from submeter.model import (
    EnergySource,
    Interval,
    MeterState,
    PowerPeaks,
    Reading,
    UnmeteredReason,
)
from submeter.units import PJ_PER_UJ

_NEVER_NS: Final = 1 << 62


class Meter:
    """Owns one GPU's open interval. One thread calls it; `peaks` may be called from any."""

    __slots__ = (
        "_agent_down",
        "_base_twice_pj",
        "_before_ns",
        "_by_power",
        "_counted",
        "_counter",
        "_dark",
        "_done",
        "_energy_uj",
        "_epoch",
        "_gap_ns",
        "_gauge",
        "_gpu_uuid",
        "_join_ns",
        "_known_ns",
        "_limits",
        "_lost",
        "_marked_ns",
        "_observed",
        "_posted_uj",
        "_read_ns",
        "_readings",
        "_returning",
        "_stall_ns",
        "_stalls",
        "_start_ns",
        "_unmetered_ns",
        "source",
    )

    def __init__(
        self,
        gpu_uuid: str,
        source: EnergySource,
        limit_max_mw: int | None,
        refresh_ns: int,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        """``limit_max_mw``: the most the board can be set to; ``refresh_ns``: of its sensors."""
        ceiling_mw = limits.headroom * (limit_max_mw or limits.unknown_limit_mw)
        self.source = source  # the one in use now: ∫power while a counter stands still
        self._gpu_uuid = gpu_uuid
        self._limits = limits
        self._gap_ns = max(limits.gap_ns, 3 * refresh_ns)
        self._join_ns = max(limits.join_ns, 3 * refresh_ns)
        self._counted = source is EnergySource.COUNTER
        self._stall_ns = max(limits.stall_ns, 3 * refresh_ns) if self._counted else _NEVER_NS
        self._by_power = not self._counted  # energy comes from ∫power now
        self._counter = Counter(ceiling_mw, refresh_ns, limits)
        self._gauge = Gauge(source, ceiling_mw, self._join_ns)

        self._read_ns = -1  # the last reading
        self._known_ns = 0  # the energy is known until then,
        self._marked_ns = 0  # and the seconds that it isn't known for are counted until then
        self._dark = True  # nobody is watching…
        self._lost = False  # …as somebody said
        self._returning = False  # the unobserved time ends with the present reading
        self._base_twice_pj = 0  # ∫power when the counter was last believed to have moved
        self._posted_uj = 0  # the part of ∫power that is in closed intervals

        self._done: list[Interval] = []
        self._start_ns = -1  # before the first reading there is no interval
        self._epoch = 0
        self._observed = True
        self._energy_uj = 0
        self._readings = 0
        self._stalls = 0
        self._unmetered_ns: dict[UnmeteredReason, int] = {}
        self._agent_down = False  # nobody is watching since before this agent was started
        self._before_ns = 0  # time between an earlier agent's last interval and boot time zero

    def resume(self, state: MeterState) -> None:
        """Before the first reading: goes on where an agent of the same boot ended."""
        self._start_ns, self._read_ns = state.end_ns, state.read_ns
        self._known_ns = self._counter.at_ns = state.known_ns
        self._agent_down, self._observed = True, False
        if self._counted and state.counter is not None:
            self._counter.resume(state.counter)
            self._epoch = state.counter.epoch

    def resume_rebooted(self, state: MeterState, now_ns: int, before_ns: int) -> None:
        """Before the first reading: goes on where an agent ended ``before_ns`` before this boot.

        What the counter shows then was used in this boot, if it was zeroed; what it showed between
        the last interval and the boot is gone: ``before_ns`` are unmetered.
        """
        self._start_ns = self._read_ns = 0
        self._agent_down, self._observed = True, False
        self._before_ns = before_ns
        if self._counted and state.counter is not None:
            self._marked_ns = now_ns
            self._counter.resume_rebooted(state.counter, before_ns)
            self._epoch = state.counter.epoch
        elif before_ns:
            self._unmetered_ns[UnmeteredReason.GAP] = before_ns

    @property
    def counter_uj(self) -> int | None:
        """The hardware counter as it was last read; None if it never was."""
        return self._counter.raw_uj

    def peaks(self, now_ns: int) -> PowerPeaks | None:
        """Lowest and highest power of the last 15 s; None if none was read."""
        return self._gauge.peaks.look(now_ns)

    def observe(self, reading: Reading) -> None:
        """Takes one reading. One that is not newer than the last is ignored: its energy is in
        the next one."""
        at_ns, energy_uj, _, instant_mw, _, average_mw, _ = reading
        if at_ns <= self._read_ns:
            return
        if self._dark or at_ns - self._read_ns > self._gap_ns:
            self._wake(reading)
        if energy_uj is not None and self._counted:
            self._count(reading, energy_uj)
        joined = self._gauge.add(at_ns, instant_mw, average_mw)
        if self._by_power and joined is not None:
            self._integrated(at_ns, joined)
        self._read_ns = at_ns
        self._readings += 1
        if self._counter.at_ns == at_ns:
            self._base_twice_pj = self._gauge.integral.twice_pj
        elif at_ns - self._counter.at_ns > self._stall_ns:
            self._bridge(reading)
        if self._returning:
            self._return(at_ns)

    def lost(self, now_ns: int) -> None:
        """From now on nothing is observed until the next reading: the device is gone, or the
        machine was suspended. What its counter gains meanwhile is nobody's."""
        self._lost = True
        self._darken(now_ns)

    def close(self, now_ns: int) -> tuple[Interval, ...]:
        """Ends the open interval and opens the next one.

        Gives everything finished since the last call, oldest first: contiguous intervals, more
        than one where a part was not observed or a new epoch began, none before the first
        reading or at the same time as the last call.
        """
        if self._start_ns < 0:
            return ()
        if now_ns - self._read_ns > self._gap_ns:
            self._darken(now_ns)
        patience_ns = self._join_ns if self._by_power else self._limits.patience_ns
        waiting = self._agent_down and self._counted and not self._lost  # its counter may tell
        if now_ns - self._known_ns > patience_ns and not waiting:
            self._unmetered(self._why(), now_ns)
        if now_ns > self._start_ns:
            self._cut(now_ns)
        if self._done:
            # Nobody has seen it yet, and `replace` costs as much as metering five readings.
            object.__setattr__(self._done[-1], "state", self._state())
        done = tuple(self._done)
        self._done.clear()
        return done

    def _state(self) -> MeterState | None:
        """Where the next interval begins; None if part of its energy is booked already."""
        counter = self._counter
        if self._energy_uj or counter.pending:
            return None
        known_ns = max(self._known_ns, self._marked_ns)
        return MeterState(self._start_ns, self._read_ns, known_ns, counter.state())

    # ---- energy ----------------------------------------------------------------------------

    def _count(self, reading: Reading, energy_uj: int) -> None:
        if energy_uj != self._counter.raw_uj:
            self._step(reading, energy_uj)
        if not self._by_power:
            self._known_ns = reading.at_ns

    def _step(self, reading: Reading, energy_uj: int) -> None:
        """The counter shows another value."""
        counter, at_ns = self._counter, reading.at_ns
        first = counter.raw_uj is None
        if self._by_power:
            self._post_bridge(reading)
        before_ns = counter.at_ns
        booked_uj = counter.advance(at_ns, energy_uj)
        if counter.epoch != self._epoch:
            self._cut(self._read_ns)
            self._epoch = counter.epoch
            self._unmetered(UnmeteredReason.RESET, at_ns)
            self._add_unmetered(UnmeteredReason.RESET, self._before_ns)
        if counter.at_ns != at_ns:
            return  # neither more nor a restart
        if self._by_power:
            self._by_power = False
            self.source = EnergySource.COUNTER
        if at_ns - counter.since_ns > self._gap_ns and not first:
            came_back = counter.since_ns < before_ns
            if came_back or at_ns - self._known_ns > self._gap_ns or self._drew():
                self._cut(self._read_ns)
                self._observed = False
                self._returning = True
        self._energy_uj += booked_uj

    def _integrated(self, at_ns: int, joined: bool) -> None:
        if not joined:
            self._unmetered(self._why(), at_ns)
        self._known_ns = at_ns
        self._lost = False

    def _drew(self) -> bool:
        """Power says that energy was used since the counter moved."""
        drawn = self._gauge.integral.twice_pj - self._base_twice_pj
        return drawn > 2 * PJ_PER_UJ * self._limits.stall_uj

    def _bridge(self, reading: Reading) -> None:
        """Starts to book ∫power, from the counter's last movement on, if much was drawn since."""
        if self._by_power or not self._drew():
            return
        if not self._dark:
            self._cut(self._counter.at_ns)
        self._stalls += 1
        self._by_power = True
        self._posted_uj = whole_uj(self._base_twice_pj)
        self._known_ns = reading.at_ns
        average = reading.average_mw is not None
        self.source = EnergySource.AVERAGE if average else EnergySource.INSTANT
        if self._dark or self._counter.at_ns < self._start_ns:
            self._observed = False  # much of it was used in intervals that are closed
            self._returning = True
        self._dark = False

    def _post_bridge(self, reading: Reading) -> None:
        """Books ∫power up to the last reading: what came after it is the counter's. A first value
        ever says nothing about the time before, so then ∫power until now stands."""
        if self._counter.raw_uj is not None:
            self._cut(self._read_ns)
            return
        joined = self._gauge.add(reading.at_ns, reading.instant_mw, reading.average_mw)
        if joined is not None:
            self._integrated(reading.at_ns, joined)
        self._cut(reading.at_ns)

    # ---- darkness --------------------------------------------------------------------------

    def _darken(self, now_ns: int) -> None:
        if self._dark:
            return
        self._cut(min(self._read_ns, now_ns))
        self._observed = False
        self._dark = True
        self._gauge.integral.part()

    def _wake(self, reading: Reading) -> None:
        at_ns = reading.at_ns
        if self._start_ns < 0:
            self._start_ns = self._known_ns = self._counter.at_ns = at_ns
            self._dark = self._lost = False
            return
        self._darken(at_ns)
        if self._by_power or reading.energy_uj is not None:
            self._dark = False
            self._returning = True

    def _return(self, at_ns: int) -> None:
        self._cut(at_ns)
        self._observed = True
        self._agent_down = False
        self._before_ns = 0
        self._returning = False
        if not self._by_power:
            self._lost = False

    # ---- the open interval -----------------------------------------------------------------

    def _why(self) -> UnmeteredReason:
        return UnmeteredReason.LOST if self._lost else UnmeteredReason.GAP

    def _unmetered(self, reason: UnmeteredReason, now_ns: int) -> None:
        """The energy since it was last known is not known, and never will be."""
        duration_ns = now_ns - max(self._known_ns, self._marked_ns)
        if duration_ns > 0:
            self._add_unmetered(reason, duration_ns)
            self._marked_ns = now_ns

    def _add_unmetered(self, reason: UnmeteredReason, duration_ns: int) -> None:
        if duration_ns > 0:
            self._unmetered_ns[reason] = self._unmetered_ns.get(reason, 0) + duration_ns

    def _cut(self, end_ns: int) -> None:
        """Ends the open interval there; where it has no length yet, only if it has energy."""
        if self._by_power:
            self._energy_uj = self._gauge.integral.energy_uj - self._posted_uj
        if end_ns <= self._start_ns:
            if not self._energy_uj:
                return
            end_ns = self._start_ns + 1  # a reading from before the boundary, seen after it
        self._done.append(self._finished(end_ns))
        if self._by_power:
            self._posted_uj += self._energy_uj
            if self._counter.raw_uj is not None:
                self._counter.bridge(self._energy_uj)
        self._start_ns = end_ns
        self._energy_uj = self._readings = self._stalls = 0
        self._unmetered_ns = {}

    def _finished(self, end_ns: int) -> Interval:
        same_epoch = self._counter.epoch == self._epoch
        faults = self._counter.take_faults() if same_epoch else NO_FAULTS  # else of the next one
        power = self._gauge.cut()
        counting = not self._by_power and self._counter.raw_uj is not None
        return Interval(
            gpu_uuid=self._gpu_uuid,
            epoch=self._epoch,
            start_ns=self._start_ns,
            end_ns=end_ns,
            energy_uj=self._energy_uj,
            source=self.source,
            observed=self._observed,
            agent_down=self._agent_down,
            readings=self._readings,
            power_min_mw=power.low_mw,
            power_max_mw=power.high_mw,
            integral_uj=power.integral_uj,
            counter_uj=self._energy_uj if counting else None,
            suspect_uj=faults.suspect_uj,
            unmetered_ns=tuple(sorted(self._unmetered_ns.items())),
            jitters=faults.jitters,
            resets=faults.resets,
            stalls=self._stalls,
        )
