"""Commits in a log: what was written whole comes back; what was changed or is missing is said."""

import hashlib
import struct
import zlib
from pathlib import Path

import pytest

from submeter.ledger import log
from submeter.ledger.records import Chained, Commit, Gpu, Note, Open
from submeter.ledger.rows import BadRow, Sealed

HEAD = 4 + 4 + 8 + 32 + 4


def commit(number: int) -> Commit:
    """One of everything, and two of what has a body."""
    digest = bytes([number]) * 32
    return Commit(
        0,
        1_767_225_600 + number,
        gpus=(Gpu(1, "GPU-é", "nvml", "H100", 3),),
        chained=(Chained("series", (number, "text", 5), digest),),
        sealed=(Sealed(0, 1, number, 10, b"one", digest), Sealed(1, 1, 2, 60, b"", digest)),
        opens=(Open(1, 20, b"three", "[1]", digest), Open(2, 20, b"x", "", digest)),
        notes=(Note("name", "body", digest),),
    )


def write(directory: Path, number: int, *serials: int, ledger: str = "mine") -> Path:
    """A log file with these records, each of its own commit."""
    path = log.segment(directory, ledger, number, serials[0]).path
    path.write_bytes(b"".join(log.record(serial, commit(serial)) for serial in serials))
    return path


def test_a_commit_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, 1, 1, 2)
    write(tmp_path, 2, 3)
    found = list(log.records(log.segments(tmp_path, "mine"), 0))
    assert found == [(serial, commit(serial)) for serial in (1, 2, 3)]
    assert found == [
        found_ for each in log.all_segments(tmp_path) for found_ in log.proved(each.path)
    ]


def test_a_record_is_what_its_description_says() -> None:
    """magic · bytes of content · number · SHA-256 of the content · CRC-32 of all that."""
    whole = log.record(7, commit(1))
    magic, length, serial, digest = struct.unpack_from("<4sIQ32s", whole)
    content = whole[HEAD:]
    assert (magic, length, serial) == (b"sbL1", len(content), 7)
    assert digest == hashlib.sha256(content).digest()
    assert struct.unpack_from("<I", whole, HEAD - 4)[0] == zlib.crc32(whole[: HEAD - 4])
    assert content.endswith(b"onethreex")


def test_files_are_told_apart_and_in_order(tmp_path: Path) -> None:
    mine = [write(tmp_path, number, first) for number, first in ((10, 30), (9, 20), (2, 5))]
    write(tmp_path, 3, 1, ledger="another")
    for name in ("ledger-x-00000001-1.log", "ledger.db", f"{mine[0].name}.bak"):
        (tmp_path / name).touch()
    found = log.segments(tmp_path, "mine")
    assert [(each.number, each.first, each.path) for each in found] == [
        (2, 5, mine[2]),
        (9, 20, mine[1]),
        (10, 30, mine[0]),
    ]
    assert len(log.all_segments(tmp_path)) == 4
    assert log.short("mine") == hashlib.sha256(b"mine").hexdigest()[:8]
    assert mine[2].name == f"ledger-{log.short('mine')}-00000002-5.log"


@pytest.mark.parametrize(
    ("folded", "needed"),
    [(0, [2, 9, 10]), (18, [2, 9, 10]), (19, [9, 10]), (28, [9, 10]), (29, [10]), (99, [10])],
)
def test_needed_is_what_may_have_later_records(
    tmp_path: Path, folded: int, needed: list[int]
) -> None:
    for number, first in ((2, 5), (9, 20), (10, 30)):
        write(tmp_path, number, first)
    found = log.needed(log.segments(tmp_path, "mine"), folded)
    assert [each.number for each in found] == needed


def test_only_later_records_are_read_and_one_that_was_tried_twice_comes_twice(
    tmp_path: Path,
) -> None:
    write(tmp_path, 1, 1, 2, 3, 4)
    write(tmp_path, 2, 4, 5)
    found = log.records(log.segments(tmp_path, "mine"), 2)
    assert [serial for serial, _ in found] == [3, 4, 4, 5]


def test_a_record_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, 1, 1, 2)
    path = write(tmp_path, 2, 4)
    found = log.records(log.segments(tmp_path, "mine"), 0)
    assert [next(found)[0], next(found)[0]] == [1, 2]
    with pytest.raises(BadRow, match=f"{path.name}: record 3 is missing"):
        next(found)


def test_what_is_cut_off_was_being_written_and_what_is_changed_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, 1, 1, 2)
    whole = path.read_bytes()
    first = len(log.record(1, commit(1)))
    for length in (first, first + 1, first + HEAD - 1, first + HEAD, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert [serial for serial, _ in log.records(log.all_segments(tmp_path), 0)] == [1]
    path.write_bytes(whole + bytes(200))  # room that was made, and never written
    assert [serial for serial, _ in log.records(log.all_segments(tmp_path), 0)] == [1, 2]
    path.write_bytes(whole + bytes(200) + b"x")
    with pytest.raises(BadRow, match=f"changed since it was written, at {len(whole)}"):
        list(log.records(log.all_segments(tmp_path), 0))
    for at, said in (
        (first, f"changed since it was written, at {first}"),
        (first + HEAD - 1, f"changed since it was written, at {first}"),
        (first + HEAD, "record 2 was changed since it was written"),
        (len(whole) - 1, "record 2 was changed since it was written"),
    ):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        found = log.records(log.all_segments(tmp_path), 0)
        assert next(found)[0] == 1
        with pytest.raises(BadRow, match=said):
            next(found)


def headed(content: bytes, length: int | None = None) -> bytes:
    """A record of that content, as sound as its head goes."""
    length = len(content) if length is None else length
    head = struct.pack("<4sIQ32s", b"sbL1", length, 1, hashlib.sha256(content).digest())
    return head + struct.pack("<I", zlib.crc32(head)) + content


def test_a_head_that_no_agent_wrote_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path, 1, 1)
    path.write_bytes(headed(b"x", (1 << 30) + 1))
    with pytest.raises(BadRow, match="at 0"):
        list(log.records(log.all_segments(tmp_path), 0))
    path.write_bytes(headed(b"x", 1 << 30))  # as long as can be, and not all there yet
    assert not list(log.records(log.all_segments(tmp_path), 0))
    path.write_bytes(headed(struct.pack("<I", 2) + b"{}"))
    with pytest.raises(BadRow, match="unreadable record"):
        list(log.records(log.all_segments(tmp_path), 0))


def test_around_what_is_damaged_everything_is_proved(tmp_path: Path) -> None:
    path = write(tmp_path, 1, 1, 2, 3)
    whole = path.read_bytes()
    first = len(log.record(1, commit(1)))
    for damage, left in (
        (b"", [1, 2, 3]),
        (b"sbL1", [1, 2, 3]),  # what only looks like a record
        (b"sbL1" + bytes(100), [1, 2, 3]),
        (headed(struct.pack("<I", 2) + b"{}"), [1, 2, 3]),
    ):
        path.write_bytes(whole[:first] + damage + whole[first:])
        assert [serial for serial, _ in log.proved(path)] == left
        path.write_bytes(whole + damage)
        assert [serial for serial, _ in log.proved(path)] == left
    damaged = bytearray(whole)
    damaged[first + HEAD + 5] ^= 1
    path.write_bytes(damaged)
    assert list(log.proved(path)) == [(1, commit(1)), (3, commit(3))]
    path.write_bytes(b"")
    assert not list(log.proved(path))
