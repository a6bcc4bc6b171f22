"""Energies in, inline SVG out: no script, no inline style; colours are classes of the page."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from submeter.model import Phase
from submeter.reports.record import Stretch
from submeter.text import printable
from submeter.units import UJ_PER_J, UJ_PER_WH
from submeter.web import figures

_WIDTH: Final = 1_000
_HEIGHT: Final = 260
_LEFT: Final = 64  # room for the figures of the axis
_TOP: Final = 8
_BOTTOM: Final = 24
_LINES: Final = 4
_LABELS: Final = 9
_UNITS: Final = (
    (1_000_000 * UJ_PER_WH, "MWh"),
    (1_000 * UJ_PER_WH, "kWh"),
    (UJ_PER_WH, "Wh"),
    (UJ_PER_J, "J"),
)
_STEPS: Final = (1, 2, 5)
_HALF: Final = 34  # of a label's width
_DATE: Final = 10  # characters of one


def safe(text: str) -> str:
    """Text from outside as HTML, in an element or a quoted attribute."""
    return escape(printable(text))


def stack(parts: Mapping[str, int], kind: str, shape: str = "stack", whole_uj: int = 0) -> str:
    """A bar of parts side by side, which fill it unless the whole is more than they are."""
    present = {name: part for name, part in parts.items() if part > 0}
    sum_uj = sum(present.values())
    width = _WIDTH * sum_uj // whole_uj if whole_uj else _WIDTH
    widths = figures.apportioned(list(present.values()), width)
    at = 0
    bars: list[str] = []
    for name, wide in zip(present, widths, strict=True):
        bars.append(f'<rect class="{kind}-{name}" x="{at}" width="{wide}" height="1"/>')
        at += wide
    return (
        f'<svg class="{shape}" viewBox="0 0 {_WIDTH} 1" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(bars)}</svg>'
    )


def over_time(timeline: Sequence[Stretch], unit: str) -> str:
    """Energy by phase, a bar a stretch of time, with an axis that begins at 0."""
    top_uj = max((_sum(bar) for bar in timeline), default=0)
    step_uj, unit_uj, name = _axis(top_uj)
    most_uj = max(step_uj * -(-top_uj // step_uj), 1)
    plot = _HEIGHT - _TOP - _BOTTOM
    lines = [_line(at_uj, most_uj, unit_uj, name) for at_uj in range(0, most_uj + 1, step_uj)]
    wide = (_WIDTH - _LEFT) / max(len(timeline), 1)
    bars = [
        _bar(stretch, unit, _LEFT + at * wide, wide, plot / most_uj)
        for at, stretch in enumerate(timeline)
    ]
    labels = _labels([_label(stretch, unit) for stretch in timeline], wide)
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Energy by phase, a bar for every {unit}">'
        f"{''.join(lines)}{''.join(bars)}{labels}</svg>"
    )


def _axis(top_uj: int) -> tuple[int, int, str]:
    """Between two lines; what a unit of the axis is, and its name."""
    unit_uj, name = next((each for each in _UNITS if top_uj >= each[0]), _UNITS[-1])
    size = max(unit_uj // 1_000, 1)  # powers of ten of the unit, so that lines are round numbers
    while True:
        for factor in _STEPS:
            step_uj = size * factor
            if step_uj * _LINES >= top_uj:
                return step_uj, unit_uj, name
        size *= 10


def _line(at_uj: int, most_uj: int, unit_uj: int, name: str) -> str:
    y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * at_uj / most_uj
    text = f"{at_uj / unit_uj:g} {name}"
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _bar(stretch: Stretch, unit: str, x: float, wide: float, per_uj: float) -> str:
    gap = min(2.0, wide / 5)
    y = float(_HEIGHT - _BOTTOM)
    parts: list[str] = []
    for phase in Phase:
        part_uj = stretch.energy_uj.get(phase, 0)
        if part_uj > 0:
            high = part_uj * per_uj
            y -= high
            parts.append(
                f'<rect class="phase-{phase}" x="{x + gap / 2:.2f}" y="{y:.2f}" '
                f'width="{wide - gap:.2f}" height="{high:.2f}"/>'
            )
    if not parts:
        return ""
    return f"<g><title>{_title(stretch, unit)}</title>{''.join(parts)}</g>"


def _title(stretch: Stretch, unit: str) -> str:
    present = {phase: part for phase, part in stretch.energy_uj.items() if part}
    texts, total = figures.energies(list(present.values()))
    shown = ", ".join(f"{phase} {text}" for phase, text in zip(present, texts, strict=True))
    return safe(f"{_label(stretch, unit)}: {total} ({shown})")


def _label(stretch: Stretch, unit: str) -> str:
    return str(getattr(stretch.bucket, unit)).replace("T", " ")


def _labels(labels: Sequence[str], wide: float) -> str:
    every = -(-len(labels) // _LABELS) or 1
    places = [(_LEFT + (at + 0.5) * wide, text) for at, text in enumerate(labels)]
    return "".join(
        f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{safe(text[5:16] if len(text) > _DATE else text)}</text>"
        for x, text in places[::every]
        if x <= _WIDTH - _HALF or len(labels) == 1
    )


def _sum(stretch: Stretch) -> int:
    return sum(part for part in stretch.energy_uj.values() if part > 0)
