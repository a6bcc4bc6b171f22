"""A ledger and a range in, the JSON of ``/api/v1/history`` out: who drew how much when, and what
splitting leaves open of it.

Reading happens in a worker that the caller gives: at most one range at a time is read, and an
answer serves everybody who asks for the same within some seconds.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qs

from submeter.errors import SubmeterError
from submeter.ledger.book import SYNCED_FROM_S
from submeter.ledger.pieces import Piece
from submeter.model import Component, Phase, Snapshot
from submeter.text import printable
from submeter.units import NS_PER_S, decimal
from submeter.web import doubt
from submeter.web.http import Handler, Request, Response, Stream, text
from submeter.web.midnight import midnight

if TYPE_CHECKING:
    from submeter.ledger.reader import Reader

RANGES: Final = {
    "15m": ("15 min", 900),
    "1h": ("1 h", 3_600),
    "6h": ("6 h", 6 * 3_600),
    "24h": ("24 h", 86_400),
    "today": ("since midnight", 0),
    "7d": ("7 d", 7 * 86_400),
    "30d": ("30 d", 30 * 86_400),
}
"""What can be asked for: its name for people, and how many seconds; 0: since local midnight."""

_STEPS: Final = (
    (1_200, 10),
    (2 * 3_600, 60),
    (8 * 3_600, 300),
    (36 * 3_600, 900),
    (8 * 86_400, 3_600),
)
"""Up to so many seconds, in steps of so many: what the ledger's own rows give cheaply."""
_LONGEST_STEP: Final = 6 * 3_600
_SERIES: Final = 24  # the others are one
_OTHERS: Final = "(others)"
_FRESH_NS: Final = 8 * NS_PER_S
_MICRO: Final = 6
_JSON: Final = "application/json"
_ROW_S: Final = 10  # the ledger's shortest rows
_END_S: Final = 1 << 40

Key = tuple[Phase, str]  # phase, workload


class History:
    """Owns the answers given lately. `handle` is the server's; the worker only computes."""

    def __init__(
        self,
        directory: Path,
        worker: Executor,
        wall_ns: Callable[[], int],
        source: Callable[[], Snapshot | None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._worker = worker
        self._wall_ns = wall_ns
        self._source = source
        self._asked: dict[str, tuple[int, Future[bytes]]] = {}

    def handler(self) -> Handler:
        """What answers requests."""
        return self._handle

    def _handle(self, request: Request) -> Response | Stream:
        name = parse_qs(request.query).get("range", ["1h"])[0]
        if name not in RANGES:
            return text(f"range must be one of {', '.join(RANGES)}", 400)
        now_ns = self._wall_ns()
        begun_ns, answer = self._asked.get(name, (0, None))
        if answer is None or (answer.done() and not 0 <= now_ns - begun_ns < _FRESH_NS):
            answer = self._worker.submit(self._answer, name, now_ns // NS_PER_S)
            self._asked[name] = (now_ns, answer)
        if answer.done() and not answer.exception():
            return Response(answer.result(), _JSON, headers=(("Cache-Control", "no-store"),))
        return Stream(_once(answer), _JSON, brief=True)

    def _answer(self, name: str, now_s: int) -> bytes:
        try:
            content = read(self._directory, name, now_s, self._source())
        except (SubmeterError, OSError) as error:
            content = {"schema": 1, "range": name, "error": printable(str(error))}
        return json.dumps(content, separators=(",", ":")).encode()


def read(
    directory: Path, name: str, now_s: int, snapshot: Snapshot | None = None
) -> dict[str, Any]:
    """The content of an answer. Raises StateUnusable where the ledger can't be read."""
    from submeter.ledger.reader import open_reader

    with open_reader(directory) as reader:
        began_s = (snapshot.since_wall_ns or 0) // NS_PER_S if snapshot else 0
        span = _span(reader, name, now_s, began_s)
        tally = _Tally(span)
        for piece in reader.pieces(span.since_s, span.end_s, span.edges):
            tally.add(piece)
        gpus, backend = len(reader.gpus), reader.backend
        open_uj = {} if snapshot is None else _open(reader, snapshot, tally)
    steps, sums = span.steps, tally.sums
    return {
        "schema": 1,
        "range": name,
        "backend": backend,
        "since_s": span.since_s,
        "until_s": now_s,
        "step_s": span.step_s,
        "gpus": gpus,
        "joules": decimal(sum(map(sum, sums.values())), _MICRO),
        "metered_gpu_s": [_seconds(sum(each.values())) for each in tally.metered_ns],
        "accounted_s": [_seconds(max(each.values(), default=0)) for each in tally.known_ns],
        "metered_s": [_seconds(max(each.values(), default=0)) for each in tally.metered_ns],
        "joules_by_method": {key: decimal(uj, _MICRO) for key, uj in tally.methods.items()},
        "open_joules_by_phase": _joules(doubt.of_phases(open_uj)),
        "series": [
            _series(key, values, workloads.get(key, None if key[1] == _OTHERS else 0.0))
            for workloads in [doubt.of_workloads(open_uj)]
            for key, values in _largest(sums, steps)
        ],
    }


class _Span(NamedTuple):
    """The steps of a range."""

    since_s: int
    step_s: int
    steps: int

    @property
    def end_s(self) -> int:
        return self.since_s + self.steps * self.step_s

    @property
    def edges(self) -> list[int]:
        return [self.since_s + at * self.step_s for at in range(1, self.steps)]

    def step_of(self, moment_s: int) -> int:
        return min(max((moment_s - self.since_s) // self.step_s, 0), self.steps - 1)


def _span(reader: "Reader", name: str, now_s: int, began_s: int) -> _Span:
    """It begins no earlier than the ledger does, whose oldest rows may be of hours by now."""
    _, span_s = RANGES[name]
    since_s = now_s - span_s if span_s else midnight(now_s)
    first_s = min((total.first_s for total in reader.totals()), default=now_s)
    since_s = max(since_s, began_s, first_s if first_s >= SYNCED_FROM_S else since_s)
    step_s = next((step for most, step in _STEPS if now_s - since_s <= most), _LONGEST_STEP)
    since_s -= since_s % step_s
    return _Span(since_s, step_s, max(1, -(-(now_s - since_s) // step_s)))


class _Tally:
    """Owns the sums of a range, by step."""

    def __init__(self, span: _Span) -> None:
        self._span = span
        self.sums: dict[Key, list[int]] = defaultdict(lambda: [0] * span.steps)
        self.methods: dict[str, int] = defaultdict(int)
        self.metered_ns: list[dict[int, int]] = [defaultdict(int) for _ in range(span.steps)]
        self.known_ns: list[dict[int, int]] = [defaultdict(int) for _ in range(span.steps)]
        self.split_uj: dict[doubt.Share, int] = defaultdict(int)

    def add(self, piece: Piece) -> None:
        """What one GPU used in a part of a step."""
        at = self._span.step_of(piece.start_s)
        self.metered_ns[at][piece.gpu.id] += piece.metered_ns
        unmetered = (key for key in piece.facts if key.startswith("unmetered."))
        self.known_ns[at][piece.gpu.id] += piece.metered_ns + sum(piece.facts[k] for k in unmetered)
        for series, energy_uj in piece.energy:
            owner = series.account.owner
            self.sums[owner.phase, owner.workload][at] += energy_uj
            self.methods[str(series.method)] += energy_uj
        _add_split(self.split_uj, piece)


def _add_split(split_uj: dict[doubt.Share, int], piece: Piece) -> None:
    """The work whose split was estimated."""
    for series, energy_uj in piece.energy:
        uuid, _, component, owner = series.account
        if series.method in doubt.SPLIT and component is Component.DYNAMIC:
            split_uj[doubt.Share(uuid, owner.phase, owner.workload)] += energy_uj


def _open(reader: "Reader", snapshot: Snapshot, tally: _Tally) -> dict[doubt.Share, float | None]:
    """The errors of what a range has; from those since the agent started."""
    if not tally.split_uj:
        return {}
    since_start_uj: dict[doubt.Share, int] = defaultdict(int)
    started_s = snapshot.started_wall_ns // NS_PER_S
    for piece in reader.pieces(started_s - started_s % _ROW_S, _END_S):
        _add_split(since_start_uj, piece)
    return doubt.scaled(doubt.errors(snapshot), since_start_uj, tally.split_uj)


def _largest(sums: dict[Key, list[int]], count: int) -> list[tuple[Key, list[int]]]:
    """The largest first, all beyond a number folded into one of their phase."""
    ordered = sorted(sums.items(), key=lambda item: (-sum(item[1]), item[0]))
    folded: dict[Key, list[int]] = {}
    for (phase, _), values in ordered[_SERIES:]:
        before = folded.get((phase, _OTHERS), [0] * count)
        folded[phase, _OTHERS] = [a + b for a, b in zip(before, values, strict=True)]
    return [*ordered[:_SERIES], *folded.items()]


def _series(key: Key, values: list[int], error_uj: float | None) -> dict[str, Any]:
    phase, workload = key
    return {
        "phase": str(phase),
        "workload": printable(workload),
        "joules": decimal(sum(values), _MICRO),
        "joules_by_step": [decimal(value, _MICRO) for value in values],
        "open_joules": _twice(error_uj),
    }


def _joules(errors_uj: Mapping[Phase, float | None]) -> dict[str, str | None]:
    return {str(phase): _twice(error_uj) for phase, error_uj in errors_uj.items()}


def _twice(error_uj: float | None) -> str | None:
    return None if error_uj is None else decimal(round(doubt.TIMES * error_uj), _MICRO)


def _seconds(time_ns: int) -> float:
    return round(time_ns / NS_PER_S, 3)


async def _once(answer: "Future[bytes]") -> AsyncGenerator[bytes, None]:
    yield await asyncio.shield(asyncio.wrap_future(answer))
