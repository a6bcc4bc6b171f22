"""A report in, JSON out: joules are exact decimal strings, and the rows sum to the total.

What isn't known is null, never 0: carbon, water and cost have no figures without factors.
"""

import json
from collections.abc import Mapping
from typing import Final, TypeVar

from submeter.footprint.factors import LIMITS, MILLION
from submeter.reports.priced import Amounts
from submeter.reports.record import Quality, Report, Row
from submeter.reports.work import Done, WorkDone
from submeter.units import NS_PER_S, UJ_PER_WH, decimal

SUFFIX: Final = ".json"
SCHEMA: Final = 1

K = TypeVar("K", bound=str)

_AMOUNTS: Final = {
    "facility_uj": "facility_joules",
    "carbon_ug": "carbon_g",
    "water_ul": "water_l",
    "cost_micro": "cost",
}
_UJ: Final = 6  # digits of a microjoule


def render(report: Report, *, colour: bool = False, width: int | None = None) -> bytes:  # noqa: ARG001
    """The report as one object."""
    return json.dumps(fields(report), indent=2).encode() + b"\n"


def fields(report: Report) -> dict[str, object]:
    """The report as what JSON has."""
    question = report.question
    return {
        "schema": SCHEMA,
        "since": _time(report, report.since_s),
        "until": _time(report, report.until_s),
        "time_zone": question.zone.name,
        "by": list(question.by),
        "source": report.origin.kind,
        "backend": report.origin.backend or None,
        "version": report.version,
        "made": _time(report, report.made_s),
        "notices": list(report.origin.notices),
        "gpus": [
            {
                "gpu": None if gpu.number < 0 else str(gpu.number),
                "uuid": gpu.uuid,
                "name": gpu.name,
                "joules": joules(gpu.energy_uj),
            }
            for gpu in report.gpus
        ],
        "total_joules": joules(report.total_uj),
        "total_wh": report.total_uj / UJ_PER_WH,
        **{f"total_{name}": value for name, value in amounts(report.priced.total).items()},
        "rows": [
            _row(report, row, each) for row, each in zip(report.rows, report.amounts(), strict=True)
        ],
        "work": [work_done(each) for each in report.work],
        "factors": factors(report),
        "quality": _quality(report.quality),
    }


def joules(energy_uj: int) -> str:
    """Joules, exact to the microjoule."""
    return decimal(energy_uj, _UJ)


def amounts(found: Amounts) -> dict[str, object]:
    """What an energy comes to; null where there was no factor."""
    return {
        "facility_joules": None if found.facility_uj is None else joules(found.facility_uj),
        "carbon_g": _millionths(found.carbon_ug),
        "water_l": _millionths(found.water_ul),
        "cost": _millionths(found.cost_micro),
    }


def factors(report: Report) -> dict[str, object]:
    """The factors behind the amounts, with source and validity; empty where none was given."""
    if not report.question.factors.layers:
        return {}
    priced = report.priced
    return {
        "currency": priced.currency or None,
        "applied": [
            {
                "quantity": each.factor.quantity,
                "value": each.low / MILLION if each.low == each.high else None,
                "low": each.low / MILLION,
                "high": each.high / MILLION,
                "unit": LIMITS[each.factor.quantity].unit,
                "source": each.factor.source,
                "dated": each.factor.dated or None,
                "from": _time(report, each.factor.from_s),
                "until": _time(report, each.factor.until_s),
                "joules": joules(each.energy_uj),
            }
            for each in priced.applied
        ],
        "missing_joules": {
            _AMOUNTS[kind]: joules(missing) for kind, missing in priced.missing_uj.items()
        },
        "notes": list(priced.notes),
    }


def work_done(work: WorkDone) -> dict[str, object]:
    """What a workload did of a unit, and what one took."""
    return {
        "phase": work.phase,
        "workload": work.workload,
        "unit": work.done.unit,
        **_done(work.done),
        "uncounted_seconds": work.uncounted_ns / NS_PER_S,
    }


def _millionths(amount: int | None) -> float | None:
    return None if amount is None else amount / MILLION


def _row(report: Report, row: Row, priced: Amounts) -> dict[str, object]:
    return {
        **dict(zip(report.question.by, row.values, strict=True)),
        "joules": joules(row.energy_uj),
        "wh": row.energy_uj / UJ_PER_WH,
        "share": report.share(row.energy_uj),
        **amounts(priced),
        **({"work": {each.unit: _done(each) for each in row.work}} if report.work else {}),
    }


def _done(done: Done) -> dict[str, object]:
    return {
        "amount": done.amount,
        "joules": None if done.energy_uj is None else joules(done.energy_uj),
        "joules_per_unit": done.joules_per_unit,
    }


def _quality(quality: Quality) -> dict[str, object]:
    return {
        "exact": quality.exact,
        "partial": bool(quality.problems),
        "problems": list(quality.problems),
        "coverage": quality.coverage,
        "metered_seconds": _seconds(quality.metered_ns),
        "unobserved_seconds": _seconds(quality.unobserved_ns),
        "unmetered_seconds": {
            reason: _seconds(time_ns) for reason, time_ns in quality.unmetered_ns.items()
        },
        "method_joules": _joules_by(quality.method_uj),
        "not_from_counter_joules": _joules_by(quality.source_uj),
        "suspect_joules": _joules_by(quality.suspect_uj),
        "rows_without_time": quality.clock_unsynced,
        "blurred_joules": joules(quality.blurred_uj),
        "counter_events": dict(quality.events),
    }


def _joules_by(parts: Mapping[K, int] | None) -> dict[str, str] | None:
    return None if parts is None else {str(key): joules(part) for key, part in parts.items()}


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / NS_PER_S


def _time(report: Report, moment_s: int | None) -> str | None:
    return None if moment_s is None else report.question.zone.local(moment_s).isoformat()
