"""A report's rows in, CSV (RFC 4180, UTF-8) out, with names that no spreadsheet takes for formulas.

Numbers are bare; a text that a spreadsheet would calculate gets an apostrophe in front
(https://owasp.org/www-community/attacks/CSV_Injection). What isn't known is an empty cell.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from submeter.reports.presentations.json import amounts, joules
from submeter.reports.record import Report, Row
from submeter.reports.work import unit_order
from submeter.text import UNSAFE
from submeter.units import UJ_PER_WH

SUFFIX: Final = ".csv"
FIGURES: Final = ("joules", "wh", "share", "carbon_g", "water_l", "cost", "facility_joules")

_FORMULA: Final = ("=", "+", "-", "@")
_LEADING: Final = ("\t", "\r", "\n")
_UNSAFE: Final = {code: new for code, new in UNSAFE.items() if chr(code) not in _LEADING}


def render(report: Report, *, colour: bool = False, width: int | None = None) -> bytes:  # noqa: ARG001
    """A line of headings, then a line a row; no line of totals, so that a column can be summed."""
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    told = sorted({done.unit for row in report.rows for done in row.work}, key=unit_order)
    headings = [heading for unit in told for heading in (unit, f"joules_for_{unit}")]
    lines.writerow([*report.question.by, *FIGURES, *headings])
    for row, priced in zip(report.rows, report.amounts(), strict=True):
        share = report.share(row.energy_uj)
        figures = (joules(row.energy_uj), row.energy_uj / UJ_PER_WH, share)
        rest = amounts(priced)
        meant = (rest[name] for name in FIGURES[3:])
        lines.writerow([*map(guarded, row.values), *figures, *meant, *_work(row, told)])
    return text.getvalue().encode()


def _work(row: Row, told: Sequence[str]) -> Iterator[object]:
    """How much was done of each unit, and what those who told of it used in all."""
    by_unit = {done.unit: done for done in row.work}
    for unit in told:
        done = by_unit.get(unit)
        yield None if done is None else done.amount
        yield None if done is None or done.energy_uj is None else joules(done.energy_uj)


def guarded(name: str) -> str:
    """The name as a cell that is text to every spreadsheet."""
    name = name.translate(_UNSAFE)
    risky = name.startswith(_LEADING) or name.lstrip().startswith(_FORMULA)
    return f"'{name}" if risky else name
