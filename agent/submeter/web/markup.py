"""Figures and texts in, small pieces of HTML out. Every text from outside passes `safe`.

There is no inline style or script, so that the content security policy can forbid them; bars are
SVG, whose sizes are attributes. A figure carries what it stands for: ``<data value="3400.5">``.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from submeter.text import printable
from submeter.units import decimal
from submeter.web import figures
from submeter.web.figures import Figure

_BAR: Final = 1_000  # width of a whole bar in its own units
_MICRO: Final = 6
_MILLI: Final = 3

_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
)
"""As html.escape does; its module has half a megabyte of named characters."""

Tile = tuple[str, str | Figure]
"""What a figure is, and the figure."""


def safe(text: str) -> str:
    """Text from outside as HTML, in an element or a quoted attribute."""
    return printable(text).translate(_ESCAPES)


def shown(figure: str | Figure) -> str:
    """A figure, with its exact value where it has one."""
    if isinstance(figure, str):
        return safe(figure)
    if not figure.value:
        return safe(figure.text)
    return f'<data value="{safe(figure.value)}">{safe(figure.text)}</data>'


def tiles(items: Iterable[Tile]) -> str:
    """What figures are, and the figures."""
    made = (f"<div><dt>{safe(what)}</dt><dd>{shown(value)}</dd></div>" for what, value in items)
    return f'<dl class="tiles">{"".join(made)}</dl>'


def hint(label: str, lines: Iterable[str], key: str) -> str:
    """A word that tells more when it is pointed at or has the focus. ``key``: unique on the page,
    of our own making."""
    told = "".join(f"<span>{safe(line)}</span>" for line in lines)
    return (
        f'<span class="hint"><button type="button" aria-describedby="{key}">{safe(label)}</button>'
        f'<span role="tooltip" id="{key}">{told}</span></span>'
    )


def stack(parts: Mapping[str, int], kind: str, *, power: bool = False, sum_of: str = "") -> str:
    """A bar of parts that fill it, and below it their figures, which add up to the last one:
    µJ, or with ``power`` mW."""
    names = [name for name, part in parts.items() if part]
    values = [parts[name] for name in names]
    texts, total = figures.powers(values) if power else figures.energies(values)
    digits = _MILLI if power else _MICRO
    offset = 0
    bars: list[str] = []
    for name, width in zip(names, figures.apportioned(values, _BAR), strict=True):
        bars.append(f'<rect class="{kind}-{name}" x="{offset}" width="{width}" height="1"/>')
        offset += width
    legend = "".join(
        f'<li><i class="{kind}-{name}"></i>{name} <b>{shown(Figure(text, decimal(value, digits)))}'
        "</b></li>"
        for name, text, value in zip(names, texts, values, strict=True)
    )
    whole = shown(Figure(total, decimal(sum(values), digits)))
    return (
        f'<svg class="stack" viewBox="0 0 {_BAR} 1" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(bars)}</svg>'
        f'<ul class="legend">{legend}<li class="sum">{sum_of or "together"} <b>{whole}</b></li>'
        "</ul>"
    )


def meter(value: int, whole: int, kind: str) -> str:
    """How much of the whole a value is, as a bar."""
    width = min(_BAR, max(0, _BAR * value // whole)) if whole > 0 else 0
    return (
        f'<svg class="meter {kind}" viewBox="0 0 {_BAR} 1" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect x="0" width="{width}" height="1"/></svg>'
    )
