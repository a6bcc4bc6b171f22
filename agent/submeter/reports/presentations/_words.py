"""What a report's figures are called and mean, for people: the same in every presentation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from submeter.model import Method, Phase
from submeter.reports.record import GpuUse, Report
from submeter.units import NS_PER_S
from submeter.web import figures

NAMELESS: Final = "–"
_LEAST_UUID: Final = len("GPU-01234567")


class Word(NamedTuple):
    """A short name and one sentence."""

    name: str
    meaning: str


PHASES: Final[Mapping[Phase, Word]] = {
    Phase.TRAINING: Word("training", "models that learn"),
    Phase.INFERENCE: Word("inference", "models that answer"),
    Phase.OTHER: Word("other", "work that is neither"),
    Phase.UNKNOWN: Word("unknown", "work whose purpose could not be told"),
    Phase.IDLE: Word("idle", "nobody held the GPU"),
    Phase.UNATTRIBUTED: Word("unattributed", "metered, but no honest split exists"),
}

METHODS: Final[Mapping[Method, Word]] = {
    Method.EXCLUSIVE: Word("exclusive", "one holder had the GPU to itself: nothing to split"),
    Method.WEIGHTED: Word("weighted", "shared by SM time × learnt watts per unit of it"),
    Method.PROPORTIONAL: Word("proportional", "shared by SM time alone"),
    Method.MIG: Word("MIG", "shared between the instances of a partitioned GPU"),
    Method.EQUAL: Word("equal", "shared equally: the floor between holders, or no other signal"),
    Method.UNATTRIBUTED: Word("unattributed", "not split: nothing honest to split it by"),
    Method.IDLE: Word("idle", "nobody held the GPU: nothing to split"),
}

LAYERS: Final[Mapping[str, Word]] = {
    "work": Word("work", "what running kernels drew above the floor"),
    "context": Word("context", "extra draw only because a process holds the GPU"),
    "idle_held": Word("floor, held", "the bare board's draw while somebody held it"),
    "idle": Word("floor, nobody", "the bare board's draw while nobody held it"),
    "unattributed": Word("unattributed", "metered, but no honest split exists"),
}

_UNMETERED: Final = {
    "gap": "power was not sampled and no counter covers it",
    "reset": "the counter restarted",
    "lost": "the device could not be read",
}


def period(report: Report) -> str:
    """The stretch of time in words."""
    zone = report.question.zone
    until = zone.local(report.until_s).isoformat(sep=" ", timespec="seconds")
    if report.since_s is None:
        return f"until {until} ({zone.name})"
    since = zone.local(report.since_s).isoformat(sep=" ", timespec="seconds")
    return f"{since} to {until} ({zone.name})"


def gpu_names(report: Report, *, models: bool = True) -> Mapping[str, str]:
    """GPUs as people know them, by UUID; its beginning stays in, since indices change. Their
    models may be left out."""
    uuids = [gpu.uuid for gpu in report.gpus]
    kept = next((size for size in range(_LEAST_UUID, 40) if _tells_apart(uuids, size)), None)
    return {gpu.uuid: _gpu_name(gpu, gpu.uuid[:kept], models=models) for gpu in report.gpus}


def shown_value(key: str, value: str, names: Mapping[str, str]) -> str:
    """A key's value for people."""
    if key == "gpu":
        return names.get(value, value)
    if key == "hour":
        return value.replace("T", " ")
    return value or NAMELESS


def caveats(report: Report) -> Iterator[str]:
    """Everything that limits the figures, and what they cover, a line each."""
    quality = report.quality
    if not quality.exact:
        yield (
            "not exact: these are Prometheus's increase(), extrapolated to the edges of the "
            "period, and without what a series had when it was first scraped; the ledgers of the "
            "agents have the exact figures"
        )
    yield from _coverage(report)
    for reason, energy_uj in quality.suspect_uj.items():
        yield (
            f"suspect: {figures.energy(energy_uj)} ({reason}) the counter moved by more than can "
            "be true; in no figure here"
        )
    if quality.source_uj:
        parts = ", ".join(
            f"{figures.energy(energy_uj)} from {source} power"
            for source, energy_uj in quality.source_uj.items()
        )
        yield f"not from the hardware's energy counter: {parts}"
    if quality.clock_unsynced:
        yield f"{quality.clock_unsynced} stretches of 10 s were metered before the clock was set"
    if quality.blurred_uj:
        yield (
            f"{figures.energy(quality.blurred_uj)} is kept only by longer stretches now and is in "
            "the row in which these begin"
        )
    for problem in quality.problems:
        yield f"missing: {problem}"


def _coverage(report: Report) -> Iterator[str]:
    quality = report.quality
    if quality.metered_ns is not None:
        gpus = len(report.gpus)
        text = f"metered: {figures.duration(quality.metered_ns)} of {gpus} GPU{'s' * (gpus != 1)}"
        if quality.coverage is not None:
            text += f", {_percent(quality.coverage)} of the time since each was first seen"
        yield text
    if quality.unobserved_ns:
        yield (
            f"of that {figures.duration(quality.unobserved_ns)} while no agent watched: the "
            "hardware counter covers it, nobody is charged"
        )
    for reason, time_ns in quality.unmetered_ns.items():
        if time_ns >= NS_PER_S:
            why = _UNMETERED.get(reason, reason)
            yield f"no figure for {figures.duration(time_ns)}: {why}"


def _tells_apart(uuids: Sequence[str], size: int) -> bool:
    return len({uuid[:size] for uuid in uuids}) == len(set(uuids))


def _gpu_name(gpu: GpuUse, uuid: str, *, models: bool) -> str:
    index = "" if gpu.number < 0 else f"{gpu.number} · "
    name = f"{gpu.name} · " if gpu.name and models else ""
    return f"{index}{name}{uuid}"


def _percent(share: float) -> str:
    """Never 100 % for less than all of it."""
    return "100 %" if share == 1 else f"{min(100 * share, 99.99):.2f} %"
