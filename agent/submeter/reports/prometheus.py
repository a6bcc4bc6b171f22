"""A server with Prometheus's API and a question in, the report of a whole fleet out.

Energies are ``increase()`` of the agents' counters: extrapolated by the server to the edges of the
period, so close and never exact; rows still sum to the total, which is their sum. What could not be
asked is named, and the rest is kept as a partial report.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import isfinite
from typing import Final, NamedTuple, TypeVar

from submeter.errors import InputError, SubmeterError
from submeter.footprint.rates import Schedule
from submeter.ledger.pieces import Piece
from submeter.ledger.records import Gpu, Series
from submeter.model import Account, Component, Method, Owner, Phase
from submeter.reports._server import PATIENCE_S, Answer, QueryFailed, Server, Value, server
from submeter.reports.calendar import UNITS, Bucket, bucket_unit, buckets
from submeter.reports.question import Question
from submeter.reports.record import Origin, Quality, Report
from submeter.reports.tally import Tally
from submeter.reports.work import Cell, Used, workloads
from submeter.units import NS_PER_S, UJ_PER_J, UNCOUNTED, is_unit

DEFAULT_S: Final = 86_400
"""How far back is asked where the question doesn't say."""

ENERGY: Final = "submeter_energy_joules_total"
METHODS: Final = "submeter_attribution_energy_joules_total"
_VARYING: Final = (
    "No carbon, water or cost: factors change in this period, and the metrics have no energy by "
    "factor. Ask a ledger, or sum the agents' own counters."
)
_POINTS: Final = 500  # of one query; servers refuse 11,000, and answers grow with them
_OWNER: Final = ("phase", "workload", "user", "namespace", "pod", "container", "job")
_ALWAYS: Final = ("gpu", "uuid", "phase", "workload", "component")

E = TypeVar("E", Phase, Component, Method)


def from_prometheus(
    url: str,
    question: Question,
    now_s: int,
    progress: Callable[[float], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> Report:
    """What a server says. Raises InputError for what it can't be asked, and SubmeterError, with
    the query that failed, where it answered nothing."""
    until_s = now_s if question.until_s is None else question.until_s
    since_s = until_s - DEFAULT_S if question.since_s is None else question.since_s
    found = _buckets(question, since_s, until_s)
    schedule = Schedule(question.factors, since_s, until_s)
    constant = bool(question.factors.layers) and not schedule.edges
    tally = Tally(question, found, schedule if constant else None)
    asking = _Asking(server(url, patience_s))
    _count(tally, _Energy(question), found or [_whole(since_s, until_s)], asking, progress)
    work = workloads(*_work(tally, asking, since_s, until_s))
    origin, quality = _rest(tally, asking, since_s, until_s)
    if schedule.edges:
        origin = replace(origin, notes=(*origin.notes, _VARYING))
    report = tally.report(origin, quality, now_s, since_s, until_s)
    if "method" not in question.by:
        return replace(report, work=work)
    nothing: dict[Phase, int] = {}  # this counter doesn't say who
    return replace(report, phase_uj=nothing, layers_uj={}, workloads=(), timeline=())


@dataclass(slots=True)
class _Asking:
    """Owns what went wrong."""

    server: Server
    problems: list[str] = field(default_factory=list)
    gone: bool = False

    def get(self, what: str, ask: Callable[[], Answer]) -> list[Value] | None:
        """The values; None where there are none because it failed."""
        if self.gone:
            self.problems.append(f"{what}: not asked, since the server can't be reached")
            return None
        try:
            answer = ask()
        except QueryFailed as error:
            self.gone = error.gone
            self.problems.append(f"{what}: {error}")
            return None
        self.problems += [f"{what}: the server warns: {each}" for each in answer.warnings]
        odd = [value for value in answer.values if not isfinite(value.number)]
        if odd:
            self.problems.append(f"{what}: {len(odd)} values are no numbers")
        return [value for value in answer.values if isfinite(value.number)]


class _Run(NamedTuple):
    """Stretches of one length that follow one another: one query."""

    length_s: int
    buckets: Sequence[Bucket]


@dataclass(slots=True)
class _Energy:
    """Owns the series as they become known."""

    question: Question
    series: dict[tuple[str, ...], Series] = field(default_factory=dict)
    gpus: dict[str, Gpu] = field(default_factory=dict)

    def expression(self, length_s: int) -> str:
        asked = [key for key in self.question.by if key not in UNITS]
        if "method" in asked:
            return f"sum by (gpu, uuid, method) (increase({METHODS}[{length_s}s]))"
        labels = ", ".join(dict.fromkeys((*_ALWAYS, *asked)))
        return f"sum by ({labels}) (increase({ENERGY}[{length_s}s]))"

    def piece(self, value: Value, bucket: Bucket) -> Piece:
        labels = value.labels
        key = tuple(labels.get(name, "") for name in (*_ALWAYS, *_OWNER, "method"))
        uuid = labels.get("uuid", "")
        if uuid not in self.gpus:
            number = labels.get("gpu", "")
            position = int(number) if number.isascii() and number.isdigit() else -1
            self.gpus[uuid] = Gpu(len(self.gpus), uuid, "", "", position)
        gpu = self.gpus[uuid]
        if key not in self.series:
            self.series[key] = _series(len(self.series), gpu, value)
        energy = ((self.series[key], round(value.number * UJ_PER_J)),)
        return Piece(gpu, bucket.start_s, bucket.end_s, energy)


def _series(number: int, gpu: Gpu, value: Value) -> Series:
    labels = value.labels
    phase = _named(Phase, labels.get("phase", ""), Phase.UNKNOWN)
    owner = Owner(phase, *(labels.get(name, "") for name in _OWNER[1:]))
    component = _named(Component, labels.get("component", ""), Component.DYNAMIC)
    method = _named(Method, labels.get("method", ""), Method.UNATTRIBUTED)
    return Series(number, gpu.id, Account(gpu.uuid, "", component, owner), method)


def _named(kind: type[E], name: str, otherwise: E) -> E:
    return kind(name) if name in {str(each) for each in kind} else otherwise


def _buckets(question: Question, since_s: int, until_s: int) -> list[Bucket]:
    others = set(question.by) - {"gpu", "method", *UNITS}
    if "method" in question.by and others:
        raise InputError(
            "--by: the metrics have the method by gpu and time only; "
            f"leave out {', '.join(sorted(others))}, or ask a ledger"
        )
    unit = bucket_unit(question.unit, since_s, until_s, timeline=question.timeline)
    return [] if unit is None else buckets(unit, since_s, until_s, question.zone)


def _whole(since_s: int, until_s: int) -> Bucket:
    return Bucket(since_s, until_s, "", "", "")


def _runs(found: Sequence[Bucket]) -> Iterator[_Run]:
    for length_s, group in groupby(found, key=lambda bucket: bucket.end_s - bucket.start_s):
        same = list(group)
        for at in range(0, len(same), _POINTS):
            yield _Run(length_s, same[at : at + _POINTS])


def _count(
    tally: Tally,
    energy: _Energy,
    found: Sequence[Bucket],
    asking: _Asking,
    progress: Callable[[float], None] | None,
) -> None:
    """Asks for all stretches. Raises SubmeterError where not one query was answered."""
    runs = list(_runs(found))
    answered = 0
    for at, (length_s, stretches) in enumerate(runs):
        expression = energy.expression(length_s)
        first_s, last_s = stretches[0].end_s, stretches[-1].end_s
        where = tally.question.zone.local(first_s - length_s).isoformat(timespec="minutes")
        what = f"{expression} from {where} on, {len(stretches)} × {length_s} s"

        def ask(
            text: str = expression,
            first_s: int = first_s,
            last_s: int = last_s,
            step: int = length_s,
        ) -> Answer:
            if first_s == last_s:
                return asking.server.at(text, first_s)
            return asking.server.over(text, first_s, last_s, step)

        values = asking.get(what, ask)
        answered += values is not None
        for value in values or ():
            index = min(round((value.at_s - first_s) / length_s), len(stretches) - 1)
            tally.add(energy.piece(value, stretches[max(index, 0)]))
        if progress is not None:
            progress((at + 1) / len(runs))
    if not answered:
        raise SubmeterError(f"{asking.server.base}: {asking.problems[0]}")


def _rest(tally: Tally, asking: _Asking, since_s: int, until_s: int) -> tuple[Origin, Quality]:
    """How good the figures are, and whose: each of it may be missing."""
    stretch = f"[{until_s - since_s}s]"

    def ask(expression: str) -> list[Value]:
        return _at(asking, expression, until_s)

    def sums(metric: str, label: str, scale: int) -> dict[str, int]:
        found = ask(f"sum by ({label}) (increase({metric}{stretch}))")
        return {
            value.labels.get(label, ""): round(value.number * scale)
            for value in found
            if value.number
        }

    methods = sums(METHODS, "method", UJ_PER_J)
    suspect = sums("submeter_suspect_energy_joules_total", "reason", UJ_PER_J)
    unmetered = sums("submeter_unmetered_seconds_total", "reason", NS_PER_S)
    info = ask(f"group by (uuid, name) (last_over_time(submeter_gpu_info{stretch}))")
    _name(tally, {value.labels.get("uuid", ""): value.labels.get("name", "") for value in info})
    builds = ask(f"group by (backend) (last_over_time(submeter_build_info{stretch}))")
    backends = sorted({value.labels.get("backend", "") for value in builds})
    notes = []
    if not tally.gpus():
        notes.append(f"The server has no {ENERGY} in this period.")
    if len(backends) > 1:
        notes.append(f"Agents with different backends are summed up here: {', '.join(backends)}.")
    quality = Quality(
        exact=False,
        method_uj={
            _named(Method, name, Method.UNATTRIBUTED): part for name, part in methods.items()
        }
        or None,
        suspect_uj=suspect,
        unmetered_ns=unmetered,
        problems=tuple(asking.problems),
    )
    return Origin(
        "prometheus", "several" if len(backends) > 1 else "".join(backends), tuple(notes)
    ), quality


def _work(
    tally: Tally, asking: _Asking, since_s: int, until_s: int
) -> tuple[list[Cell], list[Used]]:
    """How much was done, by phase and workload, and what these used."""
    cells = []
    for metric, label, unit_of, scale in _DONE:
        labels = f"phase, workload, {label}" if label else "phase, workload"
        expression = f"sum by ({labels}) (increase({metric}[{until_s - since_s}s]))"
        for value in _at(asking, expression, until_s):
            found = value.labels
            unit = unit_of(found.get(label, ""))
            if value.number and (is_unit(unit) or unit == UNCOUNTED):
                series = _whole_owner(found.get("phase", ""), found.get("workload", ""))
                cells.append(Cell(0, series, unit, round(value.number * scale)))
    used = [
        Used(0, _whole_owner(phase, use.workload), energy_uj)
        for use in tally.workloads()
        for phase, energy_uj in use.energy_uj.items()
    ]
    return cells, used


def _at(asking: _Asking, expression: str, until_s: int) -> list[Value]:
    return asking.get(expression, lambda: asking.server.at(expression, until_s)) or []


def _whole_owner(phase: str, workload: str) -> Series:
    owner = Owner(_named(Phase, phase, Phase.UNKNOWN), workload)
    return Series(0, 0, Account("", "", Component.DYNAMIC, owner), Method.EXCLUSIVE)


_KINDS: Final = {"prompt": "prompt_tokens", "generation": "generation_tokens", "": "tokens"}
_DONE: Final[tuple[tuple[str, str, Callable[[str], str], int], ...]] = (
    ("submeter_tokens_total", "kind", lambda kind: _KINDS.get(kind, ""), 1),
    ("submeter_requests_total", "", lambda _: "requests", 1),
    ("submeter_work_units_total", "unit", lambda unit: unit, 1),
    ("submeter_work_uncounted_seconds_total", "", lambda _: UNCOUNTED, NS_PER_S),
)
"""Metric, label that says of which unit, unit of its value, scale of the number."""


def _name(tally: Tally, names: dict[str, str]) -> None:
    known = [Gpu(0, use.uuid, "", names.get(use.uuid, ""), use.number) for use in tally.gpus()]
    tally.know(known)
