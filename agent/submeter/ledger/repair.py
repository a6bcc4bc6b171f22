"""The bytes of a copy of a damaged ledger in, the same with its beginning as it was made out.

Where the header or the list of tables is damaged, SQLite reads nothing of a file whose rows are
all there. Both are the same in every ledger of a version: tables are made once, in one order.
"""

import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from submeter.ledger.schema import migrate

_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 16))
_DEFAULT_PAGE: Final = 4_096
_PAGE_SIZE: Final = struct.Struct(">H")  # at 16: sqlite.org/fileformat2.html#database_header
_U32: Final = struct.Struct(">I")
_HEADER_BYTES: Final = 100
_INTERIOR: Final = 5  # type of a page that only points to others


def mend(path: Path) -> None:
    """Gives the file the header and list of tables of a new ledger."""
    whole = bytearray(path.read_bytes())
    stated = _PAGE_SIZE.unpack_from(whole, 16)[0] if len(whole) >= _HEADER_BYTES else 0
    size = stated if stated in _PAGE_SIZES else _DEFAULT_PAGE
    fresh = _fresh(size)
    for page in _schema_pages(fresh, size):
        start = (page - 1) * size
        whole[start : start + size] = fresh[start : start + size]
    _U32.pack_into(whole, 28, len(whole) // size)
    whole[24:28] = whole[92:96] = bytes(4)  # change counter, and the one that the size is valid for
    path.write_bytes(whole)


def _fresh(page_size: int) -> bytes:
    with tempfile.TemporaryDirectory(prefix="submeter-") as directory:
        path = Path(directory) / "fresh.db"
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {page_size}")
            migrate(connection)
        finally:
            connection.close()
        return path.read_bytes()


def _schema_pages(fresh: bytes, size: int, page: int = 1) -> Iterator[int]:
    """The pages of the list of tables, in a file where nothing else was changed yet."""
    yield page
    start = (page - 1) * size
    at = start + (_HEADER_BYTES if page == 1 else 0)
    if fresh[at] != _INTERIOR:
        return
    cells = struct.unpack_from(">H", fresh, at + 3)[0]
    for cell in range(cells):
        pointer = struct.unpack_from(">H", fresh, at + 12 + 2 * cell)[0]
        yield from _schema_pages(fresh, size, _U32.unpack_from(fresh, start + pointer)[0])
    yield from _schema_pages(fresh, size, _U32.unpack_from(fresh, at + 8)[0])
