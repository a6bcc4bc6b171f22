"""One GPU under watch: device reads in, closed intervals with their holders out.

Two callers at most, each in its own thread: `sample` (fast) owns the meter and the set of
holders; `look` and `survey` (slow) own everything else. They hand over by replacing references
and appending to deques, which needs no lock.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from submeter.backends import Device, ProcessSource, Tally
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.metering import Meter
from submeter.metering.refresh import assumed_refresh_ns, estimate_refresh_ns
from submeter.model import (
    Activity,
    EnergySource,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    Interval,
    PowerPeaks,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.sampling.standing import Standing
from submeter.units import NS_PER_MS, NS_PER_S

LOOK_NS: Final = NS_PER_S
SURVEY_NS: Final = 10 * NS_PER_S

STRANGERS_NS: Final = 5 * NS_PER_S
"""Who comes and goes between two lists is in the driver's ring for ten seconds, and only there."""
CROWD: Final = range(5, 9)
"""Where so many share a GPU the driver is asked twice a second who works: the shorter the time is
that power and names are of, the better is told who runs with whom, down to the 140 ms of the
driver's ring. Two to four are told apart anyway, and by whole seconds what a kernel's power does
within a training step matters less; with more the learning would cost too much
(`benchmarks/bench_split*.py`)."""
_CROWDED_NS: Final = 600 * NS_PER_S
"""For so long it stays as it is though some come or go: a change of pace costs the learner half a
minute."""
_STEADY_NS: Final = 125 * NS_PER_MS  # … where the counter steps at least that often
_ALERT_NS: Final = 30 * NS_PER_S
_NEVER_NS: Final = 1 << 63

PROBE_PERIOD_NS: Final = 5 * NS_PER_MS
_PROBE_FOR_NS: Final = 1_500 * NS_PER_MS
_LOCK_NUMERATOR, _LOCK_DENOMINATOR = 31, 32
"""Locked to the refresh in frequency, 3 % fast: every sensor value is read at least once whatever
its phase, and one read in 32 finds nothing new."""

_NEW_NS: Final = 2 * NS_PER_S
_FAILING_NS: Final = 3 * NS_PER_S
_REOPEN_FIRST_NS: Final = NS_PER_S
_REOPEN_MOST_NS: Final = 60 * NS_PER_S
_MEMORY_CHANGE_BYTES: Final = 1 << 20
_LIVENESS_CHECKS: Final = 8  # per look: identifying a process costs about 15 µs


class Held(NamedTuple):
    """A holder and who it is; None where its PID means nothing here."""

    holder: Holder
    key: ProcessKey | None


@dataclass(frozen=True, slots=True)
class Closed:
    """An interval and who held the GPU meanwhile; None where the driver can't say."""

    interval: Interval
    held: tuple[Held, ...] | None


class Batch(NamedTuple):
    """What one utilisation call gave, for the time since the one before."""

    elapsed_ns: int
    samples: tuple[UtilisationSample, ...]
    reading: Reading | None = None  # the newest one at that moment
    instances: tuple[InstanceActivity, ...] = ()  # of a partitioned GPU, instead of samples
    at_ns: int | None = None  # of the call: its own reading comes later (`GpuWatch.stood`)


class GpuWatch:
    """Reads one GPU at three paces and never lets its failures out, except into its state."""

    def __init__(
        self,
        device: Device,
        meter: Meter,
        processes: ProcessSource,
        *,
        period_ns: int | None,
        settle_ns: int,
        reopen: Callable[[str], Device],
        on_reading: Callable[[str, Reading], None] | None = None,
        on_driver_error: Callable[[DriverUnavailable], None] | None = None,
        heard: Callable[[], bool] = lambda: True,
    ) -> None:
        """``period_ns`` None locks the sampling to the sensor's measured refresh. ``heard``:
        whether anybody wants readings now."""
        self.device = device
        self.meter = meter
        self.period_ns = PROBE_PERIOD_NS
        self.up = True
        self.down_reason = ""
        self.driver_error: DriverUnavailable | None = None
        self.refresh_ns = device.info.refresh_ns
        self.refresh_measured = device.info.refresh_measured
        self.latest: Reading | None = None
        self.activity: Activity | None = None
        self.gauges: Gauges | None = None
        self.throttle_ns: dict[str, int] = {}
        self.samples = 0
        self.held: tuple[Held, ...] | None = None  # not known yet: nobody's, rather than idle
        self.closed: deque[Closed] = deque()
        self.batches: deque[Batch] = deque(maxlen=1_024)
        self._standing = Standing()
        self.next_close_ns = 0
        self.on_cut: Callable[[], None] = lambda: None  # tells whoever samples
        self._processes = processes
        self._wanted_period_ns = period_ns
        self._settle_ns = settle_ns
        self._reopen = reopen
        self._on_reading = on_reading
        self._on_driver_error = on_driver_error
        self._heard = heard
        self._probe: list[Reading] | None = []
        self._listed: tuple[Held, ...] | None = None
        self._cut = False
        self._retry_ns = 0
        self._back_off_ns = _REOPEN_FIRST_NS
        self._last_utilisation_ns = 0
        self._strangers_until_ns = 0
        self._crowded_until_ns = 0
        self._few_until_ns = 0
        self._memory_when_listed: int | None = None
        self._past = Tally()
        self._failing_since_ns: int | None = None
        self._check_next = 0
        self._list_again_ns = 0
        self._list_gap_ns = 0
        if self.refresh_measured:
            self._end_probe()

    @property
    def probing(self) -> bool:
        """Whether the sensor's refresh is still being found out, at `PROBE_PERIOD_NS`."""
        return self._probe is not None

    @property
    def stood(self) -> deque[tuple[int, Reading]]:
        """How the counter stood at each utilisation call: readings are taken in rounds, so the
        newest one at that moment may be a second old."""
        return self._standing.answers

    @property
    def info(self) -> GpuInfo:
        return self.device.info

    def tally(self) -> Tally:
        """What all calls cost and which failed, those of devices opened before included."""
        return self._past.plus(self.device.tally)

    def power_mw(self, now_ns: int) -> int | None:
        """The newest power value: the instantaneous sensor, else the board's average; None where
        there is none that is new."""
        latest = self.latest
        if latest is None or now_ns - latest.at_ns > _NEW_NS + 2 * self.period_ns:
            return None
        return latest.average_mw if latest.instant_mw is None else latest.instant_mw

    def peaks(self, now_ns: int) -> PowerPeaks | None:
        """Lowest and highest power of the last 15 s."""
        return self.meter.peaks(now_ns)

    # ---- fast ------------------------------------------------------------------------------

    def sample(self, now_ns: int, polls: int = 0) -> None:
        """One fast read, taking with it what ``polls`` reads before it kept; closes the interval
        where it is time, or where the holders changed."""
        if self.up:
            now_ns = self._read(now_ns, polls)
        elif self.driver_error is None and now_ns >= self._retry_ns:
            self._find_again(now_ns)
        if self._cut or now_ns >= self.next_close_ns:
            self._close(now_ns)

    def finish(self, now_ns: int) -> None:
        """Closes the open interval for good."""
        self._close(now_ns)

    def replace(self, device: Device) -> None:
        """Goes on with a newly opened device for the same GPU; the meter sees what happened."""
        self.driver_error = None
        self._take(device)
        self._ask_for_cut()

    def _read(self, now_ns: int, polls: int) -> int:
        """Reads the sensors; the time afterwards, since a call may have hung for long."""
        try:
            readings = self.device.readings(now_ns)
        except ReadFailed:
            self._failed(now_ns)
            return now_ns
        except DeviceLost as error:
            self.fall(now_ns, error.reason)
            return now_ns
        except DriverUnavailable as error:
            self._fall_with_driver(now_ns, error)
            return now_ns
        self._failing_since_ns = None
        self.samples += max(len(readings), polls + 1)
        if not readings:
            return now_ns
        observe, uuid = self.meter.observe, self.device.info.uuid
        tell = self._on_reading if self._heard() else None
        for reading in readings:
            if self._probe is not None:
                self._measure_refresh(reading)
            observe(reading)
            if tell is not None:
                tell(uuid, reading)
        self.latest = reading
        if self._standing.wanted:
            self._standing.show(readings)
        return max(now_ns, reading.at_ns)

    def _failed(self, now_ns: int) -> None:
        """One failure means nothing; nothing but failures for seconds means that it is gone."""
        if self._failing_since_ns is None:
            self._failing_since_ns = now_ns
        elif now_ns - self._failing_since_ns > _FAILING_NS:
            self._failing_since_ns = None
            self.fall(now_ns, "unreadable")

    def _ask_for_cut(self) -> None:
        """Ends the interval at the next tick. May be called from both threads."""
        self._cut = True
        self.on_cut()

    def _close(self, now_ns: int) -> None:
        held = self.held
        self.closed.extend(Closed(interval, held) for interval in self.meter.close(now_ns))
        self._cut = False
        self.held = self._listed
        self.next_close_ns = (now_ns // self._settle_ns + 1) * self._settle_ns

    def fall(self, now_ns: int, reason: str) -> None:
        """The device is gone: its totals stay, its gauges go, and it is looked for again."""
        self.up = False
        self.down_reason = reason
        self.driver_error = None
        self.latest = self.activity = self.gauges = None
        self.meter.lost(now_ns)
        self._listed = None
        self._ask_for_cut()
        self._retry_ns = now_ns + self._back_off_ns

    def _fall_with_driver(self, now_ns: int, error: DriverUnavailable) -> None:
        """The driver is gone for all GPUs: only whoever opened it can do something about it."""
        self.fall(now_ns, error.reason)
        self.driver_error = error
        if self._on_driver_error is not None:
            self._on_driver_error(error)

    def _find_again(self, now_ns: int) -> None:
        try:
            device = self._reopen(self.info.uuid)
        except (DeviceLost, DriverUnavailable, ReadFailed) as error:
            self._back_off_ns = min(2 * self._back_off_ns, _REOPEN_MOST_NS)
            self._retry_ns = now_ns + self._back_off_ns
            if isinstance(error, DriverUnavailable):
                self._fall_with_driver(now_ns, error)
            return
        self._take(device)

    def _take(self, device: Device) -> None:
        """The GPU is there again, perhaps through another handle."""
        if device.tally is not self.device.tally:
            self._past.add(self.device.tally)
        self.device = device
        if self._probe is None:
            device.hold(self.refresh_ns)
        self.up = True
        self.down_reason = ""
        self._back_off_ns = _REOPEN_FIRST_NS
        self._memory_when_listed = None

    def _measure_refresh(self, reading: Reading) -> None:
        probe = self._probe
        assert probe is not None
        probe.append(reading)
        if reading.at_ns - probe[0].at_ns < _PROBE_FOR_NS:
            return
        estimate_ns = estimate_refresh_ns(probe)
        self.refresh_measured = estimate_ns is not None
        self.refresh_ns = estimate_ns or self.refresh_ns or assumed_refresh_ns(self.info.arch)
        self._end_probe()

    def _end_probe(self) -> None:
        self._probe = None
        self.device.hold(self.refresh_ns)
        locked_ns = self.refresh_ns * _LOCK_NUMERATOR // _LOCK_DENOMINATOR
        step_ns = max(1, locked_ns // 20 // NS_PER_MS) * NS_PER_MS  # boards of a kind agree
        self.period_ns = self._wanted_period_ns or max(locked_ns // step_ns, 1) * step_ns

    # ---- slow ------------------------------------------------------------------------------

    def look(self, now_ns: int) -> None:
        """Every second: is anything going on, and is it still the same processes?"""
        if not self.up:
            return
        self._attempt(now_ns, self._read_activity)
        if now_ns >= self._list_again_ns and self._users_changed():
            self._attempt(now_ns, self._list_holders)
        if self._listed is not None and now_ns >= self._shares_due_ns(len(self._listed)):
            self._attempt(now_ns, self._read_utilisation)
        if self.info.mig:
            self._attempt(now_ns, self._read_instances)

    def crowded(self, now_ns: int) -> bool:
        """Whether so many share the GPU, or did lately, that it is worth asking twice a second."""
        holders = len(self._listed or ())
        if holders in CROWD and now_ns >= self._few_until_ns:
            self._crowded_until_ns = now_ns + _CROWDED_NS
        elif holders >= CROWD.stop:
            self._crowded_until_ns, self._few_until_ns = 0, now_ns + _CROWDED_NS
        crowded = holders > 1 and now_ns < self._crowded_until_ns and not self.info.mig
        counted = self.info.energy_source is EnergySource.COUNTER
        return crowded and counted and self.refresh_ns <= _STEADY_NS

    def between(self, now_ns: int) -> None:
        """Half a second after each look: who works, where some share a GPU."""
        if self.crowded(now_ns) and self.up:
            self._attempt(now_ns, self._read_utilisation)

    def survey(self, now_ns: int) -> None:
        """Every ten seconds: temperatures, clocks, throttling, and who is there."""
        if not self.up:
            return
        self._attempt(now_ns, self._read_gauges)
        self._attempt(now_ns, self._list_holders)

    def _attempt(self, now_ns: int, read: Callable[[int], None]) -> None:
        """A slow read that may fail. The fast path alone decides that a device is down."""
        if not self.up:
            return
        try:
            read(now_ns)
        except (ReadFailed, DeviceLost, DriverUnavailable):
            return  # counted by the device's tally

    def _read_activity(self, now_ns: int) -> None:
        self.activity = self.device.activity(now_ns)

    def _read_gauges(self, now_ns: int) -> None:
        gauges = self.device.gauges(now_ns)
        before = dict(self.gauges.throttle_ns) if self.gauges is not None else {}
        self.throttle_ns = _accumulate(self.throttle_ns, before, gauges.throttle_ns)
        self.gauges = gauges

    def _list_holders(self, now_ns: int) -> None:
        holders = self.device.holders(now_ns)
        listed = None if holders is None else self._identified(holders)
        activity = self.activity
        self._memory_when_listed = None if activity is None else activity.memory_used_bytes
        changed = _who(listed) != _who(self._listed)
        # Listing is the most expensive call (4.5 ms): back off where memory moves all the time
        # though nobody comes or goes.
        self._list_gap_ns = 0 if changed else min(max(LOOK_NS, 2 * self._list_gap_ns), SURVEY_NS)
        self._list_again_ns = now_ns + self._list_gap_ns
        self._listed = listed  # before the flag: the fast path reads them the other way round
        if changed:
            self._ask_for_cut()

    def _identified(self, holders: Sequence[Holder]) -> tuple[Held, ...]:
        """Who they are; whoever was there before as the same object: lists are kept."""
        keys = {one.key: one.key for one in self._listed or ()}
        found = ((holder, self._processes.identify(holder.pid)) for holder in holders)
        return tuple([Held(holder, keys.get(key, key)) for holder, key in found])

    def _read_utilisation(self, now_ns: int) -> None:
        samples = self.device.utilisation(now_ns)
        if samples is None:
            return
        elapsed_ns = now_ns - self._last_utilisation_ns
        if elapsed_ns > SURVEY_NS:
            elapsed_ns = LOOK_NS  # after a pause the driver is asked for the last second only
        self._standing.ask(now_ns, samples)
        self.batches.append(Batch(elapsed_ns, tuple(samples), self.latest, at_ns=now_ns))
        self._last_utilisation_ns = now_ns
        known = {one.holder.pid for one in self._listed or ()}
        if any(_works(sample) and sample.pid not in known for sample in samples):
            self._strangers_until_ns = now_ns + _ALERT_NS

    def _shares_due_ns(self, holders: int) -> int:
        """With several holders always. Else only to find those who come and go between two lists:
        now and then while somebody works, and for a while after one was found."""
        if holders > 1 or self._last_utilisation_ns < self._strangers_until_ns:
            return 0
        activity = self.activity
        if self.info.mig or activity is None or not activity.utilization_percent:
            return _NEVER_NS
        return self._last_utilisation_ns + STRANGERS_NS

    def _read_instances(self, now_ns: int) -> None:
        since_ns, self._last_utilisation_ns = self._last_utilisation_ns, now_ns
        instances = self.device.instances(now_ns)
        if instances and now_ns > since_ns:
            self._standing.ask(now_ns)
            batch = Batch(now_ns - since_ns, (), self.latest, tuple(instances), now_ns)
            self.batches.append(batch)

    def _users_changed(self) -> bool:
        activity, listed = self.activity, self._listed
        if activity is not None:
            if not listed and activity.utilization_percent:
                return True  # somebody works here whom we don't know
            before, now = self._memory_when_listed, activity.memory_used_bytes
            if now is not None and (before is None or abs(now - before) >= _MEMORY_CHANGE_BYTES):
                return True
        return bool(listed) and self._somebody_left(listed)

    def _somebody_left(self, listed: tuple[Held, ...] | None) -> bool:
        if not listed:
            return False
        start, self._check_next = self._check_next, self._check_next + _LIVENESS_CHECKS
        for offset in range(min(_LIVENESS_CHECKS, len(listed))):
            held = listed[(start + offset) % len(listed)]
            if held.key is not None and self._processes.identify(held.key.pid) != held.key:
                return True
        return False


def _works(sample: UtilisationSample) -> bool:
    return bool(sample.sm_percent or sample.encoder_percent or sample.decoder_percent)


def _who(listed: tuple[Held, ...] | None) -> frozenset[tuple[Holder, ProcessKey | None]] | None:
    """The set of holders without what changes all the time (their memory)."""
    if listed is None:
        return None
    return frozenset((held.holder._replace(memory_bytes=None), held.key) for held in listed)


def _accumulate(
    total_ns: Mapping[str, int], before: Mapping[str, int], now: Sequence[tuple[str, int]]
) -> dict[str, int]:
    """Adds what the driver's cumulative counters gained; a counter that fell began anew."""
    result = dict(total_ns)
    for reason, value_ns in now:
        last_ns = before.get(reason)
        if last_ns is None:
            gained_ns = 0  # what happened before the agent came is not its to report
        else:
            gained_ns = value_ns - last_ns if value_ns >= last_ns else value_ns
        result[reason] = result.get(reason, 0) + gained_ns
    return result
