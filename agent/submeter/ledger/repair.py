"""The bytes of a copy of a damaged ledger in, the same with its beginning as it was made out.

Where the header or the list of tables is damaged, SQLite reads nothing of a file whose rows are
all there. Both are the same in every ledger of a version: tables are made once, in one order.
"""

import os
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from submeter.ledger.schema import migrate

_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 16))
_DEFAULT_PAGE: Final = 4_096
_PAGE_SIZE: Final = slice(16, 18)  # sqlite.org/fileformat2.html#database_header
_U32: Final = struct.Struct(">I")
_HEADER_BYTES: Final = 100
_CHANGING: Final = ((24, 40), (92, 100))
"""Bytes of the header that are other in every file: how large it is, how often it was changed, what
is free, which SQLite wrote last."""
_INTERIOR: Final = 5  # type of a page that only points to others


def mend(path: Path) -> bool:
    """Gives the file the header and list of tables of a new ledger; whether it had others."""
    with path.open("r+b") as file:
        head = file.read(_HEADER_BYTES)
        stated = int.from_bytes(head[_PAGE_SIZE], "big")  # of a file that is cut off: none of them
        size = stated if stated in _PAGE_SIZES else _DEFAULT_PAGE
        pages = _U32.pack(file.seek(0, os.SEEK_END) // size)
        differs = False
        fresh = _fresh(size)
        for number in _schema_pages(fresh, size):
            start = (number - 1) * size
            page = bytearray(fresh[start : start + size])
            if number == 1:
                for first, last in _CHANGING:
                    page[first:last] = head[first:last].ljust(last - first, b"\0")
            file.seek(start)
            differs = differs or file.read(size) != page
            if number == 1:
                page[28:32] = pages
                page[32:40] = bytes(8)  # free pages: nothing will be written
                page[24:28] = page[92:96] = bytes(4)  # what the number of pages is valid for
            file.seek(start)
            file.write(page)
    return differs


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
