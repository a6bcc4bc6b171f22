"""The beginning of a damaged file: made out from what every ledger of this version has there."""

import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submeter.ledger.repair import mend
from submeter.ledger.schema import FILE_NAME


@pytest.fixture(params=[512, 4_096, 32_768])
def sound(request: pytest.FixtureRequest, tmp_path: Path, books: Callable[..., Any]) -> Path:
    """A ledger with pages of that size, on which its list of tables takes several or one."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    connection = sqlite3.connect(state / FILE_NAME)
    connection.execute(f"PRAGMA page_size = {request.param}")
    connection.execute("VACUUM")
    connection.close()
    made = books()
    for _ in range(30):
        made.book("GPU-1", 10, [("a", 5)])
    made.close()
    path = state / FILE_NAME
    assert struct.unpack_from(">H", path.read_bytes(), 16)[0] == request.param
    return path


def energies(path: Path) -> list[bytes]:
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute("SELECT body FROM tens ORDER BY seq")]
    finally:
        connection.close()


def page_size(path: Path) -> int:
    return int(struct.unpack_from(">H", path.read_bytes(), 16)[0])


def test_what_is_as_it_was_made_is_said_to_be(books: Callable[..., Any]) -> None:
    made = books()
    for _ in range(30):
        made.book("GPU-1", 10, [("a", 5)])
    made.close()
    path = made.directory / FILE_NAME
    before = energies(path)
    assert len(before) == 29
    assert mend(path) is False
    assert energies(path) == before


@pytest.mark.parametrize("offset", [0, 1, 18, 21, 44, 60, 71, 101, 105])
def test_a_byte_of_the_header_or_of_the_list_is_put_right(sound: Path, offset: int) -> None:
    before, whole = energies(sound), sound.read_bytes()
    damaged = bytearray(whole)
    damaged[offset] ^= 0x7F
    sound.write_bytes(damaged)
    assert mend(sound) is True
    assert energies(sound) == before
    assert len(sound.read_bytes()) == len(whole)
    # how many pages there are is counted, and that figure is valid
    header = sound.read_bytes()
    assert struct.unpack_from(">I", header, 28)[0] == len(whole) // page_size(sound)
    assert header[24:28] == header[92:96]
    assert header[32:40] == bytes(8)


def test_every_page_of_the_list_is_put_right(sound: Path) -> None:
    size = page_size(sound)
    before, whole = energies(sound), sound.read_bytes()
    connection = sqlite3.connect(sound)
    roots = {row[0] for row in connection.execute("SELECT rootpage FROM sqlite_schema")}
    connection.close()
    pages = [at for at in range(2, len(whole) // size + 1) if at not in roots]
    holding = [at for at in pages if b"CREATE TABLE" in whole[(at - 1) * size : at * size]]
    assert (size == 512) is (len(holding) > 3)
    damaged = bytearray(whole)
    for at in holding:
        damaged[(at - 1) * size : at * size] = bytes(size)
    damaged[:100] = whole[:100]
    sound.write_bytes(damaged)
    mend(sound)
    assert energies(sound) == before


def test_a_size_of_pages_that_can_not_be_is_taken_for_the_usual_one(
    books: Callable[..., Any],
) -> None:
    made = books()
    for _ in range(30):
        made.book("GPU-1", 10, [("a", 5)])
    made.close()
    path = made.directory / FILE_NAME
    before = energies(path)
    for size in (b"\x00\x00", b"\x10\x01", b"\xff\xff"):
        damaged = bytearray(path.read_bytes())
        damaged[16:18] = size
        path.write_bytes(damaged)
        assert mend(path) is True
        assert page_size(path) == 4_096
        assert energies(path) == before


@pytest.mark.parametrize("length", [0, 50, 99])
def test_a_file_without_a_header_becomes_an_empty_ledger(tmp_path: Path, length: int) -> None:
    path = tmp_path / "short.db"
    path.write_bytes(b"x" * length)
    assert mend(path) is True
    assert page_size(path) == 4_096
    assert path.stat().st_size % 4_096 == 0
