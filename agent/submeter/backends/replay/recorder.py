"""Any backend in, the same backend out, with everything its devices answer written to a trace.

Of processes only their identity, their ``comm`` and the labels that ``label`` gives are written,
never a command line or an environment.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from submeter import __version__
from submeter.backends import Backend, Device, ProcessSource
from submeter.backends.turns import Poll
from submeter.clock import Clock
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.model import (
    Activity,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    ProcessFacts,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.trace import Header, TraceWriter
from submeter.trace.records import (
    ActivityRecord,
    BackendError,
    GaugesRecord,
    GpuRecord,
    HoldersRecord,
    InstancesRecord,
    ProcessRecord,
    ReadingRecord,
    Record,
    UtilisationRecord,
    error_record,
)
from submeter.units import NS_PER_S

Label = Callable[[ProcessFacts], tuple[str, str]]
"""A process to its workload and phase; "" for what isn't known."""

_PROCESSES_KEPT: Final = 4_096  # processes whose last record is remembered, to write only news
_FAILURES: Final = (DeviceLost, DriverUnavailable, ReadFailed)


class RecordingBackend:
    """Passes everything through and writes it down. Begins the trace at the first `open`.

    Every method may also raise SubmeterError where the trace can't be written.
    """

    def __init__(
        self, backend: Backend, writer: TraceWriter, clock: Clock, label: Label | None = None
    ) -> None:
        self.name = backend.name
        self.notice = backend.notice
        self._known = RecordingProcesses(backend.processes, writer, clock, label)
        self.processes: ProcessSource = self._known
        self._backend = backend
        self._writer = writer
        self._clock = clock
        self._infos: list[GpuInfo] = []
        self._begun = False

    def open(self) -> Sequence["RecordingDevice"]:
        """Opens the backend; the first time, the header gets its GPUs."""
        try:
            devices = self._backend.open()
        except DriverUnavailable as error:
            if self._begun:
                self._writer.write(error_record(None, self._clock.boottime_ns(), "open", error))
            raise
        if not self._begun:
            self._begin([device.info for device in devices])
        return [self._wrapped(device) for device in devices]

    def rescan(self) -> Sequence["RecordingDevice"]:
        """GPUs that have come; the trace gets to know them."""
        return [self._wrapped(device) for device in self._backend.rescan()]

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        """The backend's own; what is found is written with the readings."""
        inner = [each.inner if isinstance(each, RecordingDevice) else each for each in devices]
        return self._backend.poller(inner)

    def reopen(self, uuid: str) -> "RecordingDevice":
        """As the backend does; a GPU that came back changed is written down."""
        return self._wrapped(self._backend.reopen(uuid))

    def close(self) -> None:
        """Closes the backend, not the trace."""
        self._backend.close()

    def _begin(self, infos: list[GpuInfo]) -> None:
        wall_ns = self._clock.wall_ns()
        created = datetime.fromtimestamp(wall_ns / NS_PER_S, UTC)
        self._infos = infos
        self._begun = True
        self._writer.begin(
            Header(
                start_boottime_ns=self._clock.boottime_ns(),
                start_wall_ns=wall_ns,
                gpus=tuple(infos),
                submeter=__version__,
                backend=self.name,
                created=f"{created:%Y-%m-%dT%H:%M:%SZ}",
                notice=self.notice,
            )
        )

    def _wrapped(self, device: Device) -> "RecordingDevice":
        known = [info.uuid for info in self._infos]
        if device.info.uuid not in known:
            self._infos.append(device.info)
            self._changed(len(known), device.info)
            return RecordingDevice(device, self._writer, len(known), self._known)
        gpu = known.index(device.info.uuid)
        if self._infos[gpu] != device.info:
            self._infos[gpu] = device.info
            self._changed(gpu, device.info)
        return RecordingDevice(device, self._writer, gpu, self._known)

    def _changed(self, gpu: int, info: GpuInfo) -> None:
        self._writer.write(GpuRecord(gpu, self._clock.boottime_ns(), info))


class RecordingDevice:
    """One device; its answers and its failures are written in the thread that asked."""

    def __init__(
        self, device: Device, writer: TraceWriter, gpu: int, processes: "RecordingProcesses"
    ) -> None:
        self.info = device.info
        self.tally = device.tally
        self.inner = device
        self._writer = writer
        self._gpu = gpu
        self._processes = processes

    def poll(self, now_ns: int) -> None:
        """Passed on; what it finds is written with the readings."""
        self.inner.poll(now_ns)

    def readings(self, now_ns: int) -> Sequence[Reading]:
        """Passed through, written."""
        try:
            readings = self.inner.readings(now_ns)
        except _FAILURES as error:
            self._failed("readings", now_ns, error)
            raise
        for reading in readings:
            self._put(ReadingRecord(self._gpu, reading))
        return readings

    def hold(self, duration_ns: int) -> None:
        """A recording has each value once, too."""
        self.inner.hold(duration_ns)

    def activity(self, now_ns: int) -> Activity:
        """Passed through, written."""
        try:
            activity = self.inner.activity(now_ns)
        except _FAILURES as error:
            self._failed("activity", now_ns, error)
            raise
        self._put(ActivityRecord(self._gpu, activity))
        return activity

    def gauges(self, now_ns: int) -> Gauges:
        """Passed through, written."""
        try:
            gauges = self.inner.gauges(now_ns)
        except _FAILURES as error:
            self._failed("gauges", now_ns, error)
            raise
        self._put(GaugesRecord(self._gpu, gauges))
        return gauges

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        """Passed through, written; before it, who they are: whoever plays it asks at once."""
        try:
            holders = self.inner.holders(now_ns)
        except _FAILURES as error:
            self._failed("holders", now_ns, error)
            raise
        listed = None if holders is None else tuple(holders)
        for holder in listed or ():
            self._processes.introduce(holder.pid)
        self._put(HoldersRecord(self._gpu, now_ns, listed))
        return holders

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        """Passed through, written."""
        try:
            samples = self.inner.utilisation(now_ns)
        except _FAILURES as error:
            self._failed("utilisation", now_ns, error)
            raise
        self._put(UtilisationRecord(self._gpu, now_ns, None if samples is None else tuple(samples)))
        return samples

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        """Passed through, written."""
        try:
            found = self.inner.instances(now_ns)
        except _FAILURES as error:
            self._failed("instances", now_ns, error)
            raise
        if found is not None:
            self._put(InstancesRecord(self._gpu, now_ns, tuple(found)))
        return found

    def _put(self, record: Record) -> None:
        self._writer.write(record)

    def _failed(self, call: str, now_ns: int, error: BackendError) -> None:
        self._writer.write(error_record(self._gpu, now_ns, call, error))


class RecordingProcesses:
    """Passes processes through; writes who they are when that is news."""

    def __init__(
        self, source: ProcessSource, writer: TraceWriter, clock: Clock, label: Label | None
    ) -> None:
        self._source = source
        self._writer = writer
        self._clock = clock
        self._label = label
        self._written: OrderedDict[ProcessKey, tuple[str, str, str]] = OrderedDict()

    def identify(self, pid: int) -> ProcessKey | None:
        """Passed through."""
        return self._source.identify(pid)

    def introduce(self, pid: int) -> None:
        """Writes who has that PID now, if that was never written."""
        key = self._source.identify(pid)
        if key is not None and key not in self._written:
            self.facts(key)

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """Passed through; comm and labels are written."""
        facts = self._source.facts(key)
        if facts is None:
            return None
        workload, phase = ("", "") if self._label is None else self._label(facts)
        stored = (facts.comm, workload, phase)
        if self._written.get(key) != stored:
            self._writer.write(ProcessRecord(self._clock.boottime_ns(), key, *stored))
            self._written[key] = stored
            if len(self._written) > _PROCESSES_KEPT:
                self._written.popitem(last=False)
        return facts
