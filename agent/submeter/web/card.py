"""A GPU of a snapshot in, its card on the live page out."""

from collections.abc import Iterable, Iterator
from typing import Final

from submeter.metrics.collect import power_mw
from submeter.model import EnergySource, GpuInfo, GpuState, Method, ProcessView
from submeter.units import PJ_PER_UJ
from submeter.web import doubt, figures
from submeter.web.markup import Tile, hint, meter, safe, shown, stack, tiles
from submeter.web.sums import GpuSums, is_idling, named

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
_MAKER: Final = "NVIDIA "  # of all of them: the driver is NVIDIA's
_SENSOR: Final = "The sensor itself: about ±5 % (16 boards, arXiv:2312.02741)."


def card(gpu: GpuState, sums: GpuSums) -> str:
    """Everything about one GPU."""
    info = gpu.info
    key = f"gpu{info.index}"
    state = "" if gpu.up else f'<p class="down">Not readable: {safe(gpu.down_reason)}</p>'
    phases = named(sums.energy_uj)
    methods = {method.value: gpu.energy_by_method_uj.get(method, 0) for method in Method}
    return (
        f'<section class="card gpu" id="{key}" aria-labelledby="{key}-name">'
        f'<div class="head"><h2 id="{key}-name">GPU {info.index} '
        f"<span>{safe(info.name.removeprefix(_MAKER))}</span>"
        f"</h2>{_idle(gpu)}{_power(gpu)}</div>{state}{_throttled(gpu)}{_trace(gpu)}{_facts(gpu)}"
        f"{_now(gpu, sums)}{_processes(gpu, sums)}"
        f'<div class="more"><details id="{key}-energy"><summary>Energy '
        f"{shown(figures.energy_figure(gpu.energy_uj))}</summary>"
        f"<h3>By phase, since the ledger began</h3>{stack(phases, 'phase', sum_of='= the counter')}"
        f"<h3>How it was split</h3>{stack(methods, 'method', sum_of='= the counter')}"
        f'<p class="quiet">{safe(info.name)} <code class="uuid">{safe(info.uuid)}</code></p>'
        "</details>"
        f"{hint('how sure?', quality(gpu, sums), f'{key}-sure')}</div></section>"
    )


def quality(gpu: GpuState, sums: GpuSums) -> Iterator[str]:
    """How good a GPU's joules are: where from, cross-checked how, split how, what is missing."""
    yield f"Joules from {_SOURCES[gpu.info.energy_source]}."
    if gpu.crosscheck_ppm is not None:
        off = (gpu.crosscheck_ppm - PJ_PER_UJ) / (PJ_PER_UJ // 100)
        yield f"Cross-check: ∫power is {off:+.2f} % off the counter."
    yield _SENSOR
    for method, energy_uj in gpu.energy_by_method_uj.items():
        if energy_uj and gpu.energy_uj:
            share = figures.share(energy_uj, gpu.energy_uj)
            yield f"{share} {method}: {_METHODS[method]}."
    yield from _left_open(sums)
    yield from _missing(gpu)


def _left_open(sums: GpuSums) -> Iterator[str]:
    for owner, error_uj in sums.errors_uj.items():
        if error_uj:
            energy_uj = sums.owners_uj.get(owner, 0)
            open_ = figures.plus_minus(doubt.TIMES * error_uj, energy_uj)
            yield (
                f"{owner.workload}, {figures.energy(energy_uj)}: {open_} of splitting since the "
                "agent started (2 standard errors: right in 90 to 99 % of cases)."
            )


def _missing(gpu: GpuState) -> Iterator[str]:
    for reason, time_ns in gpu.unmetered_ns.items():
        if time_ns:
            yield f"Not metered ({reason}): {figures.duration(time_ns)}."
    for reason_, energy_uj in gpu.suspect_uj.items():
        if energy_uj:
            yield f"Quarantined ({reason_}), in no total: {figures.energy(energy_uj)}."


def _idle(gpu: GpuState) -> str:
    return '<b class="badge idling"><span>held, but </span>idle</b>' if is_idling(gpu) else ""


def _throttled(gpu: GpuState) -> str:
    """How long so far; the script marks it while it grows."""
    throttled_ns = sum(gpu.throttle_ns.values())
    if not throttled_ns:
        return ""
    reasons = ", ".join(reason for reason, time_ns in gpu.throttle_ns.items() if time_ns)
    return (
        f'<p class="badges"><span class="badge throttle" data-ns="{throttled_ns}">throttled '
        f"{figures.duration(throttled_ns)} so far ({safe(reasons)})</span></p>"
    )


def _power(gpu: GpuState) -> str:
    if not gpu.up:
        return ""
    limit_mw = gpu.gauges.power_limit_mw if gpu.gauges else None
    of = f" <small>of {figures.whole_watts(limit_mw)}</small>" if limit_mw else ""
    return f'<p class="power"><b>{shown(figures.power_figure(power_mw(gpu)))}</b>{of}</p>'


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


def _facts(gpu: GpuState) -> str:
    if not gpu.up:
        return ""
    items: list[Tile] = []
    if gpu.activity:
        used = gpu.activity.utilization_percent
        items.append(("busy", figures.percent(None if used is None else used / 100)))
        items.append(("memory", _memory(gpu.activity.memory_used_bytes, gpu.info)))
    if gpu.gauges:
        items.append(("core", figures.degrees(gpu.gauges.temperature_core_c)))
    if gpu.peaks:
        window = figures.duration(gpu.peaks.window_ns)
        low, high = gpu.peaks.min_mw, gpu.peaks.max_mw
        items.append((f"last {window}", f"{low / 1000:,.0f}–{high / 1000:,.0f} W"))
    return tiles(items)


def _memory(used_bytes: int | None, info: GpuInfo) -> str:
    total = figures.data(info.memory_total_bytes)
    if info.memory_total_bytes is None or used_bytes is None:
        return figures.data(used_bytes)
    used = figures.data(used_bytes)
    return f"{used.removesuffix(total[-4:]) if used[-3:] == total[-3:] else used} of {total}"


def _now(gpu: GpuState, sums: GpuSums) -> str:
    if not gpu.up:
        return ""
    return stack(named(sums.power_mw), "phase", power=True, sum_of="mean of 1 s")


def _processes(gpu: GpuState, sums: GpuSums) -> str:
    """Who is on it, the evidence, and what its owner has used here since the ledger began."""
    if not gpu.processes:
        return '<p class="quiet">Nobody is on it.</p>' if gpu.up else ""
    rows = "".join(_process(process, sums) for process in gpu.processes)
    return f'<ul class="procs" aria-label="processes on GPU {gpu.info.index}">{rows}</ul>'


def _process(process: ProcessView, sums: GpuSums) -> str:
    owner, verdict = process.owner, process.verdict
    place = "/".join(part for part in (owner.namespace, owner.pod, owner.container) if part)
    job = f"job {owner.job}" if owner.job else ""
    memory = figures.data(process.memory_bytes) if process.memory_bytes is not None else ""
    who = _joined((f"pid {process.key.pid}", owner.user, place, job, memory))
    why = "; ".join(verdict.evidence) or "nothing known"
    energy_uj, error_uj = sums.owners_uj.get(owner, 0), sums.errors_uj.get(owner, 0)
    open_ = f" {figures.plus_minus(doubt.TIMES * error_uj, energy_uj)}" if error_uj else ""
    return (
        f'<li tabindex="0"><div><b class="who">{safe(owner.workload) or "?"}</b>'
        f'<span class="phase"><i class="phase-{owner.phase}"></i><span>{safe(owner.phase)}</span>'
        "</span>"
        f'<span class="watts">{shown(figures.power_figure(process.power_mw))}</span></div>'
        f'<div><small class="who">{safe(who)}</small><small class="used">'
        f"{shown(figures.energy_figure(energy_uj))}{safe(open_)}</small></div>"
        f'<small class="why">{safe(why)} <span>({safe(verdict.source)}, '
        f"{figures.percent(verdict.confidence)} sure)</span></small></li>"
    )


def _joined(parts: Iterable[str]) -> str:
    return " · ".join(part for part in parts if part)
