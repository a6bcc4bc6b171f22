"""What workloads did in, cells for people out: so many, at so much each."""

from collections.abc import Iterator
from typing import Final

from submeter.reports.presentations._plots import safe
from submeter.reports.presentations._words import NAMELESS
from submeter.reports.record import Report
from submeter.web import figures

HEADINGS: Final = ("workload", "phase", "done", "of", "energy", "each")
NUMBERS: Final = (2, 4, 5)
"""Columns that are numbers."""


def rows(report: Report) -> list[list[str]]:
    """A line for every workload and unit, in the order of `HEADINGS`."""
    return [
        [
            each.workload or NAMELESS,
            str(each.phase),
            f"{each.done.amount:,}",
            figures.unit(each.done.unit),
            figures.UNKNOWN if each.done.energy_uj is None else figures.energy(each.done.energy_uj),
            figures.per_unit(each.done.joules_per_unit),
        ]
        for each in report.work
    ]


def limits(report: Report) -> Iterator[str]:
    """What limits these figures."""
    uncounted = {(each.phase, each.workload): each.uncounted_ns for each in report.work}
    for (_, workload), time_ns in uncounted.items():
        if time_ns:
            yield (
                f"{workload or NAMELESS}: what it did in {figures.duration(time_ns)} of this time "
                "nobody counted, so each took less than is shown"
            )


def section(report: Report) -> str:
    """The same for a page; nothing where no workload told anything."""
    if not report.work:
        return ""
    heads = "".join(
        f'<th class="n">{name}</th>' if at in NUMBERS else f"<th>{name}</th>"
        for at, name in enumerate(HEADINGS)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td class="n">{safe(cell)}</td>' if at in NUMBERS else f"<td>{safe(cell)}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows(report)
    )
    facts = "".join(f"<li>{safe(each)}</li>" for each in limits(report))
    return (
        "<section><h2>What it did</h2><p>As servers and jobs count it themselves. The energy is "
        "all that the workload used meanwhile, at the boards: a prompt and the answer to it share "
        "it, so each figure is for the whole of the service, not for its part of it.</p>"
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'
        f'</div><ul class="facts">{facts}</ul></section>'
    )
