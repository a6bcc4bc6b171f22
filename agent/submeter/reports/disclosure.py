"""A report by workload and phase in, what a company would have to publish out, as JSON has it.

Energy, water and carbon of training and of inference apart, per workload and in total; with what is
in it and what isn't, how it was measured, how much of the time, how sure, and by whose factors.
The published schema is ``schemas/disclosure-2.schema.json``.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from submeter.footprint.factors import Quantity
from submeter.model import Method, Phase
from submeter.reports import schemas
from submeter.reports.presentations.json import amounts, factors, joules, work_done
from submeter.reports.priced import NOTHING, Amounts
from submeter.reports.record import Report
from submeter.units import NS_PER_S, UJ_PER_WH

SCHEMA: Final = 2
"""2 has what was done, too (`work`); else it is as 1 was."""

BY: Final = ("workload", "phase")

BOUNDARY: Final = "electricity of the GPU boards"
EXCLUDED: Final = (
    "host processors, memory, storage and fans",
    "network",
    "losses of power supplies",
    "manufacturing of the hardware",
)
_ENERGY: Final = (
    "the boards' own hardware energy counters (nvmlDeviceGetTotalEnergyConsumption); where a board "
    "has none, the integral of its power sensor"
)
_SPLIT: Final = (
    "each joule is split between the processes that held the GPU; the parts sum to the counter "
    "exactly. Phases are declared by jobs, given by rules, or recognised from how processes run"
)
_SENSOR: Final = {
    "relative": 0.05,
    "observed_low": -0.08,
    "observed_high": 0.13,
    "source": "Yang, Adámek, Armour, arXiv:2312.02741: 16 boards beside an external meter",
}
_SPLIT_METHODS: Final = (Method.WEIGHTED, Method.PROPORTIONAL, Method.MIG, Method.EQUAL)
_KWH_UJ: Final = 1_000 * UJ_PER_WH
_LACKING: Final = {
    Quantity.PUE: "no PUE: figures are of the boards, without cooling and distribution",
    Quantity.WUE: "no WUE: no water of the site",
    Quantity.WUE_SOURCE: "no WUE of generation: no water of the power stations",
    Quantity.CARBON: "no carbon intensity: no carbon",
}


def fields(report: Report) -> dict[str, Any]:
    """The disclosure of a report by `BY`."""
    zone = report.question.zone
    return {
        "schema": SCHEMA,
        "kind": "submeter-disclosure",
        "made": zone.local(report.made_s).isoformat(),
        "software": {"name": "submeter", "version": report.version},
        "period": {
            "since": None if report.since_s is None else zone.local(report.since_s).isoformat(),
            "until": zone.local(report.until_s).isoformat(),
            "time_zone": zone.name,
        },
        "notices": list(report.origin.notices),
        "scope": _scope(report),
        "method": {
            "energy": _ENERGY,
            "attribution": _SPLIT,
            "joules_by_method": {
                str(method): joules(part)
                for method, part in (report.quality.method_uj or {}).items()
            },
            "joules_not_from_counter": {
                source: joules(part) for source, part in (report.quality.source_uj or {}).items()
            },
        },
        "coverage": _coverage(report),
        "uncertainty": _uncertainty(report),
        "factors": factors(report),
        "lacking": list(_lacking(report)),
        "total": _figures(report, report.total_uj, report.priced.total),
        "phases": [
            {"phase": str(phase), **_figures(report, energy_uj, priced)}
            for phase, energy_uj, priced in phases(report)
        ],
        "workloads": [
            {
                **dict(zip(report.question.by, row.values, strict=True)),
                **_figures(report, row.energy_uj, priced),
            }
            for row, priced in zip(report.rows, report.amounts(), strict=True)
        ],
        **({"work": [work_done(each) for each in report.work]} if report.work else {}),
    }


def as_json(report: Report) -> bytes:
    """The same as bytes."""
    return json.dumps(fields(report), indent=2).encode() + b"\n"


def schema() -> dict[str, Any]:
    """The published JSON Schema of it. Those of before stay published as they are."""
    return schemas.load(f"disclosure-{SCHEMA}")


def phases(report: Report) -> Iterator[tuple[Phase, int, Amounts]]:
    """Training and inference always, the others where there was any; they sum to the total."""
    for phase in Phase:
        energy_uj = report.phase_uj.get(phase, 0)
        if energy_uj or phase in {Phase.TRAINING, Phase.INFERENCE}:
            yield phase, energy_uj, report.priced.phases.get(phase, NOTHING)


def _scope(report: Report) -> dict[str, Any]:
    models = Counter(gpu.name for gpu in report.gpus)
    return {
        "boundary": BOUNDARY,
        "excluded": list(EXCLUDED),
        "facility": (
            "with the site's share, by PUE"
            if report.priced.total.facility_uj is not None
            else "not included: no PUE was given"
        ),
        "gpus": [{"name": name, "count": count} for name, count in sorted(models.items())],
        "backend": report.origin.backend,
        "simulated": report.origin.backend == "mock",
    }


def _coverage(report: Report) -> dict[str, Any]:
    quality = report.quality
    return {
        "ratio": quality.coverage,
        "metered_seconds": _seconds(quality.metered_ns),
        "elapsed_seconds": _seconds(quality.period_ns),
        "unobserved_seconds": _seconds(quality.unobserved_ns),
        "unmetered_seconds": {
            reason: time_ns / NS_PER_S for reason, time_ns in quality.unmetered_ns.items()
        },
        "exact": quality.exact,
        "problems": list(quality.problems),
    }


def _uncertainty(report: Report) -> dict[str, Any]:
    methods = report.quality.method_uj or {}
    shared_uj = sum(methods.get(method, 0) for method in _SPLIT_METHODS)
    unattributed_uj = methods.get(Method.UNATTRIBUTED, 0)
    return {
        "sensor": _SENSOR,
        "split": {
            "shared_joules": joules(shared_uj),
            "unattributed_joules": joules(unattributed_uj),
            "not_split_joules": joules(sum(methods.values()) - shared_uj - unattributed_uj),
            "meaning": "only shared joules have an error of the split; the sum has none",
        },
        "suspect_joules": {
            reason: joules(part) for reason, part in report.quality.suspect_uj.items()
        },
        "factors": "as their sources say; submeter adds none",
    }


def _lacking(report: Report) -> Iterator[str]:
    known = {each.factor.quantity for each in report.priced.applied}
    yield from (text for quantity, text in _LACKING.items() if quantity not in known)
    for kind, missing_uj in report.priced.missing_uj.items():
        yield f"no factor for {joules(missing_uj)} J of {kind.rpartition('_')[0]}"


def _figures(report: Report, energy_uj: int, priced: Amounts) -> dict[str, Any]:
    return {
        "joules": joules(energy_uj),
        "kwh": energy_uj / _KWH_UJ,
        "share": report.share(energy_uj),
        **amounts(priced),
    }


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / NS_PER_S
