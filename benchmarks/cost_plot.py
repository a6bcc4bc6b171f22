"""Results over numbers of GPUs in, one SVG out: CPU in total and per GPU, a row for each rate.

Written by hand so that the benchmarks need no plotting library. Colours follow the reader's light
or dark scheme; the agent and the C loop differ in line and mark as well as in colour.
"""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from math import ceil, floor, log2, log10
from typing import Final

from cost_runs import Result

WIDTH: Final = 920
_PANEL_W: Final = 350
_PANEL_H: Final = 210
_LEFT: Final = 78
_TOP: Final = 116
_ROW: Final = 296
_COLUMN: Final = 440
_STYLE: Final = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; --paper: #ffffff;
  --ink: #1c2128; --soft: #5b6470; --grid: #e3e6ea; --agent: #0b62c4; --loop: #b3541e; }
@media (prefers-color-scheme: dark) { svg { --paper: #14181d; --ink: #e8ebef; --soft: #9aa4b0;
  --grid: #2b323a; --agent: #62aaff; --loop: #f0965a; } }
text { fill: var(--ink); } .soft { fill: var(--soft); font-size: 12px; }
.title { font-size: 17px; font-weight: 600; } .head { font-weight: 600; }
.paper { fill: var(--paper); } .grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.agent { stroke: var(--agent); } .loop { stroke: var(--loop); }
.line { fill: none; stroke-width: 2; } .fit { fill: none; stroke-width: 1; stroke-dasharray: 2 4; }
.loop.line { stroke-dasharray: 7 3; } circle, rect.mark { fill: var(--paper); stroke-width: 2; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
"""
_CLASSES: Final = {"agent": "agent", "C loop": "loop"}

Points = list[tuple[float, float]]
Scale = Callable[[float], float]


def draw(results: Sequence[Result], said_below: str) -> str:
    """The whole picture. ``said_below`` is printed under it: machine and date."""
    rates = sorted({result.rate_hz for result in results})
    height = _TOP + _ROW * len(rates) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>CPU used for metering, by number of GPUs</title>",
        f'<style>{_STYLE}</style><rect class="paper" width="{WIDTH}" height="{height}"/>',
        _text(24, 34, "CPU used for metering, by number of GPUs", "title"),
        *_legend(24, 60),
    ]
    for row, rate_hz in enumerate(rates):
        of_rate = [result for result in results if result.rate_hz == rate_hz]
        top = _TOP + _ROW * row
        total, each = _series(of_rate, per_gpu=False), _series(of_rate, per_gpu=True)
        parts += _panel(_LEFT, top, f"{rate_hz:g} Hz: total, % of one core", total, linear=True)
        parts += _panel(
            _LEFT + _COLUMN, top, f"{rate_hz:g} Hz: per GPU, % of one core", each, linear=False
        )
    parts.append(_text(WIDTH - 16, height - 8, said_below, "soft end"))
    return "\n".join(parts) + "\n</svg>\n"


def fit(points: Points) -> tuple[float, float]:
    """Fixed cost and cost per GPU: least squares of the relative errors (weights 1/y²), since
    the large nodes would hide the small ones otherwise."""
    weights = [1 / (y * y) for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    over = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True))
    under = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    slope = over / under if under else 0.0
    return mean_y - slope * mean_x, slope


def _series(results: Iterable[Result], *, per_gpu: bool) -> dict[str, Points]:
    found: dict[str, Points] = {}
    for result in results:
        if result.what in _CLASSES:
            y = result.cpu_percent / (result.gpus if per_gpu else 1)
            found.setdefault(result.what, []).append((result.gpus, y))
    return {what: sorted(found[what]) for what in _CLASSES if what in found}


def _legend(x: float, y: float) -> list[str]:
    parts = []
    for what, kind, said in (
        ("agent", "agent", "submeter agent: meters, attributes, keeps its ledger, serves"),
        ("C loop", "loop", "bare C loop: the same NVML calls, nothing done about them"),
    ):
        parts += [
            f'<path class="{kind} line" d="M{x} {y - 4}h34"/>',
            _mark(what, x + 17, y - 4),
            _text(x + 44, y, said, "soft"),
        ]
        x += 440
    return parts


def _panel(
    left: float, top: float, head: str, series: dict[str, Points], *, linear: bool
) -> list[str]:
    """``linear``: both axes linear, with the fitted lines; else powers of two over a log scale."""
    points = [point for found in series.values() for point in found]
    xs = sorted({x for x, _ in points})
    ys = [y for _, y in points]
    if linear:
        across: Scale = lambda x: left + _PANEL_W * x / xs[-1]  # noqa: E731
        y_ticks = _linear_ticks(max(ys))
        up: Scale = lambda y: top + _PANEL_H * (1 - y / y_ticks[-1])  # noqa: E731
        x_ticks = [x for x in xs if x >= xs[-1] / 8]
    else:
        span = log2(xs[-1] / xs[0]) or 1.0
        across = lambda x: left + 14 + (_PANEL_W - 28) * log2(x / xs[0]) / span  # noqa: E731
        y_ticks = _log_ticks(min(ys), max(ys))
        decades = log10(y_ticks[-1] / y_ticks[0])
        up = lambda y: top + _PANEL_H * (1 - log10(y / y_ticks[0]) / decades)  # noqa: E731
        x_ticks = xs
    bottom = top + _PANEL_H
    parts = [_text(left - 54, top - 12, head, "head")]
    for y in y_ticks:
        parts += [
            f'<path class="grid" d="M{left} {up(y):.1f}h{_PANEL_W}"/>',
            _text(left - 8, up(y) + 4, f"{y:g}", "soft end"),
        ]
    for x in x_ticks:
        parts += [
            f'<path class="axis" d="M{across(x):.1f} {bottom}v5"/>',
            _text(across(x), bottom + 20, f"{x:g}", "soft middle"),
        ]
    parts += [
        f'<path class="axis" d="M{left} {bottom}h{_PANEL_W}"/>',
        _text(left + _PANEL_W / 2, bottom + 38, "GPUs", "soft middle"),
    ]
    for what, found in series.items():
        parts += _curve(what, [(across(x), up(y)) for x, y in found])
    if linear:
        parts += _fits(left, top, series, across, up)
    return parts


def _fits(
    left: float, top: float, series: dict[str, Points], across: Scale, up: Scale
) -> list[str]:
    parts = []
    for number, (what, found) in enumerate(series.items()):
        fixed, slope = fit(found)
        last = found[-1][0]
        sign = "−" if slope < 0 else "+"
        start, end = (across(0), up(max(fixed, 0.0))), (across(last), up(fixed + slope * last))
        parts += [
            f'<path class="{_CLASSES[what]} fit" d="{_path([start, end])}"/>',
            _text(left + 12, top + 16 + 18 * number,
                  f"{what} ≈ {fixed:.2g} % {sign} {abs(slope):.2g} % × GPUs", "soft"),
        ]  # fmt: skip
    return parts


def _curve(what: str, places: Points) -> list[str]:
    line = f'<path class="{_CLASSES[what]} line" d="{_path(places)}"/>'
    return [line, *(_mark(what, x, y) for x, y in places)]


def _path(places: Points) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _mark(what: str, x: float, y: float) -> str:
    if what == "agent":
        return f'<circle class="agent" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<rect class="loop mark" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'


def _text(x: float, y: float, said: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'


def _linear_ticks(most: float) -> list[float]:
    step = 10.0 ** floor(log10(most / 2))
    step = next(step * by for by in (1, 2, 2.5, 5, 10) if most / (step * by) <= 5)
    return [step * i for i in range(ceil(most / step) + 1)]


def _log_ticks(least: float, most: float) -> list[float]:
    """Steps of 1, 2, 5 around the values."""
    steps = [10.0**e * by for e in range(-6, 4) for by in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= least)
    last = min(i for i, step in enumerate(steps) if step >= most)
    return steps[first : max(last, first + 1) + 1]
