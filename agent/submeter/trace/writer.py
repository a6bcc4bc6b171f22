"""Records to a trace file: one line each, gzip where the name ends in .gz; any thread may write."""

import gzip
import threading
from pathlib import Path
from typing import BinaryIO, Final, cast

from submeter.errors import InputError, SubmeterError
from submeter.trace.codec import encode, encode_header
from submeter.trace.records import EndRecord, Header, Record
from submeter.units import NS_PER_S

_FLUSH_NS: Final = 5 * NS_PER_S
"""A recorder that is killed loses at most this much. More often would cost gzip its ratio."""


class TraceWriter:
    """Writes one trace. Each method raises SubmeterError where the file can't be written."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.records = 0
        self._file = file
        self._lock = threading.Lock()
        self._flush_at_ns = 0
        self._closed = False

    def begin(self, header: Header) -> None:
        """Writes the first line. Once, before any record."""
        with self._lock:
            self._put(encode_header(header))
            self._flush_at_ns = header.start_boottime_ns + _FLUSH_NS

    def write(self, record: Record) -> None:
        """Appends a record. After `close` nothing is written: late threads do no harm."""
        line = encode(record)
        with self._lock:
            if self._closed:
                return
            self._put(line)
            self.records += 1
            if record.at_ns >= self._flush_at_ns:
                self._flush_at_ns = record.at_ns + _FLUSH_NS
                self._attempt_flush()

    def close(self, at_ns: int, reason: str = "") -> None:
        """Writes the end record and closes the file. Calling it again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._put(encode(EndRecord(at_ns, reason)))
            finally:
                self._attempt_close()

    def abandon(self) -> None:
        """Closes the file without an end record: the trace will say that it was cut off."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._attempt_close()

    def _put(self, line: str) -> None:
        try:
            self._file.write(line.encode("ascii") + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def _attempt_flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def _attempt_close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> SubmeterError:
        return SubmeterError(f"{self.path}: can't be written: {error.strerror or error}")


def create_trace(path: Path, *, overwrite: bool = False) -> TraceWriter:
    """A new trace file, not begun yet. Raises InputError where it exists or can't be created."""
    try:
        file = path.open("wb" if overwrite else "xb")
    except FileExistsError as error:
        raise InputError("exists already; --force overwrites it", source=str(path)) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid path"
        raise InputError(f"can't be created: {reason}", source=str(path)) from error
    if path.suffix != ".gz":
        return TraceWriter(path, file)
    return TraceWriter(path, cast(BinaryIO, _GzipStream(file)))


class _GzipStream:
    """A gzip stream that owns its file and puts neither name nor time into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._gzip = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)

    def write(self, data: bytes) -> int:
        return self._gzip.write(data)

    def flush(self) -> None:
        self._gzip.flush()
        self._file.flush()

    def close(self) -> None:
        try:
            self._gzip.close()
        finally:
            self._file.close()
