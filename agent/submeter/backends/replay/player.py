"""The records of a trace in, what each GPU's sensors said up to now out.

One stream feeds every device, so a long recording is never in memory: records are taken from it
only when their time has come. The recorded times are kept, so what a meter makes of the readings
does not depend on how fast, or how unevenly, they are played.
"""

import itertools
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from submeter.backends import Tally
from submeter.errors import DriverUnavailable, InputError
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
from submeter.trace import Record, Trace
from submeter.trace.records import (
    READ_FAILED,
    ActivityRecord,
    EndRecord,
    ErrorRecord,
    GaugesRecord,
    GpuRecord,
    HoldersRecord,
    InstancesRecord,
    ProcessRecord,
    ReadingRecord,
    UtilisationRecord,
    recorded_error,
)

_SAMPLES_KEPT: Final = 10_000  # utilisation samples nobody fetched; NVML's own ring has 72


@dataclass(slots=True)
class _Track:
    """What is due, or newest, of one GPU."""

    info: GpuInfo
    tally: Tally = field(default_factory=Tally)
    due: deque[Reading | ErrorRecord] = field(default_factory=deque)
    lost: ErrorRecord | None = None
    newest: dict[str, Record] = field(default_factory=dict)  # by call
    samples: deque[UtilisationSample] = field(default_factory=lambda: deque(maxlen=_SAMPLES_KEPT))


class Player:
    """Plays one trace for all of its devices. Any thread may call any method."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._tracks = [_Track(info) for info in trace.header.gpus]
        self._processes: dict[int, ProcessRecord] = {}
        self._driver_error: ErrorRecord | None = None
        self._records: Iterator[Record] | None = None
        self._next: Record | None = None
        self._taken = 0
        self._ended = False
        self._lock = threading.Lock()

    @property
    def finished(self) -> bool:
        """True when the recording is over and everything in it has been fetched."""
        with self._lock:
            return self._ended and not any(track.due for track in self._tracks)

    def open(self, now_ns: int) -> Sequence[GpuInfo]:
        """The GPUs there are now. Raises DriverUnavailable where the recorder could not open."""
        with self._lock:
            self._advance(now_ns)
            if self._driver_error is not None:
                raise recorded_error(self._driver_error)
            return [track.info for track in self._tracks]

    def check(self, gpu: int, now_ns: int) -> None:
        """Raises DeviceLost while a lost GPU has not been heard of again."""
        with self._lock:
            self._advance(now_ns)
            track = self._tracks[gpu]
            heard = any(isinstance(item, Reading) for item in track.due)
            if track.lost is not None and not heard:
                raise recorded_error(track.lost)

    def close(self) -> None:
        """Lets go of the file. Playing on later continues with the record after the last one."""
        with self._lock:
            self._records = self._next = None

    def tally(self, gpu: int) -> Tally:
        """The errors that were recorded."""
        return self._tracks[gpu].tally

    def readings(self, gpu: int, now_ns: int) -> Sequence[Reading]:
        """Every reading recorded up to now and not fetched yet; raises what was raised then."""
        with self._lock:
            self._advance(now_ns)
            return _fetch(self._tracks[gpu])

    def activity(self, gpu: int, now_ns: int) -> Activity:
        record = self._latest(gpu, now_ns, "activity")
        return record.activity if isinstance(record, ActivityRecord) else Activity(now_ns)

    def gauges(self, gpu: int, now_ns: int) -> Gauges:
        record = self._latest(gpu, now_ns, "gauges")
        return record.gauges if isinstance(record, GaugesRecord) else Gauges(now_ns)

    def holders(self, gpu: int, now_ns: int) -> Sequence[Holder] | None:
        """None where none were ever recorded: such a log has no honest split."""
        record = self._latest(gpu, now_ns, "holders")
        return record.holders if isinstance(record, HoldersRecord) else None

    def utilisation(self, gpu: int, now_ns: int) -> Sequence[UtilisationSample] | None:
        record = self._latest(gpu, now_ns, "utilisation")
        if not isinstance(record, UtilisationRecord) or record.samples is None:
            return None
        with self._lock:
            samples = self._tracks[gpu].samples
            fetched = tuple(samples)
            samples.clear()
        return fetched

    def instances(self, gpu: int, now_ns: int) -> Sequence[InstanceActivity] | None:
        record = self._latest(gpu, now_ns, "instances")
        if not isinstance(record, InstancesRecord) or record.instances is None:
            return None
        with self._lock:
            track = self._tracks[gpu]
            track.newest["instances"] = record._replace(instances=())
        return record.instances

    def identify(self, pid: int) -> ProcessKey | None:
        """Who had that PID last."""
        with self._lock:
            process = self._processes.get(pid)
        return None if process is None else process.key

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """What was stored of that process; its labels come back as if it had declared them."""
        with self._lock:
            process = self._processes.get(key.pid)
        if process is None or process.key != key:
            return None
        labels = {"SUBMETER_PHASE": process.phase, "SUBMETER_WORKLOAD": process.workload}
        environ = {name: value for name, value in labels.items() if value}
        return ProcessFacts(key, comm=process.comm, environ=environ)

    def _latest(self, gpu: int, now_ns: int, call: str) -> Record | None:
        with self._lock:
            self._advance(now_ns)
            track = self._tracks[gpu]
            if track.lost is not None:
                raise recorded_error(track.lost)
            record = track.newest.get(call)
        if isinstance(record, ErrorRecord):
            raise recorded_error(record)
        return record

    def _advance(self, now_ns: int) -> None:
        while not self._ended:
            record = self._peek()
            if record is None or record.at_ns > now_ns:
                return
            self._absorb(record)
            self._next = None
            self._taken += 1

    def _peek(self) -> Record | None:
        if self._next is not None:
            return self._next
        if self._records is None:
            self._records = itertools.islice(self._trace.records(), self._taken, None)
        try:
            self._next = next(self._records, None)
        except InputError as error:  # it was sound when it was opened
            raise DriverUnavailable("unknown", f"the recording has changed: {error}") from error
        self._ended = self._next is None
        return self._next

    def _absorb(self, record: Record) -> None:
        if isinstance(record, ProcessRecord):
            self._processes[record.key.pid] = record
        elif isinstance(record, GpuRecord):
            self._absorb_gpu(record)
        elif isinstance(record, ErrorRecord):
            self._absorb_error(record)
        elif isinstance(record, ReadingRecord):
            self._driver_error = None
            self._tracks[record.gpu].due.append(record.reading)
        elif not isinstance(record, EndRecord):
            track = self._tracks[record.gpu]
            track.newest[_CALLS[type(record)]] = record
            if isinstance(record, UtilisationRecord) and record.samples:
                track.samples.extend(record.samples)

    def _absorb_gpu(self, record: GpuRecord) -> None:
        self._driver_error = None
        if record.gpu == len(self._tracks):
            self._tracks.append(_Track(record.info))
        else:
            self._tracks[record.gpu].info = record.info

    def _absorb_error(self, record: ErrorRecord) -> None:
        if record.gpu is None:
            self._driver_error = record
            return
        track = self._tracks[record.gpu]
        track.tally.failed(record.call, record.reason or record.kind)
        if record.call == "readings":
            track.due.append(record)
        else:
            track.newest[record.call] = record


_CALLS: Final[dict[type, str]] = {
    ActivityRecord: "activity",
    GaugesRecord: "gauges",
    HoldersRecord: "holders",
    UtilisationRecord: "utilisation",
    InstancesRecord: "instances",
}


def _fetch(track: _Track) -> Sequence[Reading]:
    """Readings up to the next loss of the device; the loss, when it is at the front.

    A failed read is raised only if nothing else is due, and a loss only once in a row, so that
    a slow reader doesn't fall behind.
    """
    readings: list[Reading] = []
    failed: ErrorRecord | None = None
    while track.due:
        item = track.due[0]
        if isinstance(item, ErrorRecord) and item.kind != READ_FAILED and readings:
            return readings  # the loss is due at the next call
        track.due.popleft()
        if isinstance(item, Reading):
            track.lost = failed = None
            readings.append(item)
            continue
        failed = item
        if item.kind != READ_FAILED:
            news, track.lost = track.lost is None, item
            if news:
                break
    if failed is not None and not readings:
        raise recorded_error(failed)
    return readings
