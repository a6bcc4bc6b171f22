"""An outlook in, one HTML page with a plot out: no script, nothing from elsewhere."""

from typing import Final, NamedTuple

from submeter.footprint.fleet import FORMULA
from submeter.footprint.outlooks import Comparator, Estimate
from submeter.reports.outlook import Outlook, fleet_lines, inference_line, inputs_text, plainly
from submeter.reports.presentations._document import document
from submeter.reports.presentations._plots import safe

_WIDTH: Final = 1_000
_LEFT: Final = 330
_ROW: Final = 26
_RIGHT: Final = 110


class _Bar(NamedTuple):
    name: str
    low: float
    high: float
    colour: str


def as_html(outlook: Outlook) -> bytes:
    """The page of an outlook."""
    said = fleet_lines(outlook)
    loud = "".join(
        f'<p class="notice">{safe(line[2:])}</p>' for line in said if line.startswith("! ")
    )
    fleet = "".join(f"<p>{safe(line)}</p>" for line in said if not line.startswith("! "))
    body = (
        "<header><h1>AI's electricity: a fleet beside the published estimates</h1></header>"
        f"{loud}"
        f"<section><h2>The fleet</h2>{fleet}</section>"
        '<section><h2>TWh a year</h2><p class="quiet">Ranges are drawn from their low to their '
        f'high end; the world is left out.</p><div class="wide">{_plot(outlook)}</div></section>'
        f"{_estimates(outlook)}{_comparators(outlook)}"
        f"<section><h2>Inference</h2><p>{safe(inference_line(outlook))}</p></section>"
    )
    return document("AI's electricity", body)


def _plot(outlook: Outlook) -> str:
    bars = [] if outlook.fleet is None else [_Bar("this fleet", *outlook.fleet.range_twh, "other")]
    bars += [
        _Bar(each.id, each.computed[0], each.computed[-1], "training")
        for each in outlook.published.estimates
        if each.unit == "TWh/yr"
    ]
    bars += [
        _Bar(f"{other.name} ({other.year})", other.twh, other.twh, "inference")
        for other in outlook.published.comparators
        if other.name != "world"
    ]
    bars.sort(key=lambda bar: -bar.high)
    most = max(bar.high for bar in bars)
    shapes = "".join(_shape(bar, at * _ROW, most) for at, bar in enumerate(bars))
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_ROW * len(bars)}" role="img" '
        f'aria-label="Electricity a year">{shapes}</svg>'
    )


def _shape(bar: _Bar, y: int, most: float) -> str:
    per_twh = (_WIDTH - _LEFT - _RIGHT) / most if most else 0.0
    begin = 0.0 if bar.low == bar.high else bar.low
    wide = max((bar.high - begin) * per_twh, 1.0)
    x = _LEFT + begin * per_twh
    ends = dict.fromkeys((f"{bar.low:.3g}", f"{bar.high:.3g}"))
    figure = "–".join(plainly(float(end)) for end in ends)
    return (
        f"<g><title>{safe(bar.name)}: {figure} TWh</title>"
        f'<text x="{_LEFT - 8}" y="{y + 17}" text-anchor="end">{safe(bar.name)}</text>'
        f'<rect class="phase-{bar.colour}" x="{x:.1f}" y="{y + 4}" width="{wide:.1f}" '
        f'height="{_ROW - 8}"/>'
        f'<text x="{x + wide + 6:.1f}" y="{y + 17}">{figure}</text></g>'
    )


def _estimates(outlook: Outlook) -> str:
    lines = "".join(
        f'<tr><td class="wider"><code>{safe(each.id)}</code><br>{safe(each.what)}<br>'
        f'<span class="quiet">{safe(inputs_text(each))}: {safe(each.formula)}</span></td>'
        f'<td class="n">{" to ".join(f"{one:,.{each.digits + 1}f}" for one in each.computed)}'
        f" {safe(each.unit)}</td>"
        f'<td class="n">{" to ".join(f"{one:,.{each.digits}f}" for one in each.published)}'
        f"<br>{'agrees' if each.agrees else 'differs'}</td>"
        f'<td class="wider">{safe(each.source)} ({safe(each.dated)}){_read(each)}'
        f'<br><span class="quiet">articles: {safe(each.articles)}</span>'
        "</td></tr>"
        for each in outlook.published.estimates
    )
    return (
        "<section><h2>Published estimates, computed anew</h2>"
        f"<p>The fleet's formula: {safe(FORMULA)}.</p>"
        '<div class="wide"><table><thead><tr><th>what, from which inputs</th>'
        '<th class="n">computed</th><th class="n">published</th>'
        f"<th>source</th></tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def _comparators(outlook: Outlook) -> str:
    lines = "".join(
        f'<tr><td>{safe(each.name)}</td><td class="n">{each.twh:,.1f}</td>'
        f'<td class="n">{each.year}</td><td class="n">'
        f"{'–' if outlook.fleet is None else plainly(outlook.fleet.twh_per_year / each.twh)}</td>"
        f'<td class="wider">{safe(each.source)}{_read(each)}</td></tr>'
        for each in outlook.published.comparators
    )
    return (
        '<section><h2>To compare with</h2><div class="wide"><table><thead><tr><th>who</th>'
        '<th class="n">TWh a year</th><th class="n">year</th><th class="n">fleet ÷ it</th>'
        f"<th>source</th></tr></thead><tbody>{lines}</tbody></table></div>"
        "</section>"
    )


def _read(each: Estimate | Comparator) -> str:
    """Where a figure was read: quoted ones say so."""
    how = "read there" if each.first_hand else "quoted, not read in the publication itself"
    return f'<br><span class="quiet">{how}: {safe(each.checked)}</span>'
