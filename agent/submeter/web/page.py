"""A snapshot in, the live page out: plain HTML that is whole without any script.

Every text that comes from outside passes `safe`. There is no inline style or script, so that the
content security policy can forbid them; bars are SVG, whose sizes are attributes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Final

from submeter.metrics.collect import node_power_mw, power_mw
from submeter.model import GpuState, Method, Phase, ProcessView, Snapshot
from submeter.text import printable
from submeter.units import NS_PER_S
from submeter.web import figures

_BAR: Final = 1_000  # width of a whole bar in its own units

_DOCUMENT: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>submeter</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<script src="/page.js" defer></script>
<noscript><meta http-equiv="refresh" content="2"></noscript>
</head>
<body>
<p id="lost" hidden>No answer from the agent. What stands here is old.</p>
<main id="live">
{live}
</main>
<footer><a href="/metrics">metrics</a> <a href="/api/v1/snapshot">snapshot as JSON</a>
<a href="/-/ready">ready?</a></footer>
</body>
</html>
"""


def document(snapshot: Snapshot | None) -> bytes:
    """The whole page."""
    live = _WAITING if snapshot is None else _live(snapshot)
    return _DOCUMENT.format(live=live).encode()


def fragment(snapshot: Snapshot) -> bytes:
    """What changes on the page."""
    return _live(snapshot).encode()


def safe(text: str) -> str:
    """Text from outside as HTML, in an element or a quoted attribute."""
    return escape(printable(text))


_WAITING = '<p class="notice">The agent has just started and has measured nothing yet.</p>'


def _live(snapshot: Snapshot) -> str:
    notice = f'<p class="notice">{safe(snapshot.notice)}</p>' if snapshot.notice else ""
    cards = "\n".join(_gpu(gpu, snapshot) for gpu in snapshot.gpus)
    return f"{_top(snapshot)}\n{notice}\n{_node(snapshot)}\n{cards or _NO_GPU}"


_PARTIAL = "drawing now: not every GPU says"
_NO_GPU = '<section class="card"><p>No GPU can be read now.</p></section>'


def _top(snapshot: Snapshot) -> str:
    now = datetime.fromtimestamp(snapshot.wall_ns // NS_PER_S, UTC)
    running = figures.duration(snapshot.wall_ns - snapshot.started_wall_ns)
    return (
        "<header><h1>submeter</h1>"
        f'<p class="quiet">{safe(snapshot.version)} · backend {safe(snapshot.backend)} · '
        f"running for {running} · <time>{now:%Y-%m-%d %H:%M:%S} UTC</time></p></header>"
    )


def _node(snapshot: Snapshot) -> str:
    draw_mw = node_power_mw(snapshot)
    total_uj = sum(gpu.energy_uj for gpu in snapshot.gpus)
    tiles = [
        ("drawing now" if draw_mw is not None else _PARTIAL, figures.watts(draw_mw)),
        ("metered since the ledger began", figures.energy(total_uj)),
        ("GPUs readable", f"{sum(gpu.up for gpu in snapshot.gpus)} of {len(snapshot.gpus)}"),
    ]
    if snapshot.power_budget_mw is not None:
        left_mw = None if draw_mw is None else snapshot.power_budget_mw - draw_mw
        budget = f"left of {figures.watts(snapshot.power_budget_mw)}"
        tiles.append((budget, figures.watts(left_mw)))
    phases = _by_phase(snapshot, {gpu.info.uuid for gpu in snapshot.gpus})
    return (
        f'<section class="card node"><h2>This node</h2>{_tiles(tiles)}'
        f"<h3>Energy by phase</h3>{_stack(phases, 'phase')}</section>"
    )


def _gpu(gpu: GpuState, snapshot: Snapshot) -> str:
    info = gpu.info
    state = "" if gpu.up else f'<p class="down">Not readable: {safe(gpu.down_reason)}</p>'
    phases = _by_phase(snapshot, {info.uuid})
    methods = {method.value: gpu.energy_by_method_uj.get(method, 0) for method in Method}
    return (
        f'<section class="card"><h2>GPU {info.index} <span>{safe(info.name)}</span></h2>'
        f'<p class="quiet">{safe(info.uuid)} · energy from '
        f"{safe(info.energy_source)}</p>{state}{_tiles(_gpu_tiles(gpu))}"
        f"<h3>Energy by phase</h3>{_stack(phases, 'phase')}"
        f"<h3>How it was split</h3>{_stack(methods, 'method')}"
        f"<h3>On it now</h3>{_processes(gpu.processes)}</section>"
    )


def _gpu_tiles(gpu: GpuState) -> list[tuple[str, str]]:
    tiles = [("energy", figures.energy(gpu.energy_uj))]
    if not gpu.up:
        return tiles
    limit_mw = gpu.gauges.power_limit_mw if gpu.gauges else None
    tiles.insert(0, (f"power (limit {figures.watts(limit_mw)})", figures.watts(power_mw(gpu))))
    if gpu.peaks:
        window = figures.duration(gpu.peaks.window_ns)
        low, high = gpu.peaks.min_mw, gpu.peaks.max_mw
        tiles.append((f"in the last {window}", f"{low / 1000:,.0f} – {high / 1000:,.0f} W"))
    if gpu.activity:
        used = gpu.activity.utilization_percent
        tiles.append(("busy", figures.percent(None if used is None else used / 100)))
        total = figures.data(gpu.info.memory_total_bytes)
        tiles.append((f"memory of {total}", figures.data(gpu.activity.memory_used_bytes)))
    if gpu.gauges:
        tiles.append(("core", figures.degrees(gpu.gauges.temperature_core_c)))
    return tiles


def _tiles(tiles: Iterable[tuple[str, str]]) -> str:
    items = (f"<div><dt>{safe(what)}</dt><dd>{safe(value)}</dd></div>" for what, value in tiles)
    return f'<dl class="tiles">{"".join(items)}</dl>'


def _by_phase(snapshot: Snapshot, gpu_uuids: set[str]) -> Mapping[str, int]:
    """Energy of these GPUs by phase, in the phases' own order."""
    energy_uj: dict[Phase, int] = defaultdict(int)
    for account, part_uj in snapshot.energy_uj.items():
        if account.gpu_uuid in gpu_uuids:
            energy_uj[account.owner.phase] += part_uj
    return {phase.value: energy_uj[phase] for phase in Phase}


def _stack(parts: Mapping[str, int], kind: str) -> str:
    """A bar of parts that fill it, and below it their figures, which add up to the last one."""
    names = [name for name, part in parts.items() if part]
    values = [parts[name] for name in names]
    texts, total = figures.energies(values)
    offset = 0
    bars: list[str] = []
    for name, width in zip(names, figures.apportioned(values, _BAR), strict=True):
        bars.append(f'<rect class="{kind}-{name}" x="{offset}" width="{width}" height="1"/>')
        offset += width
    legend = "".join(
        f'<li><i class="{kind}-{name}"></i>{name} <b>{text}</b></li>'
        for name, text in zip(names, texts, strict=True)
    )
    return (
        f'<svg class="stack" viewBox="0 0 {_BAR} 1" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(bars)}</svg>'
        f'<ul class="legend">{legend}<li class="sum">together <b>{total}</b></li></ul>'
    )


def _processes(processes: Iterable[ProcessView]) -> str:
    rows = [_process(process) for process in processes]
    if not rows:
        return '<p class="quiet">nobody</p>'
    head = "<tr><th>who</th><th>phase</th><th>why</th><th>power</th><th>memory</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _process(process: ProcessView) -> str:
    owner, verdict = process.owner, process.verdict
    place = "/".join(part for part in (owner.namespace, owner.pod, owner.container) if part)
    job = f"job {owner.job}" if owner.job else ""
    who = " · ".join(part for part in (f"pid {process.key.pid}", owner.user, place, job) if part)
    why = "; ".join(verdict.evidence) or "nothing known"
    return (
        f"<tr><td>{safe(owner.workload)}<small>{safe(who)}</small></td>"
        f'<td><i class="phase-{owner.phase}"></i>{safe(owner.phase)}</td>'
        f"<td>{safe(why)}<small>{safe(verdict.source)}, "
        f"{figures.percent(verdict.confidence)} sure</small></td>"
        f"<td>{figures.watts(process.power_mw)}</td>"
        f"<td>{figures.data(process.memory_bytes)}</td></tr>"
    )
