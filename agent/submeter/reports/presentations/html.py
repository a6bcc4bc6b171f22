"""A report in, one HTML file out: no script, nothing from elsewhere, light and dark, printable.

Every text that comes from outside passes `safe`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from submeter.model import Method, Phase
from submeter.reports.calendar import bucket_unit
from submeter.reports.presentations import _work
from submeter.reports.presentations._amounts import cells, columns_of, factor_lines, text
from submeter.reports.presentations._document import document
from submeter.reports.presentations._plots import over_time, safe, stack
from submeter.reports.presentations._words import (
    LAYERS,
    METHODS,
    NAMELESS,
    PHASES,
    caveats,
    gpu_names,
    period,
    shown_value,
)
from submeter.reports.record import Report, Row, WorkloadUse
from submeter.units import mean_power_mw
from submeter.web import figures

SUFFIX: Final = ".html"

_TOP: Final = 12
_MOST_ROWS: Final = 2_000

_NO_FACTORS: Final = "No carbon, water or cost: no factors were applied, and none are invented."
_FACTORS: Final = (
    "Carbon, water and cost are these joules times the factors named above, with the site's PUE "
    "where there is one; what there was no factor for is not in them."
)


def render(report: Report, *, colour: bool = False, width: int | None = None) -> bytes:  # noqa: ARG001
    """The whole page."""
    sections = (
        _head(report),
        _timeline(report),
        _workloads(report),
        _work.section(report),
        _overhead(report),
        _meaning(report),
        _quality(report),
        _rows(report),
        _gpus(report),
        _about(report),
    )
    body = "\n".join(filter(None, sections))
    return document(f"GPU electricity, {period(report)}", body, report.version)


# ---- sections, as they follow one another ------------------------------------------------------


def _head(report: Report) -> str:
    notices = list(report.origin.notices)
    if report.quality.problems:
        notices.append("Partial: not everything could be asked. What is missing is listed below.")
    loud = "".join(f'<p class="notice">{safe(each)}</p>' for each in notices)
    tiles = [("metered in this period", figures.energy(report.total_uj))]
    if report.quality.metered_ns:
        power_mw = mean_power_mw(report.total_uj, report.quality.metered_ns)
        tiles.append(("mean draw of a GPU", figures.watts(power_mw)))
    tiles.append(("GPUs", str(len(report.gpus))))
    for column in columns_of(report):
        amount = text(column, report.priced.total, report.priced.currency)
        tiles.append((column.name, amount))
    for phase in (Phase.TRAINING, Phase.INFERENCE) if report.phase_uj else ():
        share = report.share(report.phase_uj.get(phase, 0))
        tiles.append((str(phase), figures.percent(share)))
    if report.layers_uj:
        share = report.share(report.layers_uj["work"])
        tiles.append(("of it did work", figures.percent(share)))
    figure = "".join(f"<div><dt>{safe(what)}</dt><dd>{safe(v)}</dd></div>" for what, v in tiles)
    return (
        f'<header><h1>GPU electricity</h1><p class="quiet">{safe(period(report))}</p></header>'
        f'{loud}<section><h2>At a glance</h2><dl class="tiles">{figure}</dl></section>'
    )


def _timeline(report: Report) -> str:
    if not report.timeline:
        return ""
    first, last = report.timeline[0].bucket, report.timeline[-1].bucket
    unit = bucket_unit(report.question.unit, first.start_s, last.end_s, timeline=True)
    assert unit is not None
    legend = _legend(report.phase_uj, "phase", {phase: PHASES[phase].name for phase in Phase})
    return (
        "<section><h2>Energy by phase over time</h2>"
        f'<p class="quiet">One bar for every {unit} in {safe(report.question.zone.name)}.</p>'
        f'<div class="wide">{over_time(report.timeline, unit)}</div>{legend}</section>'
    )


def _workloads(report: Report) -> str:
    if not report.workloads:
        return ""
    top, others = report.workloads[:_TOP], report.workloads[_TOP:]
    if others:
        top = (*top, _together(others))
    most_uj = max(use.sum_uj for use in top)
    energies, total = figures.energies([use.sum_uj for use in top])
    lines = [
        f"<tr><td>{safe(use.workload or NAMELESS)}</td>"
        f'<td class="b">{stack(_named(use.energy_uj), "phase", "bar", max(most_uj, 1))}</td>'
        f'<td class="n">{energy}</td><td class="n">{_percent(report, use.sum_uj)}</td></tr>'
        for use, energy in zip(top, energies, strict=True)
    ]
    sum_uj = sum(use.sum_uj for use in top)
    return (
        '<section><h2>Who used most</h2><p class="quiet">Each bar is split by phase; the rest of '
        "the total is what GPUs drew while nobody held them.</p><table><thead><tr><th>workload</th>"
        '<th></th><th class="n">energy</th><th class="n">of the total</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody><tfoot><tr><td>together</td><td></td>"
        f'<td class="n">{total}</td><td class="n">{_percent(report, sum_uj)}</td></tr></tfoot>'
        "</table></section>"
    )


def _overhead(report: Report) -> str:
    if not report.layers_uj:
        return ""
    names = {layer: word.name for layer, word in LAYERS.items()}
    held_uj = report.layers_uj["context"] + report.layers_uj["idle_held"]
    text = (
        f"{_percent(report, held_uj)} was drawn because somebody held a GPU, whether it worked or "
        f"not; {_percent(report, report.layers_uj['idle'])} while nobody did."
    )
    meanings = "".join(
        f'<tr><td><i class="layer-{layer}"></i>{word.name}</td><td>{word.meaning}</td>'
        f'<td class="n">{_percent(report, report.layers_uj[layer])}</td></tr>'
        for layer, word in LAYERS.items()
        if report.layers_uj[layer]
    )
    return (
        f"<section><h2>Work and overhead</h2><p>{text}</p>"
        f"{stack(report.layers_uj, 'layer')}{_legend(report.layers_uj, 'layer', names)}"
        f"<table><tbody>{meanings}</tbody></table></section>"
    )


def _meaning(report: Report) -> str:
    shown = columns_of(report)
    if not shown:
        return ""
    priced = report.priced
    heads = "".join(f'<th class="n">{column.name}</th>' for column in shown)
    columns = [
        cells(column, list(priced.phases.values()), priced.total, priced.currency)
        for column in shown
    ]
    lines = "".join(
        f"<tr><td>{PHASES[phase].name}</td>"
        + "".join(f'<td class="n">{safe(texts[at])}</td>' for texts, _ in columns)
        + "</tr>"
        for at, phase in enumerate(priced.phases)
    )
    totals = "".join(f'<td class="n">{safe(total)}</td>' for _, total in columns)
    facts = "".join(f"<li>{safe(each)}</li>" for each in factor_lines(report))
    return (
        "<section><h2>What it means</h2><p>Each joule at the factor valid at its moment. Factors "
        'are statements of others; the joules are measured.</p><div class="wide"><table><thead>'
        f"<tr><th>phase</th>{heads}</tr></thead><tbody>{lines}</tbody><tfoot><tr><td>together</td>"
        f'{totals}</tr></tfoot></table></div><ul class="facts">{facts}</ul></section>'
    )


def _quality(report: Report) -> str:
    quality = report.quality
    methods = ""
    if quality.method_uj:
        parts = {method: quality.method_uj.get(method, 0) for method in METHODS}
        lines = "".join(
            f'<tr><td><i class="method-{method}"></i>{METHODS[method].name}</td>'
            f'<td>{METHODS[method].meaning}</td><td class="n">{_percent(report, part)}</td></tr>'
            for method, part in parts.items()
            if part
        )
        methods = (
            f"{stack(_named(parts), 'method')}<table><thead><tr><th>method</th><th></th>"
            f'<th class="n">of the total</th></tr></thead><tbody>{lines}</tbody></table>'
        )
    facts = "".join(f"<li>{safe(each)}</li>" for each in caveats(report))
    return (
        "<section><h2>How good these figures are</h2><p>Every joule says how it was found. "
        f'The parts always sum to what was metered.</p>{methods}<ul class="facts">{facts}</ul>'
        "</section>"
    )


def _rows(report: Report) -> str:
    by = report.question.by
    if not by:
        return ""
    shown, others = report.rows[:_MOST_ROWS], report.rows[_MOST_ROWS:]
    rest_uj = sum(row.energy_uj for row in others)
    energies, total = figures.energies([*(row.energy_uj for row in shown), rest_uj])
    names = gpu_names(report)
    more = [
        (column, *cells(column, report.amounts(), report.priced.total, report.priced.currency))
        for column in columns_of(report)
    ]
    lines = [
        _row(report, row, [energy, *(texts[at] for _, texts, _ in more)], names)
        for at, (row, energy) in enumerate(zip(shown, energies, strict=False))
    ]
    blanks = "<td></td>" * (len(by) - 1)
    if others:
        lines.append(
            f'<tr><td>{len(others):,} more rows</td>{blanks}<td class="n">{energies[-1]}</td>'
            f'{"<td></td>" * len(more)}<td class="n">{_percent(report, rest_uj)}</td></tr>'
        )
    heads = "".join(f"<th>{key}</th>" for key in by)
    amount_heads = "".join(f'<th class="n">{column.name}</th>' for column, _, _ in more)
    sums = "".join(f'<td class="n">{safe(each)}</td>' for _, _, each in more)
    return (
        f'<section><h2>By {", ".join(by)}</h2><div class="wide"><table><thead><tr>{heads}'
        f'<th class="n">energy</th>{amount_heads}<th class="n">share</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody><tfoot><tr><td>total</td>{blanks}"
        f'<td class="n">{total}</td>{sums}<td class="n"></td></tr></tfoot></table></div></section>'
    )


def _gpus(report: Report) -> str:
    energies, total = figures.energies([gpu.energy_uj for gpu in report.gpus])
    lines = "".join(
        f'<tr><td class="n">{NAMELESS if gpu.number < 0 else gpu.number}</td>'
        f"<td>{safe(gpu.name or NAMELESS)}</td><td><code>{safe(gpu.uuid)}</code></td>"
        f'<td class="n">{energy}</td></tr>'
        for gpu, energy in zip(report.gpus, energies, strict=True)
    )
    return (
        '<section><h2>GPUs</h2><div class="wide"><table><thead><tr><th class="n">index</th>'
        '<th>name</th><th>UUID</th><th class="n">energy</th></tr></thead>'
        f"<tbody>{lines}</tbody><tfoot><tr><td></td><td>together</td><td></td>"
        f'<td class="n">{total}</td></tr></tfoot></table></div></section>'
    )


def _about(report: Report) -> str:
    zone = report.question.zone
    made = zone.local(report.made_s).isoformat(sep=" ", timespec="seconds")
    source = {
        "ledger": "the agent's ledger, in which energies are integers of microjoules",
        "prometheus": "a server with Prometheus's API, as increase() of the agent's counters",
    }[report.origin.kind]
    cite = (
        f"Electricity of {len(report.gpus)} GPUs, {period(report)}: "
        f"{figures.energy(report.total_uj)} at the GPU boards, split per process; "
        f"measured with submeter {report.version}"
        f" (backend {report.origin.backend or 'not known'}), report made {made}."
    )
    return (
        "<section><h2>What this is</h2>"
        "<p>Electricity that the GPU boards used, as their own energy counters or power sensors "
        "say: without host, network, cooling and losses of power supplies. Work is split between "
        "processes; phases are declared by jobs or recognised from how they run.</p>"
        f"<p>{_FACTORS if columns_of(report) else _NO_FACTORS}</p>"
        f"<p>Read from {source}. Times are of {safe(zone.name)}; the end is not included.</p>"
        f'<p class="quiet">To cite:<br><code>{safe(cite)}</code></p></section>'
    )


# ---- helpers -----------------------------------------------------------------------------------


def _legend(
    parts: Mapping[Phase, int] | Mapping[str, int], kind: str, names: Mapping[str, str]
) -> str:
    present = {str(key): part for key, part in parts.items() if part}
    texts, total = figures.energies(list(present.values()))
    items = "".join(
        f'<li><i class="{kind}-{key}"></i>{names[key]} <b>{text}</b></li>'
        for key, text in zip(present, texts, strict=True)
    )
    return f'<ul class="legend">{items}<li class="sum">together <b>{total}</b></li></ul>'


def _together(uses: Sequence[WorkloadUse]) -> WorkloadUse:
    sums = {phase: sum(use.energy_uj.get(phase, 0) for use in uses) for phase in Phase}
    return WorkloadUse(f"({len(uses):,} others)", sums)


def _row(report: Report, row: Row, texts: Sequence[str], names: Mapping[str, str]) -> str:
    pairs: Iterable[tuple[str, str]] = zip(report.question.by, row.values, strict=True)
    names_ = "".join(f"<td>{safe(shown_value(key, value, names))}</td>" for key, value in pairs)
    numbers = "".join(
        f'<td class="n">{safe(each)}</td>' for each in (*texts, _percent(report, row.energy_uj))
    )
    return f"<tr>{names_}{numbers}</tr>"


def _percent(report: Report, energy_uj: int) -> str:
    share = report.share(energy_uj)
    return figures.UNKNOWN if share is None else f"{100 * share:.1f} %"


def _named(parts: Mapping[Phase, int] | Mapping[Method, int]) -> Mapping[str, int]:
    """By name, in the phases' own order."""
    return {str(key): part for key, part in parts.items()}
