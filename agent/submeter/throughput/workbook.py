"""What sources have counted in, entries in the ledger out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final, NamedTuple

from submeter.attribution.split import AGENT_DOWN
from submeter.ledger import DurableLedger, Ledger
from submeter.model import Owner, ProcessKey, WorkServer
from submeter.throughput.meter import MOST_SOURCES, Gain, WorkMeter
from submeter.throughput.source import Heard, Source
from submeter.units import NS_PER_S, UNCOUNTED

_FORGET_NS: Final = 900 * NS_PER_S
"""For so long a job that measures itself may be silent, and a server of before be away."""


class Place(NamedTuple):
    """Where somebody's energy is booked."""

    gpu_uuid: str
    owner: Owner


Places = Mapping[ProcessKey, Place]
"""Everybody who holds a GPU, in the order of the GPUs."""


@dataclass(slots=True)
class _Met:
    """A source that was heard of."""

    last: Heard
    place: Place | None = None


class Workbook:
    """Owns what sources said last. `hear` is for any thread, `book` for the settlement's."""

    def __init__(self, ledger: Ledger | DurableLedger, since_ns: int) -> None:
        self._ledger = ledger
        self._since_ns = since_ns
        self._meter = WorkMeter(since_ns, ledger.marks())
        self._lock = Lock()
        self._waiting: dict[str, Heard] = {}
        self._met: dict[str, _Met] = {}
        self._forget_ns = since_ns + _FORGET_NS

    def hear(self, heard: Heard) -> None:
        """Takes what a source says. Counters hold all that was before, so only the last counts."""
        with self._lock:
            if heard.source.id in self._waiting or len(self._waiting) < MOST_SOURCES:
                before = self._waiting.get(heard.source.id)
                if before is None or heard.counts is not None or before.counts is None:
                    self._waiting[heard.source.id] = heard
                elif heard.gone:  # after what it said last
                    self._waiting[heard.source.id] = before._replace(gone=True)

    def book(self, places: Callable[[], Places], now_ns: int) -> None:
        """Books what was said since the last time. What is nobody's yet waits."""
        if not self._waiting and now_ns < self._forget_ns:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        found = places()
        for name, heard in waiting.items():
            met = self._met.setdefault(name, _Met(heard))
            met.last = heard
            met.place = _place(heard.source, found) or met.place
            if met.place is not None:
                self._take(heard, met.place)
            elif heard.counts is not None and not heard.gone:
                with self._lock:
                    self._waiting.setdefault(name, heard)
            if heard.gone:
                del self._met[name]
        if now_ns >= self._forget_ns:
            self._forget(found, now_ns)

    def servers(self) -> tuple[WorkServer, ...]:
        """How those who are asked do."""
        return tuple(
            WorkServer(
                source.address,
                source.server,
                met.place.owner.workload if met.place is not None else source.workload,
                met.last.counts is not None and met.place is not None,
                met.last.trouble or ("" if met.place is not None else "nobody"),
            )
            for met in list(self._met.values())
            if (source := met.last.source).address
        )

    def _take(self, heard: Heard, place: Place) -> None:
        if heard.counts is not None:
            said = heard._replace(gone=False)
            self._enter(said, place, self._meter.take(said))
        if heard.gone:
            end = heard._replace(counts=None)
            self._enter(end, place, self._meter.take(end))

    def _enter(self, heard: Heard, place: Place, gain: Gain) -> None:
        uuid, owner = place
        done = dict(gain.done)
        if gain.uncounted_ns:
            done[UNCOUNTED] = gain.uncounted_ns
        if done or gain.marks or heard.gone:
            self._ledger.book_work(uuid, owner, done, {heard.source.id: gain.marks})
        if gain.while_down:
            self._ledger.book_work(uuid, AGENT_DOWN, gain.while_down, {})

    def _forget(self, places: Places, now_ns: int) -> None:
        """Jobs that ended say nothing; neither do servers that ended while no agent ran."""
        self._forget_ns = now_ns + _FORGET_NS
        for name, met in list(self._met.items()):
            held = any(key in places for key in met.last.source.holders)
            if not met.last.source.address and not held:
                self._meter.forget(name)
                del self._met[name]
                if met.place is not None:
                    self._ledger.book_work(*met.place, {}, {name: {}})
        place = next(iter(places.values()), None)
        if place is not None:
            for name in self._meter.never_met():
                self._ledger.book_work(*place, {}, {name: {}})
            self._meter.before = {}


def _place(source: Source, places: Places) -> Place | None:
    for key in source.holders:
        if key in places:
            return places[key]
    if source.workload:
        for place in places.values():
            if place.owner.workload == source.workload:
                return place
    return None
