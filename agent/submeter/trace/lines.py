"""Files to numbered lines of text: plain or gzip, UTF-8 or UTF-16, streamed, cut-off ends marked.

Memory stays flat however long the file is. Only regular files are read: a FIFO or a device would
never end.
"""

import codecs
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from submeter.errors import InputError

MAX_LINE: Final = 1 << 20
"""Characters. The longest honest line (a header of 64 GPUs) is a few tens of kilobytes."""
_CHUNK: Final = 1 << 16
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31  # zlib: a gzip wrapper around a 32 KiB window


Tell = Callable[[float], None]
"""What is called with the share of a file that is read."""
_TOLD: ContextVar[Tell] = ContextVar("told", default=lambda _share: None)


class Line(NamedTuple):
    """``whole`` is False for what follows the last line end, or the point where gzip data stops."""

    number: int
    text: str
    whole: bool = True


@contextmanager
def told(tell: Tell) -> Iterator[None]:
    """Whoever reads meanwhile tells how far it is."""
    before = _TOLD.set(tell)
    try:
        yield
    finally:
        _TOLD.reset(before)


def read_lines(path: Path) -> Iterator[Line]:
    """Every line, numbered from 1, without its line end (LF or CRLF) and without a byte-order mark.

    Raises InputError for what can't be read or is no text.
    """
    number = 0
    rest = ""
    tell = _TOLD.get()
    with _open_regular(path) as file:
        size = max(1, os.fstat(file.fileno()).st_size)  # of /proc's files it is 0
        source = _Bytes(file)
        try:
            for text in _decoded(source):
                tell(min(1.0, file.tell() / size))
                *lines, rest = (rest + text).split("\n")
                for line in lines:
                    number += 1
                    yield Line(number, _checked(path, number, line.removesuffix("\r")))
                if len(rest) > MAX_LINE:
                    raise InputError(
                        f"a line of more than {MAX_LINE} characters; "
                        "expected a trace or a power log",
                        source=str(path),
                        line=number + 1,
                    )
        except zlib.error as error:
            raise InputError(
                f"corrupt gzip data: {error}", source=str(path), line=number + 1
            ) from error
    if rest or source.cut:
        yield Line(number + 1, rest, whole=False)


def _open_regular(path: Path) -> BinaryIO:
    try:
        # Non-blocking, so that opening a FIFO returns and can be refused.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid path"
        raise InputError(f"can't be read: {reason}", source=str(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(
            "found a directory, pipe or device; expected a regular file", source=str(path)
        )
    return os.fdopen(handle, "rb")


def _checked(path: Path, number: int, text: str) -> str:
    if "\ufffd" in text or "\x00" in text:
        raise InputError(
            "found bytes that are no text; expected UTF-8", source=str(path), line=number
        )
    return text


def _decoded(source: "_Bytes") -> Iterator[str]:
    decoder: codecs.IncrementalDecoder | None = None
    for data in source:
        if decoder is None:
            # PowerShell's ">" writes UTF-16 with a byte-order mark.
            utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")("replace")
        yield decoder.decode(data)


class _Bytes:
    """A file's bytes, decompressed. ``cut`` tells afterwards whether gzip data just stopped."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.cut = False

    def __iter__(self) -> Iterator[bytes]:
        data = self._file.read(_CHUNK)
        if data.startswith(_GZIP_MAGIC):
            yield from self._decompressed(data)
            return
        while data:
            yield data
            data = self._file.read(_CHUNK)

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        """A file may be several gzip members one after another, and be padded with zeros."""
        while data:
            engine = zlib.decompressobj(_GZIP_WBITS)
            while data and not engine.eof:
                if piece := engine.decompress(data, _CHUNK):
                    yield piece
                data = engine.unconsumed_tail or (b"" if engine.eof else self._file.read(_CHUNK))
            if not engine.eof:
                self.cut = True
                if piece := engine.flush():
                    yield piece
                return
            data = (engine.unused_data or self._file.read(_CHUNK)).lstrip(b"\0")
