"""A report's rows in, CSV (RFC 4180, UTF-8) out, with names that no spreadsheet takes for formulas.

Numbers are bare; a text that a spreadsheet would calculate gets an apostrophe in front
(https://owasp.org/www-community/attacks/CSV_Injection). What isn't known is an empty cell.
"""

import csv
import io
from typing import Final

from submeter.reports.presentations.json import amounts, joules
from submeter.reports.record import Report
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
    lines.writerow([*report.question.by, *FIGURES])
    for row, priced in zip(report.rows, report.amounts(), strict=True):
        share = report.share(row.energy_uj)
        figures = (joules(row.energy_uj), row.energy_uj / UJ_PER_WH, share)
        rest = amounts(priced)
        lines.writerow([*map(guarded, row.values), *figures, *(rest[name] for name in FIGURES[3:])])
    return text.getvalue().encode()


def guarded(name: str) -> str:
    """The name as a cell that is text to every spreadsheet."""
    name = name.translate(_UNSAFE)
    risky = name.startswith(_LEADING) or name.lstrip().startswith(_FORMULA)
    return f"'{name}" if risky else name
