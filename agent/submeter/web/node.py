"""A snapshot in, what the live page says of the node's power now out."""

from collections.abc import Mapping
from typing import Final

from submeter.metrics.collect import node_power_mw, power_mw
from submeter.model import GpuState, Phase, Snapshot
from submeter.web import figures
from submeter.web.markup import Tile, meter, safe, shown, stack, tiles
from submeter.web.sums import GpuSums, is_idling, leading, named, together

_PARTIAL: Final = "drawing now: not every GPU says"
_FILL: Final = 100  # height of a whole place on the map, in its own units


def section(snapshot: Snapshot, sums: Mapping[str, GpuSums]) -> str:
    """Draw against budget, what idles while held, power by phase, a map of the GPUs."""
    draw_mw = node_power_mw(snapshot)
    budget_mw = snapshot.power_budget_mw
    drawing = "drawing now" if draw_mw is not None or not snapshot.gpus else _PARTIAL
    up = sum(gpu.up for gpu in snapshot.gpus)
    items: list[Tile] = [
        (drawing, figures.power_figure(draw_mw)),
        ("GPUs readable", f"{up} of {len(snapshot.gpus)}"),
    ]
    bar = ""
    if budget_mw is not None:
        left_mw = None if draw_mw is None else budget_mw - draw_mw
        over = "over" if left_mw is not None and left_mw < 0 else "within"
        items.insert(1, (f"left of {figures.watts(budget_mw)}", figures.power_figure(left_mw)))
        bar = "" if draw_mw is None else meter(draw_mw, budget_mw, over)
    phases = together(sums[gpu.info.uuid].power_mw for gpu in snapshot.gpus)
    now = '<p class="quiet">Nothing says what it draws.</p>'
    if any(phases.values()):
        now = stack(named(phases), "phase", power=True, sum_of="all GPUs")
    return (
        '<section class="card node" id="node" aria-labelledby="node-name">'
        f'<h2 id="node-name">This node, now</h2>{tiles(items)}{bar}{_idling(snapshot)}'
        '<canvas class="trace" id="node-trace" data-own data-gpu="all" '
        f'data-limit="{(budget_mw or 0) // 1000}" role="img" '
        'aria-label="Power of all GPUs over the last minute"></canvas>'
        f"<h3>Power by phase, mean of the last second</h3>{now}</section>"
    )


def overview(snapshot: Snapshot, sums: Mapping[str, GpuSums]) -> str:
    """A place for each GPU: how full, by what, whether it needs a look."""
    if len(snapshot.gpus) < _ENOUGH:
        return ""
    places = "".join(_place(gpu, leading(sums[gpu.info.uuid].power_mw)) for gpu in snapshot.gpus)
    return f'<nav id="overview" aria-label="GPUs"><ul class="map">{places}</ul></nav>'


_ENOUGH: Final = 3


def _idling(snapshot: Snapshot) -> str:
    """The GPUs that somebody holds for nothing now, who does, and what that draws."""
    if not any(gpu.processes for gpu in snapshot.gpus):
        return ""
    idling = [gpu for gpu in snapshot.gpus if is_idling(gpu)]
    if not idling:
        return '<p class="quiet">No GPU is held without being used now.</p>'
    wasted_mw = sum(power_mw(gpu) or 0 for gpu in idling)
    named = ", ".join(
        f'<a href="#gpu{gpu.info.index}">GPU {gpu.info.index}</a>{_holders(gpu, len(idling))}'
        for gpu in idling
    )
    return (
        f'<p class="idle-now"><b class="badge idling">held, but idle now</b> {named}: '
        f"{shown(figures.power_figure(wasted_mw))} for nothing</p>"
    )


def _holders(gpu: GpuState, among: int) -> str:
    """Who holds it; only the number where there are many."""
    owners = {process.owner for process in gpu.processes}
    if among > _NAMED or len(owners) > 1:
        return ""
    owner = owners.pop()
    who = ", ".join(part for part in (owner.workload, owner.user) if part)
    return f" <small>({safe(who)})</small>" if who else ""


_NAMED: Final = 3


def _place(gpu: GpuState, phase: Phase) -> str:
    number = gpu.info.index
    limit_mw = (gpu.gauges.power_limit_mw if gpu.gauges else None) or gpu.info.power_limit_max_mw
    now_mw = power_mw(gpu) if gpu.up else None
    fill = min(_FILL, _FILL * now_mw // limit_mw) if now_mw and limit_mw else 0
    watts = figures.whole_watts(now_mw)
    look, said = "", f"{watts}, {phase}"
    if not gpu.up:
        look, said = "down", "not readable"
    elif is_idling(gpu):
        look, said = "idling", f"{watts}, held, but idle"
    return (
        f'<li><a class="{look}" href="#gpu{number}" aria-label="GPU {number}: {said}">'
        f'<svg viewBox="0 0 1 {_FILL}" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="phase-{phase}" y="{_FILL - fill}" width="1" height="{fill}"/></svg>'
        f"<b>{number}</b><span>{watts}</span></a></li>"
    )
