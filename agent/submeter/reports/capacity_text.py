"""Unused capacity in, JSON, a table or a page of it out."""

import json
from collections.abc import Iterator
from typing import Any, Final

from submeter.columns import columns
from submeter.reports import schemas
from submeter.reports.capacity import SHARES, STRANDED_PERCENT, Capacity
from submeter.reports.presentations._document import document
from submeter.reports.presentations._plots import safe
from submeter.reports.presentations._words import NAMELESS
from submeter.reports.presentations.json import joules
from submeter.text import printable
from submeter.units import NS_PER_S
from submeter.web import figures

SCHEMA: Final = 1
_MW_PER_W: Final = 1_000
_TOP: Final = 20
_WIDTH: Final = 1_000
_HEIGHT: Final = 240
_LEFT: Final = 80
_BOTTOM: Final = 24


def fields(found: Capacity) -> dict[str, Any]:
    """All of it as what JSON has."""
    return {
        "schema": SCHEMA,
        "since": found.zone.local(found.since_s).isoformat(),
        "until": found.zone.local(found.until_s).isoformat(),
        "time_zone": found.zone.name,
        "backend": found.backend,
        "notices": list(found.notices),
        "gpus": found.gpus,
        "slot_seconds": found.slot_s,
        "slots": len(found.draws),
        "slots_unknown": found.unknown_slots,
        "budget_watts": _watts(found.budget_mw),
        "latest": None
        if not found.draws
        else {
            "at": found.zone.local(found.draws[-1].start_s).isoformat(),
            "draw_watts": _watts(found.draws[-1].power_mw),
            "free_watts": _watts(_free(found, found.draws[-1].power_mw)),
        },
        "draw_watts": {
            "lowest": _watts(found.draw_mw(0)),
            **{f"p{share}": _watts(found.draw_mw(share)) for share in SHARES},
        },
        "free_watts": {f"p{share}": _watts(found.free_mw(share)) for share in SHARES},
        "by_hour": [
            {
                "hour": each.hour,
                "slots": each.slots,
                "draw_watts_p95": _watts(each.draw_mw),
                "free_watts_p95": _watts(_free(found, each.draw_mw)),
            }
            for each in found.hours()
        ],
        "unused_joules": None if found.unused_uj is None else joules(found.unused_uj),
        "total_joules": joules(found.total_uj),
        "idle_joules": joules(found.idle_uj),
        "held_joules": joules(found.held_uj),
        "work_joules": joules(found.work_uj),
        "stranded": [
            {
                "workload": each.workload,
                "user": each.user,
                "phase": each.phase,
                "gpu_seconds": each.gpu_seconds,
                "joules": joules(each.energy_uj),
            }
            for each in found.stranded
        ],
    }


def schema() -> dict[str, Any]:
    """The published JSON Schema of it."""
    return schemas.load("capacity-1")


def as_json(found: Capacity) -> bytes:
    """One object."""
    return json.dumps(fields(found), indent=2).encode() + b"\n"


def as_table(found: Capacity) -> bytes:
    """For a terminal or a pipe."""
    lines = [_period(found), *(f"! {each}" for each in found.notices), "", *_lines(found), ""]
    heads = [["of the time", "draws at most", "free"]]
    lines += columns([*heads, *_shares(found)], (0, 1, 2))
    lines += ["", *columns([["hour", "95 % draw at most", "free"], *_hours(found)], (0, 1, 2))]
    if found.stranded:
        lines += ["", f"held without working (work at most {STRANDED_PERCENT} % of its charge)", ""]
        rows = [["workload", "user", "phase", "GPU time", "energy"], *_stranded(found)]
        lines += columns(rows, (3, 4))
    return ("\n".join(map(printable, lines)) + "\n").encode()


def as_html(found: Capacity) -> bytes:
    """One page."""
    loud = "".join(f'<p class="notice">{safe(each)}</p>' for each in found.notices)
    facts = "".join(f"<li>{safe(each)}</li>" for each in _lines(found))
    stranded = _html(["workload", "user", "phase", "GPU time", "energy"], _stranded(found), 3)
    held = stranded if found.stranded else '<p class="quiet">There were none.</p>'
    body = (
        "<header><h1>Unused capacity</h1>"
        f'<p class="quiet">{safe(_period(found))}</p></header>{loud}'
        f'<section><h2>At a glance</h2><ul class="facts">{facts}</ul></section>'
        "<section><h2>How much, for how much of the time</h2>"
        f"{_html(['of the time', 'draws at most', 'free'], _shares(found), 1)}</section>"
        '<section><h2>When</h2><p class="quiet">By hour of the day in '
        f"{safe(found.zone.name)}: what 95 % of the slots draw at most, and what is then free "
        f'below the budget.</p><div class="wide">{_plot(found)}</div>{_LEGEND}</section>'
        "<section><h2>Held without working</h2><p>Reservations whose work was at most "
        f"{STRANDED_PERCENT} % of what they were charged.</p>{held}</section>"
    )
    return document("Unused capacity", body)


def _period(found: Capacity) -> str:
    since, until = (
        found.zone.local(at).isoformat(sep=" ", timespec="seconds")
        for at in (found.since_s, found.until_s)
    )
    return f"{since} to {until} ({found.zone.name})"


def _lines(found: Capacity) -> Iterator[str]:
    slot = figures.duration(found.slot_s * NS_PER_S)
    yield (
        f"{found.gpus} GPUs, {len(found.draws):,} slots of {slot}, {found.unknown_slots:,} more "
        "not metered; a slot's draw is its mean"
    )
    if found.budget_mw is not None:
        yield f"budget {figures.watts(found.budget_mw)}, boards only"
    if found.draws:
        latest = found.draws[-1]
        free_mw = _free(found, latest.power_mw)
        free = "" if free_mw is None else f", {figures.watts(free_mw)} free"
        yield f"latest draw {figures.watts(latest.power_mw)}{free}"
    if found.unused_uj is not None:
        yield f"unused below the budget: {figures.energy(found.unused_uj)}"
    for what, part_uj in (
        ("nobody held the GPU", found.idle_uj),
        ("floor and context below holders", found.held_uj),
        ("work", found.work_uj),
    ):
        share = 100 * part_uj / found.total_uj if found.total_uj else 0.0
        yield f"{what}: {figures.energy(part_uj)} ({share:.1f} %)"


def _shares(found: Capacity) -> list[list[str]]:
    return [
        [f"{share} %", figures.watts(found.draw_mw(share)), figures.watts(found.free_mw(share))]
        for share in SHARES
    ]


def _hours(found: Capacity) -> list[list[str]]:
    return [
        [f"{each.hour:02d}", figures.watts(each.draw_mw), figures.watts(_free(found, each.draw_mw))]
        for each in found.hours()
    ]


def _stranded(found: Capacity) -> list[list[str]]:
    return [
        [
            *(each.workload or NAMELESS, each.user or NAMELESS, each.phase),
            *(figures.duration(each.gpu_seconds * NS_PER_S), figures.energy(each.energy_uj)),
        ]
        for each in found.stranded[:_TOP]
    ]


def _html(heads: list[str], rows: list[list[str]], first: int) -> str:
    """A table whose columns from ``first`` on are numbers."""
    sides = ['class="n"' if at >= first else "" for at in range(len(heads))]
    top = "".join(f"<th {side}>{head}</th>" for side, head in zip(sides, heads, strict=True))
    lines = "".join(
        "<tr>"
        + "".join(f"<td {side}>{safe(cell)}</td>" for side, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


_LEGEND: Final = (
    '<ul class="legend"><li><i class="phase-training"></i>drawn</li>'
    '<li><i class="phase-idle"></i>free</li></ul>'
)


def _plot(found: Capacity) -> str:
    hours = found.hours()
    most_mw = max([found.budget_mw or 0, *(each.draw_mw for each in hours), 1])
    high = _HEIGHT - _BOTTOM - 8
    wide = (_WIDTH - _LEFT) / 24
    shapes = []
    for each in hours:
        x = _LEFT + each.hour * wide
        drawn = each.draw_mw / most_mw * high
        free = max(0, _free(found, each.draw_mw) or 0) / most_mw * high
        y = _HEIGHT - _BOTTOM - drawn
        shapes.append(
            f"<g><title>{each.hour:02d}:00: {figures.watts(each.draw_mw)}, free "
            f"{figures.watts(_free(found, each.draw_mw))}</title>"
            f'<rect class="phase-training" x="{x + 2:.1f}" y="{y:.1f}" width="{wide - 4:.1f}" '
            f'height="{drawn:.1f}"/><rect class="phase-idle" x="{x + 2:.1f}" y="{y - free:.1f}" '
            f'width="{wide - 4:.1f}" height="{free:.1f}"/></g>'
        )
    base = _HEIGHT - _BOTTOM
    axis = "".join(
        f'<text x="{_LEFT + (hour + 0.5) * wide:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{hour:02d}</text>"
        for hour in range(24)
    )
    marks = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{base - share * high:.1f}" '
        f'y2="{base - share * high:.1f}"/><text x="{_LEFT - 8}" '
        f'y="{base - share * high + 4:.1f}" text-anchor="end">'
        f"{share * most_mw / 1e6:,.1f} kW</text>"
        for share in (0.0, 0.5, 1.0)
    )
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Draw and free '
        f'power by hour">{marks}{axis}{"".join(shapes)}</svg>'
    )


def _free(found: Capacity, draw_mw: int) -> int | None:
    return None if found.budget_mw is None else found.budget_mw - draw_mw


def _watts(power_mw: int | None) -> float | None:
    return None if power_mw is None else power_mw / _MW_PER_W
