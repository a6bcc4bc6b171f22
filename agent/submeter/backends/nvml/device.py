"""One real GPU: what the driver says in, the agent's records out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from submeter.backends.nvml import codes
from submeter.backends.nvml.codes import Fault
from submeter.backends.nvml.gauges import UTILISATION, ActivityReader, GaugeReader
from submeter.backends.nvml.gpm import CAPABILITY as BUSY_INSTANCES
from submeter.backends.nvml.gpm import InstanceReader
from submeter.backends.nvml.holders import LISTS, ProcessLists, mig_instances
from submeter.backends.nvml.questions import GPM, MIG_DEVICES, MIG_MODE, Questions
from submeter.backends.nvml.sensors import FieldReader, SingleReader
from submeter.backends.nvml.sleep import Sleep
from submeter.backends.nvml.utilisation import CAPABILITY, UtilisationReader
from submeter.clock import Clock
from submeter.errors import ReadFailed, SubmeterError
from submeter.model import (
    Activity,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    Missing,
    Reading,
    UtilisationSample,
)
from submeter.ticking import Library

_NOTHING: Final = Reading(0, None, None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Parts:
    """The readers of one GPU, each made for what the board was found to have."""

    questions: Questions
    fields: FieldReader | None
    singles: SingleReader | None
    activity: ActivityReader
    gauges: GaugeReader
    lists: ProcessLists
    utilisation: UtilisationReader
    instances: InstanceReader
    fast_nap: Sleep | None  # one for each of the two threads; None where it never sleeps
    slow_nap: Sleep | None


class NvmlDevice:
    """A GPU that is open. While runtime power management has it suspended nothing is asked, so
    that it can stay asleep: no readings, empty records, the holders of before."""

    def __init__(self, info: GpuInfo, parts: Parts, clock: Clock) -> None:
        self.info = info
        self.tally = parts.questions.tally
        self._questions = parts.questions
        self._fields = parts.fields
        self._singles = parts.singles
        self._activity = parts.activity
        self._gauges = parts.gauges
        self._lists = parts.lists
        self._utilisation = parts.utilisation
        self._instances = parts.instances
        self._fast_nap = parts.fast_nap
        self._slow_nap = parts.slow_nap
        self._clock = clock
        self._holders: Sequence[Holder] | None = ()

    @property
    def quick(self) -> FieldReader | None:
        """What reads it, where that is one call and nothing else."""
        plain = self._singles is None and self._fast_nap is None
        return self._fields if plain else None

    def compiled(self, functions: Library) -> None:
        """From now on what can be done in C is done there."""
        if self._fields is not None:
            self._fields.compiled(functions)

    def poll(self, now_ns: int) -> None:
        """Asks, unless the GPU sleeps. Boards without fields for everything wait for `readings`:
        they are old, and their sensors slow."""
        awake = self._fast_nap is None or not self._fast_nap.asleep()
        if awake and self._singles is None and self._fields is not None:
            self._fields.poll(now_ns)

    def readings(self, now_ns: int) -> Sequence[Reading]:
        """Everything new, or nothing while the GPU sleeps."""
        awake = self._fast_nap is None or not self._fast_nap.asleep()
        try:
            if self._singles is None and self._fields is not None:
                if awake and not self._fields.asked(now_ns):
                    self._fields.poll(now_ns)
                return self._fields.readings()
            return (self._read_both(now_ns),) if awake else ()
        except Fault as fault:
            raise self._failed(fault) from None

    def hold(self, duration_ns: int) -> None:
        """Only what one call reads can be left out; single calls are for boards that lack it."""
        if self._fields is not None and self._singles is None:
            self._fields.hold_ns = duration_ns

    def activity(self, now_ns: int) -> Activity:
        """Device utilisation and used memory."""
        if self._asleep():
            return Activity(now_ns)
        try:
            return self._activity.read(now_ns)
        except Fault as fault:
            raise self._failed(fault) from None

    def gauges(self, now_ns: int) -> Gauges:
        """Temperatures, clocks, limit, throttling."""
        if self._asleep():
            return Gauges(now_ns)
        try:
            return self._gauges.read(now_ns)
        except Fault as fault:
            raise self._failed(fault) from None

    def holders(self, now_ns: int) -> Sequence[Holder] | None:  # noqa: ARG002
        """Every process with a context here; None where the driver can't list them."""
        if self._asleep():
            return self._holders
        try:
            self._look_at_mig()
            self._holders = self._lists.holders(mig=self.info.mig)
        except Fault as fault:
            raise self._failed(fault) from None
        self._tell_missing()
        return self._holders

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        """Newer samples; None where there is no such signal, as on a partitioned GPU."""
        if self.info.mig:
            return None
        if self._asleep():
            return ()
        try:
            samples = self._utilisation.samples(now_ns, self._clock.wall_ns())
        except Fault as fault:
            raise self._failed(fault) from None
        if samples is None:
            self._tell_missing()
        return samples

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        """How busy each GPU instance was since the call before."""
        if not self.info.mig or self._questions.refused(MIG_DEVICES):
            return None
        if self._asleep():
            return ()
        try:
            if self._lists.instances is None:
                self._lists.instances = mig_instances(self._questions)
            activity = self._instances.activity(self._lists.instances, now_ns)
        except ReadFailed:
            self._lists.instances = None  # perhaps there are others now
            raise
        except Fault as fault:
            raise self._failed(fault) from None
        if activity is None:
            self._tell_missing()
        return activity

    def close(self) -> None:
        """Closes what the device itself has open; NVML's handles go with the session."""
        self._instances.close()
        for nap in (self._fast_nap, self._slow_nap):
            if nap is not None:
                nap.close()

    def _read_both(self, now_ns: int) -> Reading:
        reading = _NOTHING._replace(at_ns=now_ns)
        if self._fields is not None:
            self._fields.poll(now_ns)
            try:
                reading = (self._fields.readings() or (reading,))[-1]
            except ReadFailed:
                if self._singles is None:
                    raise
        if self._singles is not None:
            reading = self._singles.complete(reading)
            if reading.energy_uj is None and reading[3] is None and reading[5] is None:
                raise ReadFailed(f"{self.info.uuid}: no value")
        return reading._replace(at_ns=self._clock.boottime_ns())

    def _asleep(self) -> bool:
        return self._slow_nap is not None and self._slow_nap.asleep()

    def _look_at_mig(self) -> None:
        """A GPU may be partitioned, or made whole again, while the agent runs."""
        mig = partitioned(self._questions)
        if mig != self.info.mig:
            again = (UTILISATION, CAPABILITY, BUSY_INSTANCES, GPM, *LISTS)
            self._questions.reconsider(*again)
            self._lists.instances = None
            self._instances.forget()
            self.info = replace(self.info, mig=mig)

    def _tell_missing(self) -> None:
        missing = missing_of(self._questions, mig=self.info.mig)
        if missing != self.info.missing:
            self.info = replace(self.info, missing=missing)

    def _failed(self, fault: Fault) -> SubmeterError:
        self.tally.failed(fault.call, fault.code.name)
        return codes.error_of(fault)


def partitioned(questions: Questions) -> bool:
    """Whether the GPU is in MIG mode now. Raises Fault where it is lost."""
    modes = questions.ask(MIG_MODE, "nvmlDeviceGetMigMode")
    return bool(modes and modes[0])


def missing_of(questions: Questions, *, mig: bool) -> tuple[Missing, ...]:
    """What a GPU lacks, partitioned or not."""
    missing = questions.missing()
    if mig and not questions.refused(CAPABILITY):
        reason = "the driver has none for a partitioned (MIG) GPU"
        missing += (Missing(CAPABILITY, reason),)
    return missing
