"""A snapshot's JSON (docs/api.md) in, the lines and rows of the terminal view out: only text.

Everything is readable without colour: phases are words, bars and sparklines are characters.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from submeter.text import printable, ranges
from submeter.units import UJ_PER_J, UNCOUNTED
from submeter.web import figures

Json = Mapping[str, Any]

SORTS: Final = ("watts", "joules", "phase", "workload")
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_LABELS: Final = ("workload", "user", "namespace", "pod", "container", "job")
_MANY_W: Final = 10  # tenths of a watt say nothing from there on
_WIDE: Final = 100  # columns from which there is room for limits and throttling
_FIXED: Final = 50  # columns of a GPU's line besides its sparkline and its holders
_FIXED_NARROW: Final = 24
_LEAST: Final = 12  # columns that a sparkline has at least
_MOST: Final = 60


@dataclass(slots=True)
class Workload:
    """Everybody on this node under the same labels and phase."""

    phase: str
    labels: tuple[str, ...]
    watts: float = 0.0
    joules: Decimal = Decimal(0)
    gpus: set[int] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)
    """How much of each unit, where it tells."""
    processes: list[Json] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What tells it from every other."""
        return "\0".join((self.phase, *self.labels))

    @property
    def name(self) -> str:
        """What people call it."""
        return self.labels[0] or f"({self.phase})"

    @property
    def who(self) -> str:
        """Pod, job or user: where it belongs."""
        _, user, namespace, pod, _, job = self.labels
        place = f"{namespace}/{pod}" if pod else f"job {job}" if job else ""
        return " ".join(part for part in (user, place) if part)


def workloads(snapshot: Json) -> list[Workload]:
    """All there are: who draws power now, and who only did."""
    index = {gpu["uuid"]: gpu["gpu"] for gpu in snapshot["gpus"]}
    found: dict[tuple[str, ...], Workload] = {}

    def of(owner: Json) -> Workload:
        labels = tuple(printable(owner[label]) for label in _LABELS)
        return found.setdefault((owner["phase"], *labels), Workload(owner["phase"], labels))

    for account in snapshot["energy"]:
        of(account).joules += Decimal(account["joules"])
    for account in snapshot["power"]:
        workload = of(account)
        workload.watts += account["watts"]
        if account["uuid"] in index and account["watts"]:
            workload.gpus.add(index[account["uuid"]])
    for work in snapshot.get("work", ()):  # agents of before have no such field
        of(work).done[printable(work["unit"])] = work["amount"]
    for gpu in snapshot["gpus"]:
        for process in gpu["processes"]:
            workload = of(process)
            workload.gpus.add(gpu["gpu"])
            workload.processes.append({**process, "gpu": gpu["gpu"]})
    return list(found.values())


def arranged(found: Iterable[Workload], sort: str, wanted: str) -> list[Workload]:
    """Those that have a text in any of their labels or their phase, in order."""
    text = wanted.casefold()
    kept = [each for each in found if text in " ".join((each.phase, *each.labels)).casefold()]
    keys = {
        "watts": lambda each: (-each.watts, -each.joules, each.key),
        "joules": lambda each: (-each.joules, each.key),
        "phase": lambda each: (each.phase, -each.watts, each.key),
        "workload": lambda each: (each.name.casefold(), each.key),
    }
    return sorted(kept, key=keys[sort])


def rows(shown: Sequence[Workload], hidden_joules: Decimal) -> list[tuple[str, ...]]:
    """The cells of each: workload, phase, watts, energy, GPUs, how sure the phase is, who, and
    why. Energies are in the unit that suits their sum and that of those not shown."""
    parts = [*(each.joules for each in shown), hidden_joules]
    energies, _ = figures.energies([int(joules * UJ_PER_J) for joules in parts])
    return [_row(each, energy) for each, energy in zip(shown, energies, strict=False)]


def _row(workload: Workload, energy: str) -> tuple[str, ...]:
    confidences = [process["verdict"]["confidence"] for process in workload.processes]
    sure = figures.percent(min(confidences)) if confidences else ""
    return (
        workload.name,
        workload.phase,
        f"{workload.watts:,.0f}" if workload.watts >= _MANY_W else f"{workload.watts:.1f}",
        energy,
        ranges(workload.gpus),
        sure,
        workload.who,
        "; ".join(dict.fromkeys(_why(process) for process in workload.processes)),
    )


def details(workload: Workload) -> Iterator[str]:
    """What else is known of it: its processes, with the evidence for their phase."""
    names = ("user", "namespace", "pod", "container", "job")
    place = [
        f"{name} {text}" for name, text in zip(names, workload.labels[1:], strict=True) if text
    ]
    yield f"{workload.name}: {workload.phase}" + (f" · {', '.join(place)}" if place else "")
    yield (
        f"{workload.watts:,.1f} W now, {figures.energy(int(workload.joules * UJ_PER_J))} in all, "
        f"GPU {ranges(workload.gpus) or '–'}"
    )
    yield from _did(workload)
    by_pid: dict[int, list[Json]] = {}
    for process in workload.processes:
        by_pid.setdefault(process["pid"], []).append(process)
    for pid, parts in by_pid.items():
        verdict = parts[0]["verdict"]
        memory = sum(part["memory_bytes"] or 0 for part in parts)
        yield (
            f"pid {pid} on GPU {ranges(part['gpu'] for part in parts)}: "
            f"{sum(part['watts'] for part in parts):,.1f} W, {figures.data(memory or None)}; "
            f"{verdict['phase']}, {figures.percent(verdict['confidence'])} sure "
            f"({verdict['source']}): {_why(parts[0])}"
        )
    if not workload.processes:
        yield "no process of it is on a GPU now"


def _did(workload: Workload) -> Iterator[str]:
    """Tokens, requests, steps, and what one took: of all that it used. Nobody's energy in
    particular, as of while no agent ran, is not divided."""
    said = [
        f"{amount:,} {figures.unit(unit)}"
        + (f" at {figures.per_unit(float(workload.joules) / amount)} each" if amount else "")
        for unit, amount in workload.done.items()
        if unit != UNCOUNTED and workload.phase != "unattributed"
    ]
    gap_ns = workload.done.get(UNCOUNTED, 0)
    if said:
        gap = f"; for {figures.duration(gap_ns)} nobody counted" if gap_ns else ""
        yield f"did {', '.join(said)}{gap}"


def _why(process: Json) -> str:
    return "; ".join(map(printable, process["verdict"]["evidence"])) or "nothing known"


def headline(snapshot: Json, clock: str, sort: str, *, paused: bool) -> str:
    """What the node draws, and what must be known first."""
    draw, budget = snapshot["power_watts"], snapshot["power_budget_watts"]
    said = "not every GPU says" if draw is None else f"{draw:,.0f} W"
    parts = [f"submeter {printable(snapshot['version'])}", said]
    if budget is not None:
        parts[-1] += f" of {budget:,.0f} W"
    up = sum(gpu["up"] for gpu in snapshot["gpus"])
    parts += [f"{up} of {len(snapshot['gpus'])} GPUs", clock, f"by {sort}"]
    return " · ".join([*parts, *(["PAUSED"] if paused else [])])


def warnings(snapshot: Json) -> Iterator[str]:
    """What must be said loudly."""
    if snapshot["notice"]:
        yield printable(snapshot["notice"])
    if snapshot.get("power_budget_doubt"):  # agents of before have no such field
        yield printable(snapshot["power_budget_doubt"])
    if not snapshot["gpus"]:
        yield "No GPU can be read now: `submeter doctor` says why."
    elif not any(gpu["up"] for gpu in snapshot["gpus"]):
        yield "BLIND: no GPU can be read. What stands here is old."


def phase_shares(snapshot: Json) -> list[tuple[str, str]]:
    """What the node's power is used for now: each phase, and its watts and share as text. They
    add up to the whole, nobody's included."""
    found: dict[str, int] = {}
    for account in snapshot["power"]:
        phase = account["phase"]
        found[phase] = found.get(phase, 0) + round(1000 * account["watts"])
    drawn = {phase: power_mw for phase, power_mw in found.items() if power_mw > 0}
    ordered = sorted(drawn, key=lambda phase: (-drawn[phase], phase))
    percents = figures.apportioned([drawn[phase] for phase in ordered], 100)
    return [
        (phase, f"{drawn[phase] / 1000:,.0f} W {share} %")
        for phase, share in zip(ordered, percents, strict=True)
    ]


def gpu_lines(snapshot: Json, past: Mapping[str, Sequence[float]], width: int) -> Iterator[str]:
    """A line for each GPU: power, busy, temperature, the last minutes, who is on it; where there
    is room for it also the limit and how long it was throttled."""
    wide = width >= _WIDE
    room = (width - _FIXED) // 2 if wide else (width - _FIXED_NARROW) // 3
    spark_width = max(_LEAST, min(_MOST, room))
    heads = "GPU      W  of W  busy   °C throttled  " if wide else "GPU      W  busy   °C  "
    yield heads + "power".ljust(spark_width) + " on it"
    for gpu in snapshot["gpus"]:
        line = _gpu_line(gpu, past.get(gpu["uuid"], ()), spark_width, wide=wide)
        yield line if len(line) <= width else line[: width - 1] + "…"


def _gpu_line(gpu: Json, past: Sequence[float], spark_width: int, *, wide: bool) -> str:
    if not gpu["up"]:
        return f"{gpu['gpu']:>3}  not readable: {printable(gpu['down_reason'])}"
    limit = gpu["power_limit_watts"]
    throttled_ns = sum(gpu["throttle_ns"].values())
    throttled = figures.duration(throttled_ns) if throttled_ns else "none"
    cells = [f"{gpu['gpu']:>3}", _cell(gpu["power_watts"], 6)]
    cells += [_cell(limit, 5)] if wide else []
    cells += [_cell(gpu["utilization_percent"], 4, "%"), _cell(gpu["temperature_core_celsius"], 4)]
    cells += [f"{throttled:>9}"] if wide else []
    also = "" if wide or not throttled_ns else f", throttled {throttled}"
    spark = sparkline(past, spark_width, limit)
    return f"{' '.join(cells)}  {spark} {_holders(gpu)}{also}"


def sparkline(values: Sequence[float], width: int, top: float | None) -> str:
    """The newest values as blocks, from nothing to the limit (or the largest value)."""
    shown = list(values)[-width:]
    most = max([top or 0.0, 1.0, *shown])
    blocks = (_LEVELS[min(len(_LEVELS) - 1, int(value / most * len(_LEVELS)))] for value in shown)
    return "".join(blocks).rjust(width)


def share_lines(past: Json) -> Iterator[str]:
    """What a range was used for (docs/api.md, history), by phase, and how that was split."""
    if "error" in past:
        yield f"No history: {printable(past['error'])}"
        return
    phases: dict[str, int] = {}
    for series in past["series"]:
        joules = int(Decimal(series["joules"]) * UJ_PER_J)
        phases[series["phase"]] = phases.get(series["phase"], 0) + joules
    texts, total = figures.energies(list(phases.values()))
    whole = sum(phases.values())
    yield f"Since {figures.duration((past['until_s'] - past['since_s']) * 10**9)}: {total}"
    for (phase, joules), text in zip(phases.items(), texts, strict=True):
        share = joules / whole if whole else 0.0
        yield f"{phase:>13} {text:>14} {100 * share:5.1f} %  {'█' * round(30 * share)}"
    methods = {name: Decimal(each) for name, each in past["joules_by_method"].items()}
    together = sum(methods.values())
    if together:
        ordered = sorted(methods.items(), key=lambda item: -item[1])
        said = ", ".join(f"{100 * part / together:.1f} % {name}" for name, part in ordered if part)
        yield f"How it was split: {said}; the sensor itself: about ±5 %"


def _holders(gpu: Json) -> str:
    names = dict.fromkeys(printable(process["workload"]) for process in gpu["processes"])
    idles = " (held, but idle)" if gpu["held_idle"] else ""
    return f"{', '.join(names)}{idles}" if names else "nobody"


def _cell(value: float | None, width: int, unit: str = "") -> str:
    text = figures.UNKNOWN if value is None else f"{value:,.0f}{unit}"
    return text.rjust(width + len(unit))
