"""What a soak saw in; memory, descriptors and threads over its time out, as SVG."""

from collections.abc import Sequence
from html import escape
from typing import Final

from submeter_reliability.soak.result import WARM_UP, Result

_WIDTH: Final = 920
_LEFT: Final = 70
_PANEL_W: Final = 826
_PANEL_H: Final = 120
_ROW: Final = 168
_TOP: Final = 84
_STYLE: Final = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; --paper: #ffffff;
  --ink: #1c2128; --soft: #5b6470; --grid: #e3e6ea; --line: #0b62c4; --band: #f3f5f8; }
@media (prefers-color-scheme: dark) { svg { --paper: #14181d; --ink: #e8ebef; --soft: #9aa4b0;
  --grid: #2b323a; --line: #62aaff; --band: #1b2127; } }
text { fill: var(--ink); } .soft { fill: var(--soft); font-size: 12px; }
.paper { fill: var(--paper); }
.title { font-size: 17px; font-weight: 600; } .head { font-weight: 600; }
.grid { stroke: var(--grid); } .line { fill: none; stroke: var(--line); stroke-width: 1.5; }
.band { fill: var(--band); } .end { text-anchor: end; } .middle { text-anchor: middle; }
"""
_PANELS: Final = (
    ("resident memory, MiB", "resident_mib", 64.0),
    ("open descriptors", "descriptors", 64.0),
    ("threads", "threads", 32.0),
)


def picture(result: Result) -> str:
    """Memory, descriptors and threads over the time, as SVG; the warm-up is shaded."""
    height = _TOP + _ROW * len(_PANELS) + 8
    grows = result.slope
    title = f"The agent over {result.started.minutes:g} minutes of churn and faults"
    said = (
        f"after the warm-up (shaded) the memory grows by {grows.mib_per_hour:.2f} MiB an hour "
        f"(95 %: up to {grows.upper:.2f}); {result.started.processes} processes, "
        f"{len(result.started.faults)} faults, {result.crowd.get('scrape', 0)} scrapes"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text x="24" y="32" class="title">{escape(title)}</text>',
        f'<text x="24" y="54" class="soft">{escape(said)}</text>',
    ]
    for row, (name, attribute, top) in enumerate(_PANELS):
        values = [(one.at_s, float(getattr(one, attribute))) for one in result.samples]
        parts += _panel(_TOP + row * _ROW, name, values, top, result.started.minutes)
    return "\n".join(parts) + "\n</svg>\n"


def _panel(
    y: float, name: str, values: Sequence[tuple[float, float]], top: float, minutes: float
) -> list[str]:
    top = max(top, *(value for _, value in values))
    floor = y + 16 + _PANEL_H

    def at(seconds: float, value: float) -> tuple[float, float]:
        return _LEFT + _PANEL_W * seconds / (minutes * 60), floor - _PANEL_H * value / top

    line = " ".join(f"{x:.1f},{up:.1f}" for x, up in (at(*value) for value in values))
    parts = [
        f'<rect class="band" x="{_LEFT}" y="{y + 16}" width="{_PANEL_W * WARM_UP:.0f}" '
        f'height="{_PANEL_H}"/>',
        f'<text x="{_LEFT}" y="{y + 8}" class="head">{name}</text>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, up = at(0, top * share)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PANEL_W}" y1="{up:.1f}" y2="{up:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{up + 4:.1f}" class="soft end">{top * share:g}</text>'
        )
        x, _ = at(minutes * 60 * share, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{floor + 16}" class="soft middle">{minutes * share:g} min</text>'
        )
    return [*parts, f'<polyline class="line" points="{line}"/>']
