"""A foreign power log to a header and records: what its GPUs are is found in a first pass.

The log has wall times only, so its boot time is invented: it starts at `ORIGIN_NS`. Nothing is
invented beyond that; what a log doesn't have is None in every record.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median_low
from typing import Final, NamedTuple

from submeter import __version__
from submeter.errors import InputError
from submeter.model import Activity, EnergySource, Gauges, GpuInfo, Missing, Reading
from submeter.trace.importers.boards import board_of
from submeter.trace.importers.columns import POWER_FIELDS
from submeter.trace.importers.sample import Notes, Sample
from submeter.trace.records import ActivityRecord, GaugesRecord, Header, ReadingRecord, Record
from submeter.units import NS_PER_S

ORIGIN_NS: Final = 1_000 * NS_PER_S
"""Boot time of an imported log's first sample."""
_STEPS_KEPT: Final = 8_192  # spacings per GPU that the median is taken of
_DISORDER_NS: Final = 10 * NS_PER_S
_SORTABLE: Final = 500_000  # samples of a log that is not in order of time: held in memory
_CLOCKS: Final = ("graphics", "sm", "memory", "video")


@dataclass(slots=True)
class Seen:
    """What the first pass found out about one GPU of a log."""

    labels: dict[str, str]
    first_ns: int
    last_ns: int
    values: Counter[str] = field(default_factory=Counter)  # how often each field had a value
    largest: dict[str, int] = field(default_factory=dict)
    steps_ns: list[int] = field(default_factory=list)
    samples: int = 0


class Survey(NamedTuple):
    """Everything the second pass needs."""

    gpus: dict[str, int]  # key in the log → number
    seen: tuple[Seen, ...]
    first_ns: int
    last_ns: int
    ordered: bool
    draws: tuple[str | None, ...]  # per GPU: which power ``draw`` is; None: not needed


def survey(samples: Iterable[Sample]) -> Survey:
    """Reads a whole log once. Raises InputError for one without any power or energy."""
    seen: dict[str, Seen] = {}
    newest_ns = -1
    ordered = True
    for sample in samples:
        one = seen.get(sample.key)
        if one is None:
            one = seen[sample.key] = Seen({}, sample.time_ns, sample.time_ns)
        _look(one, sample)
        ordered = ordered and sample.time_ns > newest_ns - _DISORDER_NS
        newest_ns = max(newest_ns, sample.time_ns)
    if not any(one.values[name] for one in seen.values() for name in (*POWER_FIELDS, "energy")):
        raise InputError("found no row with a power, expected at least one")
    return Survey(
        gpus={key: number for number, key in enumerate(seen)},
        seen=tuple(seen.values()),
        first_ns=min(one.first_ns for one in seen.values()),
        last_ns=max(one.last_ns for one in seen.values()),
        ordered=ordered,
        draws=tuple(_meaning_of_draw(one) for one in seen.values()),
    )


def header_of(found: Survey, stem: str, importer: str, notes: Notes) -> Header:
    """The header that a native trace of the same log has."""
    start_wall_ns = found.first_ns if notes.dated else 0
    created = datetime.fromtimestamp(start_wall_ns / NS_PER_S, UTC) if notes.dated else None
    return Header(
        start_boottime_ns=ORIGIN_NS,
        start_wall_ns=start_wall_ns,
        gpus=tuple(_gpu(found, number, stem, notes) for number in range(len(found.seen))),
        submeter=__version__,
        backend=f"log ({importer})",
        created=f"{created:%Y-%m-%dT%H:%M:%SZ}" if created else "",
        notice="",
    )


def records(samples: Callable[[], Iterable[Sample]], found: Survey) -> Iterator[Record]:
    """The log as records, in order of time, from a second pass."""
    ordered = samples() if found.ordered else _sorted(samples())
    written: dict[int, tuple[Activity, Gauges]] = {}
    for sample in ordered:
        gpu = found.gpus[sample.key]
        at_ns = sample.time_ns - found.first_ns + ORIGIN_NS
        yield ReadingRecord(gpu, _reading(at_ns, sample, found.draws[gpu]))
        activity, gauges = _activity(at_ns, sample), _gauges(at_ns, sample)
        before = written.get(gpu)
        if before is None or at_ns - before[0].at_ns >= NS_PER_S:
            written[gpu] = (activity, gauges)
            if activity != Activity(at_ns):
                yield ActivityRecord(gpu, activity)
            if gauges != Gauges(at_ns):
                yield GaugesRecord(gpu, gauges)


def _look(one: Seen, sample: Sample) -> None:
    one.labels.update(sample.labels)
    for name, value in sample.values.items():
        one.values[name] += 1
        if value > one.largest.get(name, value - 1):
            one.largest[name] = value
    step_ns = sample.time_ns - one.last_ns
    if step_ns > 0 and len(one.steps_ns) < _STEPS_KEPT:
        one.steps_ns.append(step_ns)
    one.last_ns = sample.time_ns
    one.samples += 1


def _meaning_of_draw(one: Seen) -> str | None:
    """Which power nvidia-smi's ``power.draw`` is on this board; None where a clearer one is logged.

    An unknown board is taken as instantaneous, the weaker claim: it counts less as a source.
    """
    if not one.values["draw"]:
        return None
    averages = board_of(one.labels.get("name", "")).averages
    meaning = "average" if averages else "instant"
    if one.values[meaning] or (averages is None and one.values["average"]):
        return None
    return meaning


def _gpu(found: Survey, number: int, stem: str, notes: Notes) -> GpuInfo:
    one = found.seen[number]
    labels = one.labels
    board = board_of(labels.get("name", ""))
    has = {name for name in ("instant", "average", "energy") if one.values[name]}
    if found.draws[number]:
        has.add(str(found.draws[number]))
    if found.draws[number] and board.averages is None:
        notes.add(
            "which board it is isn't logged, so it isn't known whether power.draw is a 1-s average "
            "(most boards since Ampere) or instantaneous"
        )
    elif one.values["draw"] and not found.draws[number]:
        notes.add("power.draw not used: power.draw.instant or .average say more clearly what it is")
    index = labels.get("index", "")
    return GpuInfo(
        uuid=labels.get("uuid") or f"log-{stem}-{number}",
        index=int(index) if index.isdecimal() and len(index) < 6 else number,
        name=labels.get("name", "unknown"),
        driver=labels.get("driver", ""),
        pci_bus_id=labels.get("pci_bus_id", ""),
        arch=board.arch,
        energy_source=_source(has),
        power_window=labels.get("power_window", "1s" if "average" in has else ""),
        refresh_ns=median_low(one.steps_ns) if one.steps_ns else NS_PER_S,
        refresh_measured=bool(one.steps_ns),
        memory_total_bytes=one.largest.get("memory_total"),
        power_limit_max_mw=_limit(one),
        scope=labels.get("scope", "gpu"),
        missing=_missing(has),
    )


def _limit(one: Seen) -> int | None:
    """The board's, if logged. What is more than one board has none, but a meter that doubts
    power beyond a board's limit must be told that this much was drawn."""
    if one.labels.get("scope", "gpu") == "gpu" or "limit_max" in one.largest:
        return one.largest.get("limit_max")
    return max((one.largest.get(name, 0) for name in POWER_FIELDS), default=None)


def _source(has: set[str]) -> EnergySource:
    if "energy" in has:
        return EnergySource.COUNTER
    if "average" in has:
        return EnergySource.AVERAGE
    return EnergySource.INSTANT if "instant" in has else EnergySource.NONE


def _missing(has: set[str]) -> tuple[Missing, ...]:
    missing = [Missing("processes", "not in the log")]
    if "energy" not in has:
        missing.append(Missing("energy_counter", "not in the log"))
    return tuple(missing)


def _sorted(samples: Iterable[Sample]) -> list[Sample]:
    kept: list[Sample] = []
    for sample in samples:
        kept.append(sample)
        if len(kept) > _SORTABLE:
            raise InputError(
                f"more than {_SORTABLE} rows out of order; sort them by time first",
                line=sample.line,
            )
    kept.sort(key=lambda sample: sample.time_ns)
    return kept


def _reading(at_ns: int, sample: Sample, draw: str | None) -> Reading:
    """The log's times are those of the query, not of the sensor: the driver's stay None."""
    values = sample.values
    drawn = {draw: values["draw"]} if draw and "draw" in values else {}
    return Reading(
        at_ns=at_ns,
        energy_uj=values.get("energy"),
        energy_at_us=None,
        instant_mw=values.get("instant", drawn.get("instant")),
        instant_at_us=None,
        average_mw=values.get("average", drawn.get("average")),
        average_at_us=None,
    )


def _activity(at_ns: int, sample: Sample) -> Activity:
    values = sample.values
    return Activity(at_ns, values.get("utilization"), values.get("memory_used"))


def _gauges(at_ns: int, sample: Sample) -> Gauges:
    values = sample.values
    clocks = ((name, values.get(f"clock.{name}")) for name in _CLOCKS)
    return Gauges(
        at_ns,
        values.get("temperature_core"),
        values.get("temperature_memory"),
        values.get("limit"),
        clocks_hz=tuple((name, value) for name, value in clocks if value is not None),
    )
