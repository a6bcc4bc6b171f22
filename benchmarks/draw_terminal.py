"""A real session of `submeter top` on the node of `submeter demo` in, an animated SVG of it out.

    python benchmarks/draw_terminal.py docs/top.svg

A pseudo-terminal runs the command, an emulator says what a terminal would show, once a second for
the minute of the tour, with the keys of `STORY` pressed on the way. In the picture a row that
comes again is there once, and a second of the session takes a third of one. No script, no font,
nothing from elsewhere: it moves where a page shows it as an image, and where it can't it shows
the frame of `STILL`.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.testing.terminal import Terminal

COMMAND: Final = "submeter top --backend mock --scenario tour"
COLUMNS: Final = 100
LINES: Final = 36
SECONDS: Final = 62
SPEED: Final = 3
STILL: Final = 22  # the second that is shown where nothing moves
STORY: Final = {  # seconds: keys
    9: "/",
    10: "carol\r",  # the notebook that holds a GPU and idles …
    11: "d",  # … and why its phase is what it is
    17: "d\x1b",
    37: "h",  # the last hour, by phase
    42: "h",
    55: "h",
}
MOST_BYTES: Final = 300_000

_CELL_W: Final = 8
_CELL_H: Final = 16
_FONT_PX: Final = 13.3
_BASE: Final = 12  # of a row's letters, below its top
_MARGIN: Final = 12
_BAR: Final = 30  # the window's own, above
_PAPER: Final = "#121212"
_INK: Final = "#e0e0e0"
_NAMED: Final = {"default": _INK, "black": "#000000", "brightblack": "#666666"}


class Look(NamedTuple):
    """How a cell is drawn."""

    ink: str
    paper: str
    bold: bool


class Frame(NamedTuple):
    """What was shown from a second on: a row each, as pieces of text that look the same."""

    at_s: int
    rows: tuple[tuple[tuple[int, str, Look], ...], ...]


def main() -> None:
    target = Path(sys.argv[1])
    picture = drawn(recorded())
    if len(picture) > MOST_BYTES:
        sys.exit(f"draw_terminal: {len(picture):,} bytes, more than {MOST_BYTES:,}")
    target.write_bytes(picture)
    print(f"{target}: {len(picture):,} bytes")


def recorded() -> list[Frame]:
    """The session, a frame a second."""
    environ = {**os.environ, "COLORTERM": "truecolor", "HOME": "/nonexistent"}
    environ.pop("NO_COLOR", None)
    frames = []
    with Terminal(COLUMNS, LINES) as terminal:
        command = [sys.executable, "-m", *COMMAND.split()]
        terminal.run(command, environ)
        terminal.wait_for("pretrain.py")
        for second in range(SECONDS):
            terminal.press(STORY.get(second, ""))
            terminal.watch(1.0)
            frames.append(Frame(second, tuple(map(_pieces, terminal.rows()))))
        terminal.press("q")
        terminal.end()
    return frames


def drawn(frames: Sequence[Frame]) -> bytes:
    """The SVG: a strip of frames behind a window, moved on in steps."""
    width = COLUMNS * _CELL_W + 2 * _MARGIN
    high = LINES * _CELL_H
    height = _BAR + high + _MARGIN
    rows = {
        row: f"r{at}" for at, row in enumerate(dict.fromkeys(r for f in frames for r in f.rows))
    }
    strip = "".join(_frame(frame, at * high, rows) for at, frame in enumerate(frames))
    shares = [100 * at / len(frames) for at in range(len(frames))]
    steps = "".join(
        f"{share:.2f}%{{transform:translateY({-at * high}px)}}" for at, share in enumerate(shares)
    )
    text = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
fill="{_INK}" role="img" aria-label="A minute of submeter top on a simulated node of eight GPUs">
<style>
text{{font:{_FONT_PX}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;\
white-space:pre}}
.b{{font-weight:bold}}
#strip{{transform:translateY({-STILL * high}px);\
animation:strip {len(frames) / SPEED:.2f}s step-end infinite}}
@keyframes strip{{{steps}}}
@media (prefers-reduced-motion:reduce){{#strip{{animation:none}}}}
</style>
<defs>{"".join(_row(row, name) for row, name in rows.items())}</defs>
<rect width="{width}" height="{height}" rx="8" fill="{_PAPER}"/>
<text x="{_MARGIN}" y="20" fill-opacity=".6">$ {escape(COMMAND)}</text>
<svg x="{_MARGIN}" y="{_BAR}" width="{width - 2 * _MARGIN}" height="{high}"><g id="strip">
{strip}</g></svg>
</svg>
"""
    return text.encode()


def _frame(frame: Frame, top: int, rows: dict[Any, str]) -> str:
    used = "".join(
        f'<use href="#{rows[row]}" y="{top + at * _CELL_H + _BASE}"/>'
        for at, row in enumerate(frame.rows)
        if row
    )
    return f"{used}\n"


def _row(row: tuple[tuple[int, str, Look], ...], name: str) -> str:
    if not row:
        return ""
    return f'<g id="{name}">{"".join(_paper(row))}{"".join(_ink(row))}</g>\n'


def _paper(row: tuple[tuple[int, str, Look], ...]) -> Iterator[str]:
    for at, text, look in row:
        if look.paper != _PAPER:
            yield (
                f'<rect x="{at * _CELL_W}" y="{-_BASE}" width="{len(text) * _CELL_W}" '
                f'height="{_CELL_H}" fill="{look.paper}"/>'
            )


def _ink(row: tuple[tuple[int, str, Look], ...]) -> Iterator[str]:
    """Each piece as long as its cells, whatever font it is drawn with."""
    for start, text, look in row:
        shown = text.strip()
        if shown:
            x = (start + len(text) - len(text.lstrip())) * _CELL_W
            style = ("" if look.ink == _INK else f' fill="{look.ink}"') + ' class="b"' * look.bold
            length = f' textLength="{len(shown) * _CELL_W}"' if len(shown) > 1 else ""
            yield f'<text x="{x}"{length}{style}>{escape(shown)}</text>'


def _pieces(cells: list[Any]) -> tuple[tuple[int, str, Look], ...]:
    """Neighbours that look the same, as one; a blank looks like what is before it."""
    looks: list[Look] = []
    for cell in cells:
        look = _look(cell)
        blank = not cell.data.strip() and looks and looks[-1].paper == look.paper
        looks.append(looks[-1] if blank else look)
    pieces = []
    for look, group in groupby(enumerate(cells), key=lambda found: looks[found[0]]):
        found = list(group)
        text = "".join(cell.data for _, cell in found)
        if text.strip() or look.paper != _PAPER:
            pieces.append((found[0][0], text, look))
    return tuple(pieces)


def _look(cell: Any) -> Look:
    ink, paper = _colour(cell.fg, _INK), _colour(cell.bg, _PAPER)
    return Look(paper, ink, cell.bold) if cell.reverse else Look(ink, paper, cell.bold)


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else _NAMED.get(name, default)


if __name__ == "__main__":
    main()
