"""Commits in, records of a log that is only ever added to out, and back.

A ledger is a database file that never changes in place, and a log of the commits since it was made.
So a copy of the folder, taken file by file while the agent writes, is always whole: whichever
database it has, the log's records that follow it are there, up to the moment of the copy.

    ledger-1f2e3d4c-00000007-91834.log      whose · which segment · its first record

Each record is a head with its own checksum, a SHA-256 of the content, the content. A record that
ends before its time was being written, and so was the last one of a file where blocks of it never
arrived; one that is whole and not what its hash says was changed.
"""

import hashlib
import json
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from submeter.ledger.records import Chained, Commit, Gpu, Note, Open
from submeter.ledger.rows import NONSENSE, BadRow, Sealed

_MAGIC: Final = b"sbL1"
_HEAD: Final = struct.Struct("<4sIQ32s")  # magic, bytes of content, number of the record, hash
_CHECK: Final = struct.Struct("<I")  # CRC-32 of that
_INDEX: Final = struct.Struct("<I")  # bytes of the JSON before the blobs
_NAME: Final = re.compile(r"ledger-([0-9a-f]{8})-(\d{8,12})-(\d{1,20})\.log")
_MOST_BYTES: Final = 1 << 30
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))

Record = tuple[int, Commit]


class Segment(NamedTuple):
    """One file of a log."""

    ledger: str
    number: int
    first: int
    path: Path


def short(ledger_id: str) -> str:
    """What a ledger's log files are called by."""
    return hashlib.sha256(ledger_id.encode()).hexdigest()[:8]


def segment(directory: Path, ledger_id: str, number: int, first: int) -> Segment:
    """The file with that number, which begins with that record."""
    whose = short(ledger_id)
    return Segment(whose, number, first, directory / f"ledger-{whose}-{number:08d}-{first}.log")


def all_segments(directory: Path) -> list[Segment]:
    """Every log file of a folder, in order."""
    found = []
    for name in os.listdir(directory):  # noqa: PTH208  a folder may be deleted meanwhile
        match = _NAME.fullmatch(name)
        if match is not None:
            found.append(Segment(match[1], int(match[2]), int(match[3]), directory / name))
    return sorted(found)


def segments(directory: Path, ledger_id: str) -> list[Segment]:
    """The log files of one ledger, in order."""
    whose = short(ledger_id)
    return [each for each in all_segments(directory) if each.ledger == whose]


def needed(found: list[Segment], folded: int) -> list[Segment]:
    """Those that may have records after that one."""
    return [
        each
        for each, following in zip_longest(found, found[1:])
        if following is None or following.first > folded + 1
    ]


def records(found: list[Segment], folded: int) -> Iterator[Record]:
    """The records after that one, each with its commit. One that was tried twice comes twice.
    Raises BadRow for a record that was changed, or is missing."""
    expected = folded + 1
    for each in needed(found, folded):
        with each.path.open("rb") as file:
            for serial, content in _contents(file, each.path.name):
                if serial <= folded:
                    continue
                if serial > expected:
                    raise BadRow(f"{each.path.name}: record {expected} is missing")
                expected = serial + 1
                yield serial, _commit(content, each.path.name)


def proved(path: Path) -> Iterator[Record]:
    """Whatever a damaged log still proves, around what it doesn't."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END):  # a map of nothing can't be made
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                yield from _proved(whole, path.name)


def record(serial: int, commit: Commit) -> bytes:
    """A commit as a record."""
    index: dict[str, Any] = {
        "now": commit.now_s,
        "gpus": commit.gpus,
        "chained": [(row.table, row.values, row.hash.hex()) for row in commit.chained],
        "sealed": [
            (row.level, row.gpu, row.seq, row.start_s, len(row.body), row.hash.hex())
            for row in commit.sealed
        ],
        "opens": [
            (row.gpu, row.start_s, len(row.body), row.state, row.hash.hex()) for row in commit.opens
        ],
        "notes": [(note.name, note.body, note.hash.hex()) for note in commit.notes],
    }
    text = _ENCODER.encode(index).encode()
    bodies = [row.body for row in commit.sealed]
    bodies += [row.body for row in commit.opens]
    content = b"".join((_INDEX.pack(len(text)), text, *bodies))
    head = _HEAD.pack(_MAGIC, len(content), serial, hashlib.sha256(content).digest())
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), content))


def _contents(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Every whole record's number and content."""
    size, at = _HEAD.size + _CHECK.size, 0
    while len(head := file.read(size)) == size:
        magic, length, serial, digest = _HEAD.unpack_from(head)
        check = _CHECK.unpack_from(head, _HEAD.size)[0]
        if magic != _MAGIC or zlib.crc32(head[: _HEAD.size]) != check or length > _MOST_BYTES:
            if _never_arrived(head + file.read(), at):
                return
            raise BadRow(f"{name}: changed since it was written, at {at}")
        content = file.read(length)
        if len(content) < length:
            return
        if hashlib.sha256(content).digest() != digest:
            if _never_arrived(head + content + file.read(), at):
                return
            raise BadRow(f"{name}: record {serial} was changed since it was written")
        yield serial, content
        at += size + length


def _never_arrived(end: bytes, at: int) -> bool:
    """Whether a file's end from there on is a record that was being written when the power went:
    the file has its new length already, and a block of it is empty. Nothing follows it."""
    if any(_record(end, next_at) for next_at in _starts(end)):
        return False
    edges = [at, *range(at // _BLOCK * _BLOCK + _BLOCK, at + len(end), _BLOCK), at + len(end)]
    blocks = (end[low - at : high - at] for low, high in pairwise(edges))
    return any(len(block) >= _TELLING and not any(block) for block in blocks)


def _starts(end: bytes) -> Iterator[int]:
    at = 0
    while (at := end.find(_MAGIC, at + 1)) >= 0:
        yield at


_BLOCK: Final = 512
"""What a disk writes as a whole, at the least."""
_TELLING: Final = 16
"""So many zero bytes in a row, up to a block's edge, are no changed byte or two."""


def _proved(whole: mmap.mmap, name: str) -> Iterator[Record]:
    at = 0
    while (at := whole.find(_MAGIC, at)) >= 0:
        found = _record(whole, at)
        if found is None:
            at += 1
            continue
        serial, content = found
        try:
            commit = _commit(content, name)
        except BadRow:
            at += 1
            continue
        yield serial, commit
        at += _HEAD.size + _CHECK.size + len(content)


def _record(whole: mmap.mmap | bytes, at: int) -> tuple[int, bytes] | None:
    """The number and content of a record that begins there, if one does."""
    size = _HEAD.size + _CHECK.size
    head = whole[at : at + size]
    if len(head) < size:
        return None
    _, length, serial, digest = _HEAD.unpack_from(head)
    content = whole[at + size : at + size + length]
    return (serial, content) if hashlib.sha256(content).digest() == digest else None


def _commit(content: bytes, name: str) -> Commit:
    try:
        size = _INDEX.unpack_from(content)[0]
        at = _INDEX.size + size
        index = json.loads(content[_INDEX.size : at])
        sealed, opens = [], []
        for level, gpu, seq, start_s, length, digest in index["sealed"]:
            body, at = content[at : at + length], at + length
            sealed.append(Sealed(level, gpu, seq, start_s, body, bytes.fromhex(digest)))
        for gpu, start_s, length, state, digest in index["opens"]:
            body, at = content[at : at + length], at + length
            opens.append(Open(gpu, start_s, body, state, bytes.fromhex(digest)))
        return Commit(
            number=0,
            now_s=index["now"],
            gpus=tuple(Gpu(*values) for values in index["gpus"]),
            chained=tuple(
                Chained(table, tuple(values), bytes.fromhex(digest))
                for table, values, digest in index["chained"]
            ),
            sealed=tuple(sealed),
            opens=tuple(opens),
            notes=tuple(Note(n, body, bytes.fromhex(digest)) for n, body, digest in index["notes"]),
        )
    except NONSENSE as error:
        raise BadRow(f"{name}: unreadable record: {error}") from error
