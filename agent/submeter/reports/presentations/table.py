"""A report in, a table for a terminal or a pipe out: bars, totals, and how good the figures are."""

from collections.abc import Iterator
from typing import Final

from submeter.columns import columns, folded
from submeter.reports.presentations import _work
from submeter.reports.presentations._amounts import cells, columns_of, factor_lines
from submeter.reports.presentations._words import (
    METHODS,
    caveats,
    gpu_names,
    period,
    shown_value,
)
from submeter.reports.record import Report
from submeter.text import printable
from submeter.web import figures

SUFFIX: Final = ".txt"

_STYLES: Final = {"bold": 1, "yellow": 33}
_CELLS: Final = 20
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def render(report: Report, *, colour: bool = False, width: int | None = None) -> bytes:
    """The table, with everything that must be known about it below."""
    lines = [_painted(period(report), "bold", colour=colour)]
    lines += [_painted(f"! {printable(each)}", "yellow", colour=colour) for each in _loud(report)]
    lines += ["", *_table(report, width, colour=colour), ""]
    if report.work:
        first, *rest = columns([list(_work.HEADINGS), *_work.rows(report)], _work.NUMBERS, width)
        lines += [_painted(first, "bold", colour=colour), *rest, ""]
    for line in _quality(report):
        lines += [line] if width is None else folded(line, width)
    return ("\n".join(lines) + "\n").encode()


def _loud(report: Report) -> Iterator[str]:
    yield from report.origin.notices
    if report.quality.problems:
        yield "PARTIAL: not everything could be asked; what is missing is listed below."


def _table(report: Report, width: int | None, *, colour: bool) -> list[str]:
    by = report.question.by
    names = gpu_names(report, models=len({gpu.name for gpu in report.gpus}) > 1)
    energies, total = figures.energies([row.energy_uj for row in report.rows])
    shown = columns_of(report)
    found = [
        cells(column, report.amounts(), report.priced.total, report.priced.currency)
        for column in shown
    ]
    rows: list[list[str]] = []
    for at, (row, energy) in enumerate(zip(report.rows, energies, strict=True)):
        values = [shown_value(key, value, names) for key, value in zip(by, row.values, strict=True)]
        share = report.share(row.energy_uj)
        rows.append(
            [*values, energy, *(texts[at] for texts, _ in found), _percent(share), _bar(share)]
        )
    blanks = [""] * (len(by) - 1)
    if by:
        percent = _percent(1.0 if report.total_uj else None)
        rows.append(["total", *blanks, total, *(text for _, text in found), percent, ""])
    right = range(len(by), len(by) + 2 + len(found))
    headings = [*by, "energy", *(column.name for column in shown), "share", ""]
    first, *rest = _fitting([headings, *rows], right, width)
    if by and rest:
        rest[-1] = _painted(rest[-1], "bold", colour=colour)
    return [_painted(first, "bold", colour=colour), *rest]


def _fitting(rows: list[list[str]], right: range, width: int | None) -> list[str]:
    """The lines; where they don't fit, the bars go before anything is folded."""
    lines = columns(rows, right)
    if width is None or max(map(len, lines)) <= width:
        return lines
    return columns([row[:-1] for row in rows], right, width)


def _bar(share: float | None) -> str:
    eighths = round(max(0.0, share or 0.0) * _CELLS * 8)
    whole, part = divmod(eighths, 8)
    return "█" * whole + _EIGHTHS[part].strip()


def _painted(text: str, style: str, *, colour: bool) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour else text


def _percent(share: float | None) -> str:
    return figures.UNKNOWN if share is None else f"{100 * share:.1f} %"


def _quality(report: Report) -> Iterator[str]:
    methods = report.quality.method_uj
    if methods and report.total_uj:
        parts = ", ".join(
            f"{METHODS[method].name} {100 * part / report.total_uj:.1f} %"
            for method, part in sorted(methods.items(), key=lambda item: -item[1])
        )
        yield f"how it was split: {parts}"
    yield from (printable(each) for each in factor_lines(report))
    yield from (printable(each) for each in _work.limits(report))
    yield from (printable(each) for each in caveats(report))
