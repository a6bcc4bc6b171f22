"""Values for people in, text for a terminal or a pipe out: colour, tables, JSON, progress.

Colour and progress only ever go to a terminal; what is piped is plain and quiet.
"""

import json
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TextIO

from submeter.clock import Clock, SystemClock
from submeter.columns import columns
from submeter.units import NS_PER_S

PATIENCE_S: Final = 2
"""Whoever waits longer wants to know for how long still; what is done before needs no bar."""

_STYLES: Final = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
_BAR_CELLS: Final = 30


def is_terminal(stream: TextIO | None) -> bool:
    """True if somebody watches that stream live."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def wants_colour(stream: TextIO | None, environ: Mapping[str, str] | None = None) -> bool:
    """True for a terminal that can, unless NO_COLOR is set to anything (https://no-color.org)."""
    environ = os.environ if environ is None else environ
    return is_terminal(stream) and not environ.get("NO_COLOR") and environ.get("TERM", "") != "dumb"


def paint(text: str, style: str, *, colour: bool) -> str:
    """The text in that style (``bold``, ``dim``, ``red`` …), or as it is without colour."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour else text


def printable(text: str) -> str:
    """The text with control characters escaped: names come from anybody's processes and must
    not move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def terminal_width(stream: TextIO | None) -> int | None:
    """How many columns a terminal has; None for anything else, which has no end of a line."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def table_text(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> str:
    """The cells in columns (`submeter.columns`), with control characters escaped."""
    cells = [[printable(str(cell)) for cell in row] for row in [headings, *rows]]
    return "\n".join(columns(cells, right, width))


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()
) -> None:
    """Prints `table_text`, on a terminal with the headings in bold and no wider than that is."""
    width = terminal_width(sys.stdout)
    first, *rest = table_text(headings, rows, right=right, width=width).split("\n")
    print(paint(first, "bold", colour=wants_colour(sys.stdout)), *rest, sep="\n")


def print_json(value: object) -> None:
    """Prints a value as JSON; what JSON doesn't know (paths, dates) as its text."""
    print(json.dumps(value, indent=2, default=str))


class Progress:
    """A progress bar on stderr, drawn only on a terminal, and only once ``after_s`` are over. Use
    as a context manager.

    ``total`` is None where the end isn't known; then it counts.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        stream: TextIO | None = None,
        *,
        after_s: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._label = label
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._after_ns = after_s * NS_PER_S
        self._clock = SystemClock() if clock is None else clock
        self._begun_ns = 0
        self._drawn = ""

    def __enter__(self) -> Self:
        self._begun_ns = self._clock.monotonic_ns()
        self.update(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw("")

    def update(self, done: int) -> None:
        """So much of the total is done. Cheap: writes only when what is drawn changes."""
        if not is_terminal(self._stream):
            return
        if self._after_ns and self._clock.monotonic_ns() - self._begun_ns < self._after_ns:
            return
        if not self._total:
            self._draw(f"{self._label} {done}")
            return
        percent = min(100, 100 * done // self._total)
        bar = ("█" * (percent * _BAR_CELLS // 100)).ljust(_BAR_CELLS, "░")
        self._draw(f"{self._label} {bar} {percent} %")

    def _draw(self, text: str) -> None:
        if text != self._drawn and is_terminal(self._stream):
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
            self._drawn = text
