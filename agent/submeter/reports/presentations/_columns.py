"""Cells in, aligned lines out, as wide as they look: East Asian characters take two cells."""

from collections.abc import Collection, Sequence
from typing import Final
from unicodedata import combining, east_asian_width

from submeter.text import printable

_STYLES: Final = {"bold": 1, "yellow": 33}


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """A line a row, columns two blanks apart, those in ``right`` right-aligned."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(_padded, row, widths, _sides(len(row), right))).rstrip() for row in cells]


def painted(text: str, style: str, *, colour: bool) -> str:
    """The text in that style on a terminal, or as it is."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour else text


def _sides(count: int, right: Collection[int]) -> list[bool]:
    return [at in right for at in range(count)]


def _padded(cell: str, width: int, to_the_right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if to_the_right else cell + blanks


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if combining(mark) else 1 + (east_asian_width(mark) in "WF") for mark in text)
