"""Misattributed shares in, a picture of them out (SVG, written by hand: no library needed)."""

import math
from collections.abc import Sequence

Point = tuple[int, int, float, float, float]
"""Processes, seconds, and what was misattributed: proportional, learnt, oracle."""

_SIZE, _GAP, _LEFT, _TOP = 330, 60, 60, 50
_LOWEST, _HIGHEST = 1e-3, 1.0
_COLOURS = {2: "#0072b2", 3: "#009e73", 5: "#d55e00"}  # Okabe and Ito: for all kinds of eyes
_NAMES = {2: "2 processes", 3: "3–4", 5: "5–8"}


def plot(points: Sequence[Point]) -> str:
    """One panel a moment; a dot a scenario, proportional to the right, learnt upwards."""
    moments = sorted({point[1] for point in points})
    width = _LEFT + len(moments) * (_SIZE + _GAP)
    height = _TOP + _SIZE + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">Share of the dynamic energy booked to the wrong'
        " process: learnt weights against SM time alone</text>",
    ]
    for number, at_s in enumerate(moments):
        left = _LEFT + number * (_SIZE + _GAP)
        parts += _panel(left, at_s, [point for point in points if point[1] == at_s])
    for number, (group, colour) in enumerate(_COLOURS.items()):
        x, y = _LEFT + number * 110, height - 14
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 8}" y="{y}">{_NAMES[group]}</text>')
    x, y = _LEFT + len(_COLOURS) * 110, height - 14
    parts.append(f'<circle cx="{x}" cy="{y - 4}" r="2" fill="#999"/>')
    parts.append(f'<text x="{x + 8}" y="{y}">oracle (true weights, same samples)</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: int, at_s: int, points: Sequence[Point]) -> list[str]:
    bottom = _TOP + _SIZE
    parts = [
        f'<rect x="{left}" y="{_TOP}" width="{_SIZE}" height="{_SIZE}" fill="none" stroke="#888"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{left + _SIZE}" y2="{_TOP}" stroke="#888"/>',
        f'<text x="{left + 8}" y="{_TOP + 16}">after {at_s // 60} min</text>',
        f'<text x="{left + _SIZE / 2}" y="{bottom + 34}" text-anchor="middle">proportional</text>',
        f'<text x="{left + _SIZE - 6}" y="{_TOP + 30}" text-anchor="end" fill="#666">equal</text>',
    ]
    for value in (0.001, 0.01, 0.1, 1.0):
        at = _place(value)
        label = f"{value:.1%}" if value < 0.01 else f"{value:.0%}"
        parts.append(
            f'<text x="{left + at:.0f}" y="{bottom + 16}" text-anchor="middle">{label}</text>'
        )
        parts.append(
            f'<text x="{left - 4}" y="{bottom - at + 4:.0f}" text-anchor="end">{label}</text>'
        )
        parts.append(f'<path d="M{left + at:.0f} {bottom}V{_TOP}M{left} {bottom - at:.0f}h{_SIZE}"'
                     ' stroke="#eee"/>')  # fmt: skip
    for _, _, proportional, _, oracle in points:
        x, y = left + _place(proportional), bottom - _place(oracle)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5" fill="#999"/>')
    for processes, _, proportional, learnt, _ in points:
        colour = _COLOURS[max(group for group in _COLOURS if group <= processes)]
        x, y = left + _place(proportional), bottom - _place(learnt)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity="0.7"/>'
        )
    return parts


def _place(value: float) -> float:
    within = min(max(value, _LOWEST), _HIGHEST)
    return _SIZE * math.log(within / _LOWEST) / math.log(_HIGHEST / _LOWEST)
