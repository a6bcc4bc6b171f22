"""A ledger and a range in, the JSON of ``/api/v1/history`` out: who drew how much when.

Reading happens in a worker that the caller gives: at most one range at a time is read, and an
answer serves everybody who asks for the same within some seconds.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, Future
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from submeter.errors import SubmeterError
from submeter.ledger.book import SYNCED_FROM_S
from submeter.text import printable
from submeter.units import NS_PER_S, decimal
from submeter.web.http import Handler, Request, Response, Stream, text

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
_FRESH_NS: Final = 8 * NS_PER_S
_MICRO: Final = 6

Key = tuple[str, str]  # phase, workload


class History:
    """Owns the answers given lately. `handle` is the server's; the worker only computes."""

    def __init__(self, directory: Path, worker: Executor, wall_ns: Callable[[], int]) -> None:
        self._directory = directory
        self._worker = worker
        self._wall_ns = wall_ns
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
        return Stream(_once(answer), "application/json")

    def _answer(self, name: str, now_s: int) -> bytes:
        try:
            content = read(self._directory, name, now_s)
        except (SubmeterError, OSError) as error:
            content = {"schema": 1, "range": name, "error": printable(str(error))}
        return json.dumps(content, separators=(",", ":")).encode()


def read(directory: Path, name: str, now_s: int) -> dict[str, Any]:
    """The content of an answer. Raises StateUnusable where the ledger can't be read."""
    from submeter.ledger.reader import open_reader

    _, span_s = RANGES[name]
    since_s = now_s - span_s if span_s else _midnight(now_s)
    with open_reader(directory) as reader:
        first_s = min((total.first_s for total in reader.totals()), default=now_s)
        since_s = max(since_s, first_s if first_s >= SYNCED_FROM_S else since_s)
        step_s = next((step for most, step in _STEPS if now_s - since_s <= most), _LONGEST_STEP)
        since_s -= since_s % step_s
        count = max(1, -(-(now_s - since_s) // step_s))
        edges = [since_s + at * step_s for at in range(1, count)]
        sums: dict[Key, list[int]] = defaultdict(lambda: [0] * count)
        methods: dict[str, int] = defaultdict(int)
        metered_ns: list[dict[int, int]] = [defaultdict(int) for _ in range(count)]
        known_ns: list[dict[int, int]] = [defaultdict(int) for _ in range(count)]
        for piece in reader.pieces(since_s, since_s + count * step_s, edges):
            at = min(max((piece.start_s - since_s) // step_s, 0), count - 1)
            metered_ns[at][piece.gpu.id] += piece.metered_ns
            unmetered = (key for key in piece.facts if key.startswith("unmetered."))
            known_ns[at][piece.gpu.id] += piece.metered_ns + sum(piece.facts[k] for k in unmetered)
            for series, energy_uj in piece.energy:
                owner = series.account.owner
                sums[str(owner.phase), owner.workload][at] += energy_uj
                methods[str(series.method)] += energy_uj
        gpus, backend = len(reader.gpus), reader.backend
    return {
        "schema": 1,
        "range": name,
        "backend": backend,
        "since_s": since_s,
        "until_s": now_s,
        "step_s": step_s,
        "gpus": gpus,
        "joules": decimal(sum(map(sum, sums.values())), _MICRO),
        "metered_gpu_s": [round(sum(each.values()) / NS_PER_S, 3) for each in metered_ns],
        "accounted_s": [round(max(each.values(), default=0) / NS_PER_S, 3) for each in known_ns],
        "metered_s": [round(max(each.values(), default=0) / NS_PER_S, 3) for each in metered_ns],
        "joules_by_method": {key: decimal(value, _MICRO) for key, value in methods.items()},
        "series": [_series(key, values) for key, values in _largest(sums, count)],
    }


def _largest(sums: dict[Key, list[int]], count: int) -> list[tuple[Key, list[int]]]:
    """The largest first, all beyond a number folded into one of their phase."""
    ordered = sorted(sums.items(), key=lambda item: (-sum(item[1]), item[0]))
    folded: dict[Key, list[int]] = {}
    for (phase, _), values in ordered[_SERIES:]:
        before = folded.get((phase, "(others)"), [0] * count)
        folded[phase, "(others)"] = [a + b for a, b in zip(before, values, strict=True)]
    return [*ordered[:_SERIES], *folded.items()]


def _series(key: Key, values: list[int]) -> dict[str, Any]:
    phase, workload = key
    return {
        "phase": phase,
        "workload": printable(workload),
        "joules": decimal(sum(values), _MICRO),
        "joules_by_step": [decimal(value, _MICRO) for value in values],
    }


def _midnight(now_s: int) -> int:
    local = datetime.fromtimestamp(now_s).astimezone()
    return int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


async def _once(answer: "Future[bytes]") -> AsyncGenerator[bytes, None]:
    yield await asyncio.shield(asyncio.wrap_future(answer))
