"""A fleet and the published estimates in, JSON and a table of them side by side out."""

import json
from decimal import Decimal
from typing import Any, Final, NamedTuple

from submeter.columns import columns, folded
from submeter.footprint.fleet import FORMULA, Fleet, Measured
from submeter.footprint.outlooks import Estimate, Outlooks, read_at_source
from submeter.reports import schemas

SCHEMA: Final = 1
QUOTED: Final = " [q]"
"""The mark of figures that were not read in the publication itself."""
_WIDE: Final = 120
_INPUTS: Final = {
    "servers": "servers",
    "watts": "W",
    "gigawatts": "GW",
    "megawatt_hours": "MWh",
    "home_megawatt_hours": "MWh a home",
}


class Outlook(NamedTuple):
    """What `submeter project` shows."""

    published: Outlooks
    fleet: Fleet | None = None
    measured: Measured | None = None
    inference_share: float | None = None

    @property
    def share(self) -> float | None:
        """Inference's share that is compared: the given one, else the measured one."""
        if self.inference_share is not None or self.measured is None:
            return self.inference_share
        return self.measured.inference_share


def fields(outlook: Outlook) -> dict[str, Any]:
    """All of it as what JSON has."""
    fleet, measured = outlook.fleet, outlook.measured
    published = outlook.published
    return {
        "schema": SCHEMA,
        "fleet": None if fleet is None else _fleet(fleet),
        "measured": None if measured is None else _measured(measured),
        "published": [
            {
                "id": each.id,
                "what": each.what,
                "inputs": each.inputs,
                "formula": each.formula,
                "computed": list(each.computed),
                "published": list(each.published),
                "unit": each.unit,
                "agrees": each.agrees,
                "articles": each.articles,
                "source": each.source,
                "dated": each.dated,
                "first_hand": each.first_hand,
                "checked": each.checked,
            }
            for each in published.estimates
        ],
        "comparators": [
            {
                **each._asdict(),
                "first_hand": each.first_hand,
                "fleet_ratio": None if fleet is None else fleet.twh_per_year / each.twh,
            }
            for each in published.comparators
        ],
        "inference": {
            "share": outlook.share,
            "quoted": published.inference["share"],
            "difference": (
                None if outlook.share is None else outlook.share - published.inference["share"]
            ),
            "what": published.inference["what"],
            "source": published.inference["source"],
            "dated": published.inference["dated"],
            "first_hand": read_at_source(published.inference["checked"]),
            "checked": published.inference["checked"],
        },
    }


def schema() -> dict[str, Any]:
    """The published JSON Schema of it."""
    return schemas.load("outlook-1")


def as_json(outlook: Outlook) -> bytes:
    """One object."""
    return json.dumps(fields(outlook), indent=2, ensure_ascii=False).encode() + b"\n"


def as_table(outlook: Outlook, width: int | None = None) -> bytes:
    """For a terminal of that width or a pipe."""
    lines = [
        *fleet_lines(outlook),
        "",
        "Published estimates, in TWh a year unless said, computed anew from their inputs",
        "",
    ]
    rows = [["computed", "published", "", "what", "inputs"]]
    rows += [_estimate(each) for each in outlook.published.estimates]
    lines += columns(rows, (0, 1), width)
    lines += ["", "To compare with", ""]
    rows = [["TWh", "year", *(["fleet ÷ it"] if outlook.fleet else []), "what", "source"]]
    for other in outlook.published.comparators:
        ratio = [] if outlook.fleet is None else [plainly(outlook.fleet.twh_per_year / other.twh)]
        name = f"{other.name}{'' if other.first_hand else QUOTED}"
        rows.append([f"{other.twh:,.1f}", str(other.year), *ratio, name, other.source])
    if width is not None and width < _WIDE:
        rows = [row[:-1] for row in rows]  # the sources are in the JSON
    lines += columns(rows, (0, 1, 2) if outlook.fleet else (0, 1), width)
    inference = inference_line(outlook)
    lines += ["", *(folded(inference, width) if width else [inference])]
    quoted = f"{QUOTED.strip()} quoted by others; the publication itself was not at hand"
    lines += ["", quoted, "Sources, and where each figure was read: submeter project --json"]
    return ("\n".join(lines) + "\n").encode()


def fleet_lines(outlook: Outlook) -> list[str]:
    """What the fleet comes to, and from what."""
    lines = []
    measured, fleet = outlook.measured, outlook.fleet
    if measured is not None:
        lines.append(
            f"measured: {measured.gpus} GPUs, {measured.gpu_watts:,.1f} W a GPU in the mean of "
            f"{measured.metered_s / 3_600:,.2f} h of GPU time; boards only"
        )
        if measured.backend == "mock":
            lines.append("! Simulated boards: no real electricity was metered.")
    if fleet is None:
        return [*lines, "No fleet: say --servers and --watts-per-server to have one scaled up."]
    size, unit = _unit(fleet.twh_per_year)
    gigawatts, watts = _unit(fleet.gigawatts)
    lines.append(
        f"fleet: {plainly(fleet.twh_per_year / size)} {unit}Wh a year, "
        f"{plainly(fleet.gigawatts / gigawatts)} {_SMALLER[watts]}W"
    )
    if fleet.uncertainty is not None:
        low, high = (plainly(end / size) for end in fleet.range_twh)
        lines.append(f"  ± {100 * fleet.uncertainty:g} % as given: {low} to {high} {unit}Wh")
    lines.append(f"  = {FORMULA}")
    servers = "server" if fleet.servers == 1 else "servers"
    lines.append(
        f"  {fleet.servers:,.10g} {servers} of {fleet.watts_per_server:,.6g} W ({fleet.source}), "
        f"idle {fleet.idle_watts:,.6g} W, utilisation {fleet.utilisation:g}, PUE {fleet.pue:g}"
    )
    return lines


def plainly(value: float) -> str:
    """Four digits that say something, and no powers of ten."""
    return f"{Decimal(f'{value:.4g}'):,f}"


_UNITS: Final = ((1.0, "T"), (1e-3, "G"), (1e-6, "M"), (1e-9, "k"))
_SMALLER: Final = {"T": "G", "G": "M", "M": "k", "k": ""}  # a thousandth


def _unit(tera: float) -> tuple[float, str]:
    """The prefix that suits it: one server isn't shown in TWh."""
    return next(
        (each for each in _UNITS if abs(tera) >= each[0]), _UNITS[-1] if tera else _UNITS[0]
    )


def inference_line(outlook: Outlook) -> str:
    """Where inference's share lies."""
    quoted = outlook.published.inference
    mark = "" if read_at_source(quoted["checked"]) else QUOTED
    text = f"{100 * quoted['share']:g} % is quoted for {quoted['what']} ({quoted['source']}){mark}"
    if outlook.share is None:
        return f"Inference: {text}."
    points = 100 * (outlook.share - quoted["share"])
    return f"Inference: {100 * outlook.share:.1f} % here, {points:+.1f} points; {text}."


def _fleet(fleet: Fleet) -> dict[str, Any]:
    low, high = fleet.range_twh
    return {
        "inputs": fleet._asdict(),
        "formula": FORMULA,
        "watts": fleet.watts,
        "gigawatts": fleet.gigawatts,
        "twh_per_year": fleet.twh_per_year,
        "low_twh_per_year": low,
        "high_twh_per_year": high,
    }


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        **measured._asdict(),
        "gpu_watts": measured.gpu_watts,
        "inference_share": measured.inference_share,
        "scope": "GPU boards, without host, network and losses of power supplies",
    }


def inputs_text(estimate: Estimate) -> str:
    """The stated inputs of an estimate in words."""
    return ", ".join(f"{_shown(value)} {_INPUTS[name]}" for name, value in estimate.inputs.items())


def _estimate(each: Estimate) -> list[str]:
    return [
        _range(each.computed, each.digits + 1),
        _range(each.published, each.digits),
        "agrees" if each.agrees else "DIFFERS",
        f"{each.what}{'' if each.first_hand else QUOTED}",
        inputs_text(each),
    ]


def _range(values: tuple[float, ...], digits: int) -> str:
    return " to ".join(f"{value:,.{digits}f}" for value in values)


def _shown(value: object) -> str:
    values = value if isinstance(value, list) else [value]
    return " to ".join(f"{each:,}" for each in values)
