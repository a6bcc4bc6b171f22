"""Servers on this node in, how much work they have done out: the thread that asks them.

every interval   asks each server that is known for its page, one after the other
now and then     looks where servers listen: when others hold the GPUs than before, soon where
                 no port tells anything yet, else every five minutes
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from submeter.clock import Clock
from submeter.config import Config
from submeter.errors import InputError
from submeter.model import ProcessFacts, ProcessKey, ProcessView, Verdict
from submeter.throughput.asking import address, ask
from submeter.throughput.finding import Found, Processes, find, servers_on
from submeter.throughput.pages import NotCounted, parse
from submeter.throughput.source import Heard, Source
from submeter.throughput.workbook import Workbook
from submeter.units import NS_PER_S
from submeter.workloads.lineage import lineage, shares_network

_log = logging.getLogger(__name__)

LOOK_NS: Final = 300 * NS_PER_S
LOOK_SOON_NS: Final = 30 * NS_PER_S
MOST_SERVERS: Final = 64
_MOST_TRIES: Final = 5  # doublings of the time until a port that told nothing is asked again
_STOP_S: Final = 0.5

Look = Callable[[list[ProcessKey]], Iterable[Found]]
"""From recognised servers on GPUs to the ports at which they may tell what they did."""


@dataclass(slots=True)
class _Target:
    found: Found
    source: Source
    server: str = ""  # what kind; "" until it has told anything
    tries: int = 0  # without success, in a row
    due_ns: int = 0


class WorkWatch:
    """Owns the thread. What it learns goes to the workbook."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        views: Callable[[], Iterable[ProcessView]],
        workbook: Workbook,
        look: Look | None = None,
    ) -> None:
        """``look`` is None where servers can't be found. Raises InputError for an address that
        can't be asked."""
        section = config.throughput
        self._interval_ns = round(section.interval_s * NS_PER_S)
        self._timeout_ns = round(section.timeout_s * NS_PER_S)
        self._clock = clock
        self._views = views
        self._workbook = workbook
        self._look = look if section.discover else None
        self._targets = {each.source.id: _Target(each, each.source) for each in configured(config)}
        self._holders: list[ProcessKey] = []
        self._look_ns = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="throughput", daemon=True)

    @property
    def needed(self) -> bool:
        """Whether there is anybody to ask, or to look for."""
        return bool(self._targets) or self._look is not None

    def start(self) -> None:
        """Begins to ask."""
        if self.needed:
            self._thread.start()

    def stop(self) -> None:
        """Asks no more. A question that is open is not waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def run(self) -> None:
        """Looks and asks once, as far as it is time to."""
        if self._look is not None:
            self._find(self._look)
        for target in list(self._targets.values()):
            if target.due_ns <= self._clock.boottime_ns() and not self._stopping.is_set():
                self._ask(target)

    def _main(self) -> None:
        while not self._stopping.wait(self._interval_ns / NS_PER_S):
            self.run()

    def _find(self, look: Look) -> None:
        now_ns = self._clock.boottime_ns()
        holders = servers_on(self._views())
        if holders == self._holders and now_ns < self._look_ns:
            return
        self._holders = holders
        found = {each.source.id: each for each in look(holders)} if holders else {}
        for name, target in list(self._targets.items()):
            if target.found.listener is not None and name not in found:
                self._end(target, now_ns)
        for name, each in found.items():
            if name in self._targets:
                target = self._targets[name]
                target.source = each.source._replace(server=target.server)
            elif len(self._targets) < MOST_SERVERS:
                self._targets[name] = _Target(each, each.source)
        known = any(target.server for target in self._targets.values())
        self._look_ns = now_ns + (LOOK_NS if known or not holders else LOOK_SOON_NS)

    def _ask(self, target: _Target) -> None:
        try:
            content = ask(target.found.address, self._timeout_ns, self._clock.boottime_ns)
            page = parse(content)
        except NotCounted as error:
            self._failed(target, error)
            return
        now_ns = self._clock.boottime_ns()
        target.due_ns = now_ns
        if not target.server or target.tries:
            _log.info("%s (%s) tells how much it does", target.found.address, page.server)
        target.server, target.tries = page.server, 0
        before = target.source
        target.source = self._now(target, page.started_s, now_ns)
        if target.source.id != before.id:
            self._workbook.hear(Heard(before, now_ns, gone=True))
        self._workbook.hear(Heard(target.source, now_ns, page.counts))

    def _now(self, target: _Target, started_s: int | None, now_ns: int) -> Source:
        """A configured server is another one when its process is."""
        source = target.source._replace(server=target.server)
        if target.found.listener is not None or started_s is None:
            return source
        offset_ns = self._clock.wall_ns() - now_ns
        started_ns = started_s * NS_PER_S - offset_ns
        name = f"{target.found.source.id} {started_s}"
        return source._replace(id=name, started_ns=started_ns)

    def _failed(self, target: _Target, error: NotCounted) -> None:
        now_ns = self._clock.boottime_ns()
        is_known = target.server or target.found.listener is None
        wait_ns = self._interval_ns
        if not is_known:
            wait_ns <<= min(target.tries, _MOST_TRIES)
        target.due_ns = now_ns + wait_ns // 2  # the next round is a little late at most
        if is_known:
            if not target.tries:
                _log.warning("%s does not tell how much it does: %s", target.found.address, error)
            self._workbook.hear(Heard(target.source, now_ns, None, error.reason))
        target.tries += 1

    def _end(self, target: _Target, now_ns: int) -> None:
        del self._targets[target.found.source.id]
        if target.server:
            self._workbook.hear(Heard(target.source, now_ns, gone=True))


def configured(config: Config) -> Iterator[Found]:
    """The servers that the configuration names. Raises InputError."""
    for workload, texts in (config.throughput.servers or {}).items():
        for url in texts.split():
            try:
                where = address(url)
            except InputError as error:
                raise config.error("throughput.servers", str(error)) from error
            yield Found(Source(url, (), workload, None, str(where)), where)


def looking(processes: Processes, judge: Callable[[ProcessFacts], Verdict]) -> Look:
    """Looks in /proc, as of now."""
    return lambda holders: find(holders, processes, lineage(), judge, shares_network)
