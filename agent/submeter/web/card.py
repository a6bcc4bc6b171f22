"""A GPU of a snapshot in, its card on the live page out."""

from collections.abc import Iterable, Iterator
from typing import Final

from submeter.metrics.collect import power_mw
from submeter.model import EnergySource, GpuState, Method, ProcessView, Snapshot
from submeter.units import PJ_PER_UJ
from submeter.web import figures
from submeter.web.markup import hint, meter, safe, stack, tiles
from submeter.web.sums import by_phase, is_idling, now_by_phase

_METHODS: Final = {
    Method.EXCLUSIVE: "one process had the GPU to itself: nothing to split",
    Method.WEIGHTED: "split by SM time × the learnt watts per unit of it",
    Method.PROPORTIONAL: "split by the SM time that the driver names",
    Method.MIG: "split between the instances of a partitioned GPU",
    Method.EQUAL: "split equally: the floor between holders, or no other signal",
    Method.UNATTRIBUTED: "not split: there is nothing honest to split it by",
    Method.IDLE: "nobody held the GPU: nothing to split",
}
_SOURCES: Final = {
    EnergySource.COUNTER: "the hardware's own energy counter",
    EnergySource.AVERAGE: "the integral of the board's 1-s average power",
    EnergySource.INSTANT: "the integral of instantaneous power",
    EnergySource.NONE: "nothing: this board can't be metered",
}
_SENSOR: Final = "The sensor itself: about ±5 % (16 boards, arXiv:2312.02741)."


def card(gpu: GpuState, snapshot: Snapshot) -> str:
    """Everything about one GPU."""
    info = gpu.info
    state = "" if gpu.up else f'<p class="down">Not readable: {safe(gpu.down_reason)}</p>'
    phases = by_phase(snapshot, {info.uuid})
    methods = {method.value: gpu.energy_by_method_uj.get(method, 0) for method in Method}
    return (
        f'<section class="card gpu" id="gpu{info.index}" aria-labelledby="gpu{info.index}-name">'
        f'<h2 id="gpu{info.index}-name">GPU {info.index} <span>{safe(info.name)}</span></h2>'
        f"{_badges(gpu)}{state}{_trace(gpu)}{tiles(_tiles(gpu))}{_now(gpu, snapshot)}"
        f"<h3>On it now</h3>{_processes(gpu.processes)}"
        f'<details id="gpu{info.index}-energy">'
        f"<summary>Energy {figures.energy(gpu.energy_uj)}</summary>"
        f"<h3>By phase</h3>{stack(phases, 'phase', sum_of='= the counter')}"
        f"<h3>How it was split</h3>{stack(methods, 'method', sum_of='= the counter')}"
        f'<p class="quiet"><code class="uuid">{safe(info.uuid)}</code></p></details>'
        f"{hint('how sure?', quality(gpu), f'gpu{info.index}-sure')}</section>"
    )


def quality(gpu: GpuState) -> Iterator[str]:
    """How good a GPU's joules are: where from, cross-checked how, split how, what is missing."""
    yield f"Joules from {_SOURCES[gpu.info.energy_source]}."
    if gpu.crosscheck_ppm is not None:
        off = (gpu.crosscheck_ppm - PJ_PER_UJ) / (PJ_PER_UJ // 100)
        yield f"Cross-check: ∫power is {off:+.2f} % off the counter."
    yield _SENSOR
    for method, energy_uj in gpu.energy_by_method_uj.items():
        if energy_uj and gpu.energy_uj:
            share = figures.percent(energy_uj / gpu.energy_uj)
            yield f"{share} {method}: {_METHODS[method]}."
    for reason, time_ns in gpu.unmetered_ns.items():
        if time_ns:
            yield f"Not metered ({reason}): {figures.duration(time_ns)}."
    for reason_, energy_uj in gpu.suspect_uj.items():
        if energy_uj:
            yield f"Quarantined ({reason_}), in no total: {figures.energy(energy_uj)}."


def _badges(gpu: GpuState) -> str:
    """What must not be overlooked."""
    badges: list[str] = []
    if is_idling(gpu):
        badges.append('<b class="badge idling">held, but idle</b>')
    throttled_ns = sum(gpu.throttle_ns.values())
    if throttled_ns:
        reasons = ", ".join(reason for reason, time_ns in gpu.throttle_ns.items() if time_ns)
        badges.append(
            f'<span class="badge throttle" data-ns="{throttled_ns}">throttled '
            f"{figures.duration(throttled_ns)} so far ({safe(reasons)})</span>"
        )
    return f'<p class="badges">{"".join(badges)}</p>'


def _trace(gpu: GpuState) -> str:
    """Where the script draws power as it comes. Without it there is a bar."""
    if not gpu.up:
        return ""
    limit_mw = (gpu.gauges.power_limit_mw if gpu.gauges else None) or gpu.info.power_limit_max_mw
    now_mw = power_mw(gpu)
    bar = meter(now_mw, limit_mw, "power") if now_mw is not None and limit_mw else ""
    return (
        f'{bar}<canvas class="trace" id="gpu{gpu.info.index}-trace" data-own '
        f'data-gpu="{gpu.info.index}" data-limit="{(limit_mw or 0) // 1000}" role="img" '
        f'aria-label="Power of GPU {gpu.info.index} over the last minute"></canvas>'
    )


def _tiles(gpu: GpuState) -> list[tuple[str, str]]:
    if not gpu.up:
        return []
    limit_mw = gpu.gauges.power_limit_mw if gpu.gauges else None
    items = [(f"power (limit {figures.watts(limit_mw)})", figures.watts(power_mw(gpu)))]
    if gpu.peaks:
        window = figures.duration(gpu.peaks.window_ns)
        low, high = gpu.peaks.min_mw, gpu.peaks.max_mw
        items.append((f"in the last {window}", f"{low / 1000:,.0f} – {high / 1000:,.0f} W"))
    if gpu.activity:
        used = gpu.activity.utilization_percent
        items.append(("busy", figures.percent(None if used is None else used / 100)))
        total = figures.data(gpu.info.memory_total_bytes)
        items.append((f"memory of {total}", figures.data(gpu.activity.memory_used_bytes)))
    if gpu.gauges:
        items.append(("core", figures.degrees(gpu.gauges.temperature_core_c)))
    return items


def _now(gpu: GpuState, snapshot: Snapshot) -> str:
    if not gpu.up:
        return ""
    parts = now_by_phase(snapshot, {gpu.info.uuid})
    return stack(parts, "phase", power=True, sum_of="in the last second")


def _processes(processes: Iterable[ProcessView]) -> str:
    rows = [_process(process) for process in processes]
    if not rows:
        return '<p class="quiet">nobody</p>'
    head = (
        '<tr><th scope="col">who</th><th scope="col">phase</th><th scope="col">why</th>'
        '<th scope="col">power</th><th scope="col">memory</th></tr>'
    )
    table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="processes">{table}</div>'


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
