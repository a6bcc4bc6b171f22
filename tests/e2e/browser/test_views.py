"""Every view at a phone's, a desk's and a wall's width, light and dark, beside approved pictures.

Fonts differ between machines, and with them every height. So pictures are compared section by
section, each brought to the same few cells, and boxes only by their places across the page.
After a wanted change: ``SUBMETER_APPROVE=1 pytest tests/e2e/browser/test_views.py``, and look at
what changed in ``approved/``.
"""

import json
import os
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from browser import Tab

APPROVED: Final = Path(__file__).with_name("approved")
SHRUNK: Final = 10  # pixels of the page in one of the picture
HEIGHT: Final = 2_000  # of a page at most
CELLS: Final = (24, 8)  # of a section, when it is compared
MOST_MEAN: Final = 18.0  # of 255: how far sections may be apart on average
MOST_CELLS: Final = 0.10  # of a section's cells that may be quite different
QUITE: Final = 64.0
MOST_ACROSS: Final = 0.02  # of the page's width

SECTIONS: Final = (
    *("header", ".notice", "#node", "#day", "#past", "#past-table", "#overview"),
    *("#gpu0", "#gpu1", "#gpus"),
)
STATES: Final = ("two", "sixty-four", "blind", "none")
Grid = list[list[float]]


class View(NamedTuple):
    """A page as it looks: RGB rows, and each section's box in pixels of the page."""

    width: int
    height: int
    rows: list[bytes]
    boxes: dict[str, list[float]]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
@pytest.mark.parametrize("state", STATES)
def test_it_looks_as_approved(
    still: Callable[[str], str], tab: Tab, state: str, width: int, dark: bool
) -> None:
    tab.look(width, HEIGHT, dark=dark)
    tab.call("Page.navigate", url=still(state))
    settle(tab)
    assert tab.value("document.documentElement.scrollWidth") <= width
    view = taken(tab)
    name = f"{state}-{width}-{'dark' if dark else 'light'}"
    if os.environ.get("SUBMETER_APPROVE"):
        approve(name, view)
    assert differences(approved(name), view) == []


def settle(tab: Tab) -> None:
    """Until everything is drawn."""
    tab.wait("document.querySelector('#past-at')?.textContent.includes('steps of')")
    tab.wait("[...document.querySelectorAll('#node canvas')].every((each) => each.width !== 300)")
    tab.value("document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 800)))")


def taken(tab: Tab) -> View:
    """What the page looks like now, shrunk by the browser itself."""
    boxes = tab.value(
        f"Object.fromEntries({json.dumps(SECTIONS)}.map((each) => [each, document"
        ".querySelector(each)?.getBoundingClientRect()]).filter(([, box]) => box && box.width)"
        ".map(([each, box]) => [each, [box.x, box.y, box.width, box.height]]))"
    )
    picture = tab.call("Page.captureScreenshot", format="png")["data"]
    shrunk = tab.value(
        "(async () => { const bytes = Uint8Array.from(atob('" + picture + "'), (c) => "
        "c.charCodeAt(0)); const image = await createImageBitmap(new Blob([bytes])); "
        "const whole = new OffscreenCanvas(image.width, image.height).getContext('2d'); "
        "whole.drawImage(image, 0, 0); const { data, width, height } = "
        "whole.getImageData(0, 0, image.width, image.height); "
        f"const by = {SHRUNK}; const w = Math.floor(width / by), h = Math.floor(height / by); "
        "const out = new Uint8Array(w * h * 3); for (let y = 0; y < h; y++) "
        "for (let x = 0; x < w; x++) for (let c = 0; c < 3; c++) { let sum = 0; "
        "for (let j = 0; j < by; j++) for (let i = 0; i < by; i++) "
        "sum += data[4 * ((y * by + j) * width + x * by + i) + c]; "
        "out[3 * (y * w + x) + c] = sum / by / by; } let text = ''; "
        "for (const each of out) text += String.fromCharCode(each); return [w, h, btoa(text)]; })()"
    )
    width, height, data = shrunk[0], shrunk[1], b64decode(shrunk[2])
    rows = [data[3 * width * at : 3 * width * (at + 1)] for at in range(height)]
    return View(width, height, rows, boxes)


def differences(wanted: View, found: View) -> list[str]:
    """What a person would call another picture."""
    said = []
    if wanted.boxes.keys() != found.boxes.keys():
        said.append(f"sections: {sorted(found.boxes)} instead of {sorted(wanted.boxes)}")
    for name in wanted.boxes.keys() & found.boxes.keys():
        one, other = wanted.boxes[name], found.boxes[name]
        across = SHRUNK * wanted.width
        for what, at in (("left edge", 0), ("width", 2)):
            if abs(one[at] - other[at]) > MOST_ACROSS * across:
                said.append(f"{name}: {what} {other[at]} instead of {one[at]}")
        if not 0.6 < (other[3] + 20) / (one[3] + 20) < 1.6:
            said.append(f"{name}: {other[3]} px high instead of {one[3]}")
        grids = cells_of(wanted, one), cells_of(found, other)
        if not all(grids):
            continue
        cells = [
            abs(a - b)
            for one_row, other_row in zip(*grids, strict=True)
            for a, b in zip(one_row, other_row, strict=True)
        ]
        mean = sum(cells) / len(cells)
        quite = sum(each > QUITE for each in cells) / len(cells)
        if mean > MOST_MEAN or quite > MOST_CELLS:
            said.append(f"{name}: {mean:.1f} of 255 apart, {quite:.0%} quite different")
    return said


def cells_of(view: View, box: list[float]) -> Grid:
    """The part of the picture that a section takes, as few cells of three colours."""
    left, top, width, height = (each / SHRUNK for each in box)
    across, down = CELLS
    if top + height > view.height:
        return []  # beyond what was taken
    grid = []
    for row in range(down):
        first, last = _span(top, height, row, down, view.height)
        colours: list[float] = []
        for cell in range(across):
            begin, end = _span(left, width, cell, across, view.width)
            for colour in range(3):
                values = [
                    view.rows[y][3 * x + colour]
                    for y in range(first, last)
                    for x in range(begin, end)
                ]
                colours.append(sum(values) / len(values))
        grid.append(colours)
    return grid


def _span(start: float, size: float, at: int, parts: int, most: int) -> tuple[int, int]:
    first = min(max(int(start + size * at / parts), 0), most - 1)
    return first, max(first + 1, min(int(start + size * (at + 1) / parts), most))


def approve(name: str, view: View) -> None:
    """Writes a picture (PNG, RFC 2083) and its boxes."""
    APPROVED.mkdir(exist_ok=True)
    size = struct.pack(">IIBBBBB", view.width, view.height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in view.rows), 9)
    chunks = ((b"IHDR", size), (b"tEXt", b"boxes\0" + json.dumps(view.boxes).encode()))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in (*chunks, (b"IDAT", data)))
    (APPROVED / f"{name}.png").write_bytes(png + _chunk(b"IEND", b""))


def approved(name: str) -> View:
    """What `approve` wrote."""
    data = (APPROVED / f"{name}.png").read_bytes()
    found: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += size + 12
    width, height = struct.unpack_from(">II", found[b"IHDR"])
    pixels = zlib.decompress(found[b"IDAT"])
    step = 3 * width + 1
    rows = [pixels[step * row + 1 : step * (row + 1)] for row in range(height)]
    boxes: dict[str, Any] = json.loads(found[b"tEXt"].partition(b"\0")[2])
    return View(width, height, rows, boxes)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check
