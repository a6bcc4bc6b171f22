"""A snapshot and a ledger in, what was used since local midnight out.

The ledger is asked once a day for what there was before; the rest is a difference of totals, so it
is as new as the snapshot, and its parts add up as the totals do.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from submeter.errors import SubmeterError
from submeter.footprint.history import read_history
from submeter.footprint.rates import DIVISORS, Factors, Schedule, whole
from submeter.ledger.book import SYNCED_FROM_S
from submeter.model import Phase, Snapshot
from submeter.units import NS_PER_S

Parts = Mapping[tuple[str, Phase], int]
"""µJ by a GPU's UUID and phase."""

Amounts = Mapping[tuple[str, str], int]
"""What energies came to, by kind (`facility_uj`, …) and currency ("" but for costs)."""

_SETTLED_S: Final = 60  # after midnight, until the last rows of yesterday are surely written
_AGAIN_S: Final = 30  # until then, or after the ledger could not be read
_END_S: Final = 1 << 40


class Day(NamedTuple):
    """What was used since ``begin_s``: midnight, or when the ledger began if that was later."""

    begin_s: int
    is_whole: bool  # it begins at midnight
    energy_uj: Parts
    footprint: Amounts


class Before(NamedTuple):
    """What totals were at ``begin_s``."""

    begin_s: int
    energy_uj: Parts
    footprint: Amounts


class Midnight:
    """Owns what is known of the day's beginning. `day` is the server's; the worker reads."""

    def __init__(
        self, directory: Path, worker: Executor, source: Callable[[], Snapshot | None]
    ) -> None:
        self._directory = directory
        self._worker = worker
        self._source = source
        self._asked: tuple[int, int, Future[Before]] | None = None  # midnight, when

    def day(self, snapshot: Snapshot) -> Day | None:
        """Since midnight; None while that is being found out, or can't be."""
        now_s = snapshot.wall_ns // NS_PER_S
        if now_s < SYNCED_FROM_S:
            return None
        begin_s = midnight(now_s)
        began_s = -(-(snapshot.since_wall_ns or 0) // NS_PER_S)
        if began_s > begin_s:
            return since(snapshot, Before(began_s, {}, {}), is_whole=False)
        before = self._before(begin_s, now_s)
        return None if before is None else since(snapshot, before, is_whole=True)

    def _before(self, begin_s: int, now_s: int) -> Before | None:
        if self._asked is None or self._asked[0] != begin_s or self._is_worn(now_s):
            found = self._worker.submit(read, self._directory, begin_s, self._source)
            self._asked = (begin_s, now_s, found)
        _, _, found = self._asked
        return None if not found.done() or found.exception() else found.result()

    def _is_worn(self, now_s: int) -> bool:
        """Whether the answer that there is may be a better one by now."""
        assert self._asked is not None
        begin_s, asked_s, found = self._asked
        if not found.done() or 0 <= now_s - asked_s < _AGAIN_S:
            return False
        return found.exception() is not None or asked_s < begin_s + _SETTLED_S


def since(snapshot: Snapshot, before: Before, *, is_whole: bool) -> Day:
    """A snapshot's totals without those of before."""
    energy_uj: dict[tuple[str, Phase], int] = defaultdict(int)
    for account, total_uj in snapshot.energy_uj.items():
        energy_uj[account.gpu_uuid, account.owner.phase] += total_uj
    for key, part_uj in before.energy_uj.items():
        if key in energy_uj:
            energy_uj[key] -= part_uj
    amounts = _totals(snapshot)
    for name in amounts:
        amounts[name] -= before.footprint.get(name, 0)
    return Day(before.begin_s, is_whole, energy_uj, amounts)


def read(directory: Path, begin_s: int, source: Callable[[], Snapshot | None]) -> Before:
    """What totals were at a moment. Raises StateUnusable where the ledger can't be read.

    Amounts are not in its rows: what the energy since then came to is taken from their totals.
    """
    from submeter.ledger.reader import open_reader

    energy_uj: dict[tuple[str, Phase], int] = defaultdict(int)
    with open_reader(directory) as reader:
        snapshot = source()
        for piece in reader.pieces(0, begin_s):
            for series, part_uj in piece.energy:
                energy_uj[piece.gpu.uuid, series.account.owner.phase] += part_uj
        if snapshot is None or not snapshot.footprint:
            return Before(begin_s, energy_uj, {})
        now_s = snapshot.wall_ns // NS_PER_S
        schedule = Schedule(_factors(directory), begin_s, now_s)
        sums: dict[tuple[str, str], int] = defaultdict(int)
        priced_uj = 0
        for piece in reader.pieces(begin_s, _END_S, schedule.edges):
            _price(sums, schedule, schedule.part(piece.start_s), piece.sum_uj)
            priced_uj += piece.sum_uj
    # What was settled between the last commit and the snapshot, at what is valid now.
    total_uj = sum(snapshot.energy_uj.values()) - sum(energy_uj.values())
    _price(sums, schedule, schedule.part(now_s), total_uj - priced_uj)
    since_then = {name: whole(product, DIVISORS[name[0]]) for name, product in sums.items()}
    totals = _totals(snapshot)
    before = {name: total - since_then.get(name, 0) for name, total in totals.items()}
    return Before(begin_s, energy_uj, before)


def midnight(now_s: int) -> int:
    """When the day of a moment began, by the clock on this machine's wall."""
    local = datetime.fromtimestamp(now_s).astimezone()
    return int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


def _factors(directory: Path) -> Factors:
    try:
        return Factors((read_history(directory).rows,))
    except SubmeterError:
        return Factors()


def _price(sums: dict[tuple[str, str], int], schedule: Schedule, part: int, energy_uj: int) -> None:
    rates = schedule.rates(part)
    for kind, multiplier in rates.multipliers().items():
        sums[kind, rates.currency if kind == "cost_micro" else ""] += energy_uj * multiplier


def _totals(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    """What all energies came to since the ledger began, all phases together."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for (kind, currency, _phase), amount in snapshot.footprint.items():
        sums[kind, currency] += amount
    return sums
