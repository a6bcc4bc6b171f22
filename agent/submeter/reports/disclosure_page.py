"""A report in, its disclosure as one HTML page out."""

from decimal import Decimal
from typing import Any, Final

from submeter.reports.disclosure import fields, phases
from submeter.reports.presentations import _work
from submeter.reports.presentations._amounts import cells, columns_of, factor_lines
from submeter.reports.presentations._document import document
from submeter.reports.presentations._plots import safe
from submeter.reports.presentations._words import NAMELESS, PHASES, caveats, period
from submeter.reports.record import Report
from submeter.units import UJ_PER_J
from submeter.web import figures

_MOST: Final = 2_000


def as_html(report: Report) -> bytes:
    """The whole page."""
    said = fields(report)
    notices = "".join(f'<p class="notice">{safe(each)}</p>' for each in said["notices"])
    body = (
        "<header><h1>Electricity of AI: disclosure</h1>"
        f'<p class="quiet">{safe(period(report))}</p></header>{notices}'
        f"{_phases(report)}{_scope(said)}{_quality(report, said)}{_workloads(report)}"
        f"{_work.section(report)}"
        f"<section><h2>Made by</h2><p>submeter {safe(report.version)}, {safe(said['made'])}. The "
        "same figures for machines: <code>submeter report --disclosure --json</code>.</p></section>"
    )
    return document("Electricity of AI: disclosure", body)


def _phases(report: Report) -> str:
    found = list(phases(report))
    names = [PHASES[phase].name for phase, _, _ in found]
    return (
        "<section><h2>Training and inference</h2>"
        + _table(report, ["phase"], [[name] for name in names],
                 [energy for _, energy, _ in found], [priced for _, _, priced in found])
        + "</section>"
    )  # fmt: skip


def _workloads(report: Report) -> str:
    rows = list(zip(report.rows, report.amounts(), strict=True))
    shown = rows[:_MOST]
    more = f"<p>{len(rows) - _MOST:,} more in the JSON.</p>" if len(rows) > _MOST else ""
    return (
        "<section><h2>By workload</h2>"
        + _table(
            report,
            list(report.question.by),
            [[value or NAMELESS for value in row.values] for row, _ in shown],
            [row.energy_uj for row, _ in shown],
            [priced for _, priced in shown],
            is_whole=not more,
        )
        + f"{more}</section>"
    )


def _table(
    report: Report,
    keys: list[str],
    names: list[list[str]],
    energies_uj: list[int],
    priced: list[Any],
    *,
    is_whole: bool = True,
) -> str:
    energies, total = figures.energies(energies_uj)
    columns = [("energy of the boards", energies, total)]
    for column in columns_of(report):
        texts, sum_ = cells(column, priced, report.priced.total, report.priced.currency)
        columns.append((column.name, texts, sum_))
    heads = "".join(f"<th>{key}</th>" for key in keys)
    heads += "".join(f'<th class="n">{name}</th>' for name, _, _ in columns)
    lines = "".join(
        "<tr>"
        + "".join(f"<td>{safe(value)}</td>" for value in values)
        + "".join(f'<td class="n">{safe(texts[at])}</td>' for _, texts, _ in columns)
        + "</tr>"
        for at, values in enumerate(names)
    )
    sums = "".join(f'<td class="n">{safe(sum_)}</td>' for _, _, sum_ in columns)
    foot = f"<tfoot><tr><td>total</td>{'<td></td>' * (len(keys) - 1)}{sums}</tr></tfoot>"
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>'
        f"{foot if is_whole else ''}</table></div>"
    )


def _scope(said: dict[str, Any]) -> str:
    scope, method = said["scope"], said["method"]
    gpus = ", ".join(f"{each['count']} × {each['name'] or NAMELESS}" for each in scope["gpus"])
    facts = (
        f"Boundary: {scope['boundary']} ({gpus}).",
        f"Not in it: {'; '.join(scope['excluded'])}.",
        f"Facility: {scope['facility']}.",
        f"Energy: {method['energy']}.",
        f"Attribution: {method['attribution']}.",
    )
    items = "".join(f"<li>{safe(each)}</li>" for each in facts)
    return f'<section><h2>Scope and method</h2><ul class="facts">{items}</ul></section>'


def _quality(report: Report, said: dict[str, Any]) -> str:
    sensor = said["uncertainty"]["sensor"]
    split = said["uncertainty"]["split"]
    facts = [
        *caveats(report),
        f"sensors: about ±{100 * sensor['relative']:g} %, between "
        f"{100 * sensor['observed_low']:+g} % and {100 * sensor['observed_high']:+g} % seen "
        f"({sensor['source']})",
        f"split between holders: {_energy(split['shared_joules'])}; nothing to split: "
        f"{_energy(split['not_split_joules'])}; without an honest split: "
        f"{_energy(split['unattributed_joules'])}",
        *factor_lines(report),
        *said["lacking"],
    ]
    items = "".join(f"<li>{safe(each)}</li>" for each in facts)
    return (
        "<section><h2>Coverage, uncertainty and factors</h2>"
        f'<ul class="facts">{items}</ul></section>'
    )


def _energy(joules: str | None) -> str:
    """Exact joules, for people."""
    return figures.UNKNOWN if joules is None else figures.energy(int(Decimal(joules) * UJ_PER_J))
