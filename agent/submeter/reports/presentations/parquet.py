"""A report's rows in, a Parquet file out: exact integers, with the report's other figures inside.

``energy_uj`` is in whole microjoules and sums to the total; ``joules`` and the rest are for people.
Names are as they are: nothing calculates what is in a Parquet file. The schema's metadata has,
under ``submeter``, the JSON format without its rows.
"""

import io
import json
from typing import TYPE_CHECKING, Final

from submeter.errors import InputError
from submeter.footprint.factors import MILLION
from submeter.reports.presentations.json import fields
from submeter.reports.record import Report
from submeter.units import UJ_PER_J, UJ_PER_WH

if TYPE_CHECKING:
    import pyarrow

SUFFIX: Final = ".parquet"
BINARY: Final = True

_AMOUNTS: Final = {
    "carbon_g": "carbon_ug",
    "water_l": "water_ul",
    "cost": "cost_micro",
    "facility_joules": "facility_uj",
}


def render(report: Report, *, colour: bool = False, width: int | None = None) -> bytes:  # noqa: ARG001
    """A whole file. Raises InputError where pyarrow isn't installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "--format parquet needs pyarrow: pip install 'submeter[parquet]'"
        ) from error
    file = io.BytesIO()
    pyarrow.parquet.write_table(_table(report), file)
    return file.getvalue()


def _table(report: Report) -> "pyarrow.Table":
    import pyarrow

    energies = [row.energy_uj for row in report.rows]
    rows = [[_text(value) for value in row.values] for row in report.rows]
    columns = {
        key: pyarrow.array([row[at] for row in rows], pyarrow.string())
        for at, key in enumerate(report.question.by)
    }
    columns["energy_uj"] = pyarrow.array(energies, pyarrow.int64())
    figures: dict[str, list[float | None]] = {
        "joules": [uj / UJ_PER_J for uj in energies],
        "wh": [uj / UJ_PER_WH for uj in energies],
        "share": [report.share(uj) for uj in energies],
        **{name: _millionths(report, kind) for name, kind in _AMOUNTS.items()},
    }
    for name, values in figures.items():
        columns[name] = pyarrow.array(values, pyarrow.float64())
    rest = {name: value for name, value in fields(report).items() if name != "rows"}
    return pyarrow.table(columns, metadata={"submeter": json.dumps(rest)})


def _millionths(report: Report, kind: str) -> list[float | None]:
    found = [getattr(amounts, kind) for amounts in report.amounts()]
    return [None if amount is None else amount / MILLION for amount in found]


def _text(name: str) -> str:
    """The name as UTF-8 can have it."""
    return name.encode("utf-8", "replace").decode()
