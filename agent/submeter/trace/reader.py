"""A file to a trace: its header, what is in it, and its records as often as they are wanted.

Opening reads the file once from end to end, so that everything wrong with it is said before
anything is played; memory stays flat, for records are streamed.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from submeter.errors import InputError
from submeter.trace import imported
from submeter.trace.codec import decode, decode_header
from submeter.trace.importers import Importer, Notes, Sample, choose
from submeter.trace.importers.timeline import straightened
from submeter.trace.lines import Line, read_lines
from submeter.trace.records import (
    EndRecord,
    ErrorRecord,
    GpuRecord,
    Header,
    ProcessRecord,
    Record,
)

T = TypeVar("T")
NATIVE: Final = "native"
_HEAD: Final = 20  # lines that are looked at to recognise a log
_KEPT: Final = 4  # opened traces remembered, since several callers open the same one in turn


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording that is sound from its first to its last whole record.

    ``truncated_at`` is the line where it was cut off, None if it is whole. ``warnings`` says so in
    words, together with whatever an importer had to decide.
    """

    path: Path
    format: str  # "native" or the importer's name
    header: Header
    first_ns: int  # boot time of the first and of the last record
    last_ns: int
    counts: Mapping[str, int]  # class of record → how many; of a log, only its readings
    truncated_at: int | None
    warnings: tuple[str, ...]
    _records: Callable[[], Iterator[Record]] = field(repr=False)

    @property
    def duration_ns(self) -> int:
        return max(0, self.last_ns - self.header.start_boottime_ns)

    def records(self) -> Iterator[Record]:
        """Every whole record from the beginning, streamed. Raises InputError where the file has
        changed since and is wrong now."""
        return self._records()


def open_trace(path: str | Path) -> Trace:
    """Recognises, reads and checks a trace or a power log.

    Raises InputError with file, line, what was found and what was expected.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid path"
        raise InputError(f"can't be read: {reason}", source=str(path)) from error
    return _opened(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=_KEPT)
def _opened(path: Path, _inode: int, _size: int, _changed_ns: int) -> Trace:
    head = [line.text for line in itertools.islice(read_lines(path), _HEAD) if line.text.strip()]
    if not head:
        raise InputError(
            "found an empty file, expected a trace or a power log", source=str(path), line=1
        )
    if head[0].startswith("{"):
        return _open_native(path)
    return _open_log(path, choose(head))


def _open_native(path: Path) -> Trace:
    header = _header(path)
    uuids = [info.uuid for info in header.gpus]
    if len(set(uuids)) < len(uuids):
        raise InputError("found a GPU twice, expected different UUIDs", source=str(path), line=1)
    counts: Counter[str] = Counter()
    first_ns = last_ns = header.start_boottime_ns
    record: Record | None = None
    for number, record in enumerate(_native_records(path)):
        first_ns = record.at_ns if number == 0 else first_ns
        last_ns = max(last_ns, record.at_ns)
        counts[type(record).__name__] += 1
    truncated_at = None if isinstance(record, EndRecord) else counts.total() + 2
    warnings = () if truncated_at is None else (_cut(truncated_at, last_ns - first_ns),)
    return Trace(
        path=path,
        format=NATIVE,
        header=header,
        first_ns=first_ns,
        last_ns=last_ns,
        counts=counts,
        truncated_at=truncated_at,
        warnings=warnings,
        _records=lambda: _native_records(path),
    )


def _header(path: Path) -> Header:
    line = next(read_lines(path))
    if not line.whole:
        raise InputError(
            "the trace stops within its header; nothing to play", source=str(path), line=1
        )
    return _located(decode_header, path, line)


def _native_records(path: Path) -> Iterator[Record]:
    """Ends before a cut-off last line; that the end record is missing tells it."""
    gpus = 0
    ended = False
    for line in read_lines(path):
        if line.number == 1:
            gpus = len(_located(decode_header, path, line).gpus)
            continue
        if not line.whole:
            return
        record = _located(decode, path, line)
        if ended:
            raise InputError(
                "found a record after the end, expected none", source=str(path), line=line.number
            )
        ended = isinstance(record, EndRecord)
        gpus = max(gpus, _gpu_bound(path, line.number, record, gpus))
        yield record


def _gpu_bound(path: Path, number: int, record: Record, gpus: int) -> int:
    """How many GPUs there are after this record, which must speak of one of them."""
    if isinstance(record, EndRecord | ProcessRecord) or record.gpu is None:
        return gpus
    allowed = gpus + 1 if isinstance(record, GpuRecord) else gpus
    if record.gpu >= allowed:
        what = "an error" if isinstance(record, ErrorRecord) else "a record"
        raise InputError(
            f"found {what} of GPU {record.gpu}, expected one of the {gpus} in the header",
            source=str(path),
            line=number,
        )
    return record.gpu + 1


def _open_log(path: Path, importer: Importer) -> Trace:
    notes = Notes()

    def records() -> Iterator[Record]:
        return imported.records(lambda: _samples(path, importer, Notes()), found)

    try:
        found = imported.survey(_samples(path, importer, notes))
    except InputError as error:
        raise error if error.source else InputError(str(error), source=str(path)) from None
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    header = imported.header_of(found, stem, importer.name, notes)
    last_ns = found.last_ns - found.first_ns + imported.ORIGIN_NS
    warnings = notes.texts()
    if notes.truncated_at is not None:
        warnings += (_cut(notes.truncated_at, last_ns - imported.ORIGIN_NS),)
    return Trace(
        path=path,
        format=importer.name,
        header=header,
        first_ns=imported.ORIGIN_NS,
        last_ns=last_ns,
        counts=Counter(ReadingRecord=sum(one.samples for one in found.seen)),
        truncated_at=notes.truncated_at,
        warnings=warnings,
        _records=records,
    )


def _samples(path: Path, importer: Importer, notes: Notes) -> Iterator[Sample]:
    try:
        yield from straightened(importer.samples(read_lines(path), notes), notes)
    except InputError as error:
        if error.source:
            raise
        raise InputError(str(error), source=str(path), line=error.line) from None


def _located(decoder: Callable[[str], T], path: Path, line: Line) -> T:
    try:
        return decoder(line.text)
    except InputError as error:
        raise InputError(str(error), source=str(path), line=line.number) from None


def _cut(line: int, played_ns: int) -> str:
    return f"cut off at line {line}: whole up to {played_ns / 1e9:.3f} s after its start"
