"""Counters of sources in, what was done since out: pure.

A counter of a server is the energy counter of a GPU all over again: it begins at 0 with its
process, may restart, and goes on while nobody looks. So

* what it had when it was first met counts if the agent was there when it began; if the agent
  before this one knew it, what it gained in between was done while no agent ran; else nobody knows,
  and the time in which energy was booked without it is uncounted;
* a counter that fell has restarted: what it has now is new, and what it gained after it was last
  read is lost, so that time is uncounted;
* a source that ended takes with it what it did since it was last read: that time is uncounted;
* more than a machine can do is no work: that time is uncounted, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from submeter.throughput.pages import unit_of
from submeter.throughput.source import Heard, Source
from submeter.units import NS_PER_S

MOST_A_SECOND: Final = 10**8
"""Of any unit: a hundred times what the fastest nodes of MLPerf Inference make, some 10⁵ tokens of
a large language model or 10⁶ small images a second."""

MOST_SOURCES: Final = 512


class Gain(NamedTuple):
    """What was done since the last time, by unit."""

    done: Mapping[str, int]
    while_down: Mapping[str, int]  # while no agent ran
    uncounted_ns: int
    marks: Mapping[str, int]  # to go on from; empty: the source is forgotten


NOTHING: Final = Gain({}, {}, 0, {})


@dataclass(slots=True)
class _Known:
    counts: dict[str, int]
    at_ns: int


@dataclass(slots=True)
class WorkMeter:
    """Owns what every source had counted when it was last booked. Used by one thread."""

    since_ns: int
    """Boot time from which this agent has been metering."""
    before: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What sources had counted when the agent before this one booked them."""
    _known: dict[str, _Known] = field(default_factory=dict)

    def take(self, heard: Heard) -> Gain:
        """What a source did since it was last taken."""
        if heard.gone:
            return self._end(heard.source, heard.at_ns)
        if heard.counts is None:
            return NOTHING
        known = self._known.get(heard.source.id)
        if known is None:
            return self._meet(heard, heard.counts)
        elapsed_ns = max(heard.at_ns - known.at_ns, 0)
        done, fell = _gained(known.counts, heard.counts)
        absurd = _is_absurd(done, elapsed_ns)
        marks = self._keep(heard.source.id, heard.counts, heard.at_ns)
        return Gain({} if absurd else done, {}, elapsed_ns if fell or absurd else 0, marks)

    def _meet(self, heard: Heard, counts: Mapping[str, int]) -> Gain:
        if len(self._known) >= MOST_SOURCES:
            return NOTHING
        source = heard.source
        marks = self._keep(source.id, counts, heard.at_ns)
        before = self.before.get(source.id)
        if before is not None:
            while_down, fell = _gained(before, counts)
            return Gain({}, while_down, self._here_ns(heard) if fell else 0, marks)
        if source.started_ns is not None and source.started_ns >= self.since_ns:
            done, _ = _gained({}, counts)
            elapsed_ns = max(heard.at_ns - source.started_ns, 0)
            if not _is_absurd(done, elapsed_ns):
                return Gain(done, {}, 0, marks)
        return Gain({}, {}, self._here_ns(heard), marks)

    def forget(self, source: str) -> None:
        """It is not expected to be heard of again, and owes nothing."""
        self._known.pop(source, None)

    def never_met(self) -> list[str]:
        """Sources that only the agent before this one knew."""
        return [source for source in self.before if source not in self._known]

    def _here_ns(self, heard: Heard) -> int:
        """For how long this agent has booked energy that the source's work is for."""
        begun_ns = max(self.since_ns, heard.source.started_ns or self.since_ns)
        return max(heard.at_ns - begun_ns, 0)

    def _end(self, source: Source, at_ns: int) -> Gain:
        known = self._known.pop(source.id, None)
        return NOTHING if known is None else Gain({}, {}, max(at_ns - known.at_ns, 0), {})

    def _keep(self, source: str, counts: Mapping[str, int], at_ns: int) -> Mapping[str, int]:
        known = self._known.get(source)
        before = self.before.get(source, {}) if known is None else known.counts
        kept = {**before, **counts}
        self._known[source] = _Known(kept, at_ns)
        return kept


def _is_absurd(done: Mapping[str, int], elapsed_ns: int) -> bool:
    """Whether it is more than a machine can do. A second is given: clocks and pages are rough."""
    return any(n > MOST_A_SECOND * (elapsed_ns / NS_PER_S + 1) for n in done.values())


def _gained(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """What was gained by unit, and whether any counter fell. A model that was loaded since has
    begun at 0; of one that was unloaded nothing is taken back."""
    gained: dict[str, int] = {}
    fell = False
    for name, value in now.items():
        last = before.get(name, 0)
        fell |= value < last
        unit = unit_of(name)
        gained[unit] = gained.get(unit, 0) + (value - last if value >= last else value)
    return {unit: amount for unit, amount in gained.items() if amount}, fell
