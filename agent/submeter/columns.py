"""Cells in, aligned lines out, as wide as they look: East Asian characters take two cells."""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import Final
from unicodedata import combining, east_asian_width

from submeter.text import printable

_GAP: Final = "  "
_NARROWEST: Final = 12  # below that a column isn't squeezed: its words would be in pieces


def columns(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), width: int | None = None
) -> list[str]:
    """A line a row, columns two blanks apart, those in ``right`` right-aligned.

    Where ``width`` is given and too small, the widest of the other columns are folded, so that a
    row may take several lines.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    if width is not None:
        widths = _squeezed(widths, right, width)
    return [line for row in cells for line in _lines(row, widths, right)]


def folded(text: str, width: int) -> list[str]:
    """The text in lines of at most that width, broken between words where there are any."""
    lines = [""]
    for word in re.findall(r"\S+\s*|\s+", text):
        if lines[-1] and _width(lines[-1]) + _width(word.rstrip()) > width:
            lines.append("")
        for piece in _pieces(word, width) if _width(word.rstrip()) > width else [word]:
            if lines[-1] and _width(lines[-1]) + _width(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def _lines(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> Iterator[str]:
    parts = [
        [cell] if _width(cell) <= width else folded(cell, width)
        for cell, width in zip(row, widths, strict=True)
    ]
    for line in zip_longest(*parts, fillvalue=""):
        padded = (
            _padded(cell, width, to_the_right=at in right)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield _GAP.join(padded).rstrip()


def _squeezed(widths: Sequence[int], right: Collection[int], most: int) -> list[int]:
    """Those widths, the widest made narrower until all fit; figures keep theirs."""
    result = list(widths)
    flexible = [at for at in range(len(widths)) if at not in right]
    room = most - len(_GAP) * (len(widths) - 1)
    while flexible and sum(result) > room:
        widest = max(flexible, key=result.__getitem__)
        if result[widest] <= _NARROWEST:
            break
        result[widest] -= 1
    return result


def _pieces(word: str, width: int) -> Iterator[str]:
    piece = ""
    for mark in word:
        if piece and _width(piece + mark) > width:
            yield piece
            piece = ""
        piece += mark
    yield piece


def _padded(cell: str, width: int, *, to_the_right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if to_the_right else cell + blanks


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if combining(mark) else 1 + (east_asian_width(mark) in "WF") for mark in text)
