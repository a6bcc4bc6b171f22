"""A simulated GPU as the agent sees it: the questions of `backends.Device` in, its answers out."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from submeter.backends import Tally
from submeter.backends.mock.board import Board
from submeter.backends.mock.faults import CALLS, Faults
from submeter.backends.mock.history import HORIZON_NS
from submeter.backends.mock.plan import PPM
from submeter.backends.mock.ring import Ring, Sample, newest_sample, sample_ns
from submeter.backends.mock.sensors import Sensors, Shown
from submeter.backends.mock.slots import Slot
from submeter.clock import Clock
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.model import (
    Activity,
    EnergySource,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    Missing,
    Reading,
    UtilisationSample,
)
from submeter.units import NS_PER_MS, NS_PER_S, NS_PER_US, UJ_PER_MJ

_WALL_STEP_NS: Final = 50 * NS_PER_MS  # smaller differences are the jitter of reading two clocks
_MOST_ENERGY_MJ: Final = 0x7FFFFFFFFFFFFFEF  # beyond it are the marks for "not available"
_NOTHING: Final = Shown(None, -1)


class Instruments(NamedTuple):
    """What a board keeps while devices are opened and closed."""

    board: Board
    sensors: Sensors
    ring: Ring


class MockDevice:
    """One opened GPU. ``origin_ns`` is the boot time at which the scenario began."""

    def __init__(
        self, info: GpuInfo, instruments: Instruments, faults: Faults, clock: Clock, origin_ns: int
    ) -> None:
        self.info = info
        self.faults = faults
        self.tally: Tally = faults.tally
        self._board, self._sensors, self._ring = instruments
        self._plan = instruments.board.plan
        self._clock = clock
        self._origin_ns = origin_ns
        self._wall_offset_ns = clock.wall_ns() - clock.boottime_ns()
        self._kept: list[Reading] = []
        self._last_sample = newest_sample(clock.boottime_ns() - origin_ns)
        self._instances_ns: int | None = None

    def hold(self, duration_ns: int) -> None:
        """Nothing is left out: what a simulated sensor says costs nothing to ask."""

    def poll(self, now_ns: int) -> None:
        try:
            self._kept.append(self._read(now_ns))
        except (ReadFailed, DeviceLost, DriverUnavailable):
            return  # counted by the faults; what lasts meets `readings` as well

    def readings(self, now_ns: int) -> Sequence[Reading]:
        kept, self._kept = self._kept, []
        try:
            return (*kept, self._read(now_ns))
        except (ReadFailed, DeviceLost, DriverUnavailable):
            if kept:
                return kept
            raise

    def _read(self, now_ns: int) -> Reading:
        began_ns = self._clock.monotonic_ns()
        at_ns = self.faults.check("readings", now_ns - self._origin_ns)
        plan = self._plan.sensors
        with self._board.lock:
            self._board.advance(at_ns)
            energy = self._sensors.counter(at_ns) if plan.counter else _NOTHING
            instant = self._sensors.instant(at_ns) if plan.instant else _NOTHING
            average = self._sensors.average(at_ns) if plan.average_ns else _NOTHING
        reading = self._reading(at_ns, energy, instant, average)
        self._took("readings", began_ns)
        return reading

    def activity(self, now_ns: int) -> Activity:
        began_ns = self._clock.monotonic_ns()
        at_ns = self.faults.check("activity", now_ns - self._origin_ns)
        with self._board.lock:
            self._board.advance(at_ns)
            busy_ppm = self._board.history.busy_ppm(at_ns - NS_PER_S, at_ns)
            memory_bytes = sum(slot.plan.memory_bytes for slot in self._board.slots)
        percent = None if self._plan.mig else (busy_ppm + PPM // 200) * 100 // PPM
        percent = self.faults.value("activity", at_ns, percent, 100)
        self._took("activity", began_ns)
        return Activity(at_ns + self._origin_ns, percent, memory_bytes)

    def gauges(self, now_ns: int) -> Gauges:
        began_ns = self._clock.monotonic_ns()
        at_ns = self.faults.check("gauges", now_ns - self._origin_ns)
        with self._board.lock:
            self._board.advance(at_ns)
            core_c = self._board.temperature_uc // PPM
            throttled_ns = self._board.throttled_ns(at_ns)
            clocks_hz = self._clocks_hz()
        temperature_c = self.faults.value("gauges", at_ns, core_c, 150)
        self._took("gauges", began_ns)
        return Gauges(
            at_ns + self._origin_ns,
            temperature_core_c=temperature_c,
            temperature_memory_c=core_c + 6 if self._plan.hbm else None,
            power_limit_mw=self._plan.limit_mw,
            clocks_hz=clocks_hz,
            throttle_ns=(("sw_power_cap", throttled_ns),),
        )

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        began_ns = self._clock.monotonic_ns()
        elapsed_ns = now_ns - self._origin_ns
        if self.faults.answers("holders", elapsed_ns, _NOT_SUPPORTED):
            return None
        at_ns = self.faults.check("holders", elapsed_ns)
        with self._board.lock:
            self._board.advance(at_ns)
            holders = [_holder(slot) for slot in self._board.slots]
        holders += [Holder(pid) for pid in self.faults.garbage("holders", at_ns)]
        self._took("holders", began_ns)
        return holders

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        began_ns = self._clock.monotonic_ns()
        elapsed_ns = now_ns - self._origin_ns
        if self._plan.mig or self.faults.answers("utilisation", elapsed_ns, _NOT_SUPPORTED):
            return None
        if self.faults.answers("utilisation", elapsed_ns, _NOT_FOUND):
            return ()
        at_ns = self.faults.check("utilisation", elapsed_ns)
        with self._board.lock:
            self._board.advance(at_ns)
            samples = self._ring.samples(self._last_sample, at_ns)
        if samples:
            self._last_sample = samples[-1].number
        used = [
            UtilisationSample(pid, self._wall_us(sample_ns(newest)), percent)
            for pid, (newest, percent) in by_pid(samples).items()
        ]
        used += self._garbage_samples(at_ns)
        self._took("utilisation", began_ns)
        return used

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        began_ns = self._clock.monotonic_ns()
        elapsed_ns = now_ns - self._origin_ns
        missing = self.faults.answers("instances", elapsed_ns, _NOT_SUPPORTED)
        if not self._plan.mig or self._plan.arch not in _COUNTS_INSTANCES or missing:
            return None
        at_ns = self.faults.check("instances", elapsed_ns)
        since_ns, self._instances_ns = self._instances_ns, at_ns
        if since_ns is None or at_ns - since_ns < _SHORTEST_NS:
            return ()
        with self._board.lock:
            self._board.advance(at_ns)
            worked = self._board.busy_instances_ppm(max(since_ns, at_ns - HORIZON_NS), at_ns)
        self._took("instances", began_ns)
        return [
            InstanceActivity(one.gpu_instance, one.slices, min(PPM, worked.get(one, 0)))
            for one in self._plan.mig
        ]

    def _reading(self, at_ns: int, energy: Shown, instant: Shown, average: Shown) -> Reading:
        if self.faults:
            energy = self._energy_seen(at_ns, energy)
            most_mw = 2 * self._plan.limit_mw
            instant = self._seen("instant", at_ns, instant, most_mw)
            average = self._seen("average", at_ns, average, most_mw)
        return Reading(
            at_ns + self._origin_ns,
            energy.value,
            self._wall_us(energy.at_ns) if energy.value is not None else None,
            instant.value,
            self._wall_us(instant.at_ns) if instant.value is not None else None,
            average.value,
            self._wall_us(average.at_ns) if average.value is not None else None,
        )

    def _energy_seen(self, at_ns: int, energy: Shown) -> Shown:
        millijoules = None if energy.value is None else energy.value // UJ_PER_MJ
        seen = self.faults.value("energy", at_ns, millijoules, _MOST_ENERGY_MJ)
        if seen == millijoules:
            return energy
        return Shown(None if seen is None else seen * UJ_PER_MJ, at_ns)

    def _seen(self, call: str, at_ns: int, shown: Shown, limit: int) -> Shown:
        return Shown(self.faults.value(call, at_ns, shown.value, limit), shown.at_ns)

    def _garbage_samples(self, at_ns: int) -> list[UtilisationSample]:
        """Percents for a PID that never was; those above 100 don't pass the gate."""
        found = []
        for percent in self.faults.garbage("utilisation", at_ns):
            if 0 <= percent <= 100:
                found.append(UtilisationSample(_NO_SUCH_PID, self._wall_us(at_ns), percent))
            else:
                self.faults.implausible("utilisation")
        return found

    def _clocks_hz(self) -> tuple[tuple[str, int], ...]:
        """The SM clock falls with the power that is left at the limit, roughly as P ∝ f³."""
        sm_hz = self._plan.sm_clock_hz
        if self._board.withheld_ppm:
            sm_hz = int(sm_hz * (1 - self._board.withheld_ppm / PPM) ** (1 / 3))
        elif not self._board.slots:
            sm_hz = min(sm_hz, _IDLE_CLOCK_HZ)
        return (("sm", sm_hz), ("memory", self._plan.memory_clock_hz))

    def _wall_us(self, at_ns: int) -> int:
        """The driver's timestamp of a moment: constant for that moment unless the clock is set."""
        offset_ns = self._clock.wall_ns() - self._clock.boottime_ns()
        if abs(offset_ns - self._wall_offset_ns) > _WALL_STEP_NS:
            self._wall_offset_ns = offset_ns
        return (at_ns + self._origin_ns + self._wall_offset_ns) // NS_PER_US

    def _took(self, call: str, began_ns: int) -> None:
        self.tally.took(CALLS[call], self._clock.monotonic_ns() - began_ns)


_COUNTS_INSTANCES: Final = frozenset({"hopper", "blackwell"})  # GPM: "for Hopper or newer"
_SHORTEST_NS: Final = 100 * NS_PER_MS  # between two GPM samples: nvml.h
_NOT_SUPPORTED: Final = 3
_NOT_FOUND: Final = 6
_NO_SUCH_PID: Final = 4_000_001
_IDLE_CLOCK_HZ: Final = 345_000_000  # what H100 boards idle at


def _holder(slot: Slot) -> Holder:
    pid, plan, instance = slot.life.pid, slot.plan, slot.instance
    if instance is None:
        return Holder(pid, plan.kind, plan.memory_bytes)
    return Holder(pid, plan.kind, plan.memory_bytes, instance.gpu_instance, 0, mig=instance.label)


def by_pid(samples: Sequence[Sample]) -> Mapping[int, tuple[int, int]]:
    """PID → (newest sample naming it, percent): its samples' sum ÷ *all* samples, rounded.

    How NVML makes percents of samples is closed; this fits what is seen of it: the percents of
    all PIDs add up to the device's utilisation (Syllo/nvtop 110, NVIDIA/go-nvml 51).
    """
    named = [sample for sample in samples if sample.pid]
    newest = {sample.pid: sample.number for sample in named}
    busy_ppm = dict.fromkeys(newest, 0)
    for sample in named:
        busy_ppm[sample.pid] += sample.busy_ppm
    per_percent = PPM * len(samples) // 100
    return {
        pid: (number, (busy_ppm[pid] + per_percent // 2) // per_percent)
        for pid, number in newest.items()
    }


def describe(
    board: Board, gpu: int, uuid: str, counted_as: EnergySource, missing: Sequence[Missing]
) -> GpuInfo:
    """What doesn't change about that board."""
    plan = board.plan
    window_ms = plan.sensors.window_ns // NS_PER_MS
    return GpuInfo(
        uuid=uuid,
        index=gpu,
        name=plan.name,
        driver="simulated",
        pci_bus_id=f"00000000:{gpu + 1:02X}:00.0",
        arch=plan.arch,
        energy_source=counted_as,
        power_window=f"{window_ms}ms" if plan.sensors.instant else "",
        refresh_ns=plan.sensors.refresh_ns,
        refresh_measured=True,
        memory_total_bytes=plan.memory_bytes,
        power_limit_max_mw=plan.limit_mw,
        mig=bool(plan.mig),
        missing=tuple(missing),
    )
