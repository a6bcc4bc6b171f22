"""Identities of GPU holders in, who they are and what for out: the owner of the process state.

Facts are read when somebody is new, again while he is young (a process execs, opens its port or
changes its title late), and every minute while nothing says what he does; a few hundred at a time.
Each posting takes the owner of its moment: what was booked stays as it was booked. Command lines
and environments are dropped as soon as they were judged; what is kept is the verdict and the
labels.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from submeter.model import Owner, Phase, ProcessFacts, ProcessKey, Verdict
from submeter.units import NS_PER_S
from submeter.workloads.labels import Labels
from submeter.workloads.naming import owner
from submeter.workloads.recognise import Judge, recognise
from submeter.workloads.rhythm import Window
from submeter.workloads.rhythm import judge as judge_rhythm

YOUNG_NS: Final = (1 * NS_PER_S, 5 * NS_PER_S, 30 * NS_PER_S)
"""Ages at which everybody is looked at again."""
UNKNOWN_NS: Final = 60 * NS_PER_S
GRACE_NS: Final = 300 * NS_PER_S
_FORGET_NS: Final = 10 * NS_PER_S
AT_ONCE: Final = 256
"""Of those who are there already so many are read again in one observation, at 0.3 ms each: of
thousands who came together not all are due in the same settlement."""
LIMIT: Final = 8192
"""A node's GPUs list at most 950 processes each (NVIDIA's open kernel modules), on 8 GPUs."""


class FactSource(Protocol):
    """The half of a backend's process source that every backend has."""

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """What can be seen of that very process; None if it is gone."""
        ...


@runtime_checkable
class MoreSource(Protocol):
    """Where ports and libraries are too dear to be among the facts."""

    def listen_ports(self, key: ProcessKey) -> tuple[int, ...]:
        """TCP ports on which that very process accepts connections."""
        ...

    def libraries(self, key: ProcessKey) -> tuple[str, ...]:
        """Libraries mapped by that very process that say what it is for."""
        ...

    def writing(self, key: ProcessKey) -> tuple[str, ...]:
        """Kinds of telling files that very process has open for writing."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """Who that is, as judged last. Ages count from when it was first seen."""

    owner: Owner
    verdict: Verdict
    first_ns: int
    due_ns: int | None  # when to look again


class ProcessTable:
    """Everybody seen on a GPU lately, at most ``limit``. One thread."""

    def __init__(
        self,
        source: FactSource,
        *,
        judge: Judge = recognise,
        name: Callable[[ProcessFacts, Verdict], Owner] = owner,
        labels: Labels | None = None,
        grace_ns: int = GRACE_NS,
        limit: int = LIMIT,
    ) -> None:
        self._source = source
        self._judge = judge
        self._name = name
        self._labels = labels
        self._declared: dict[ProcessKey, Seen] = {}  # what holds where a job labelled itself
        self._grace_ns = grace_ns
        self._limit = limit
        self._seen: dict[ProcessKey, Seen] = {}
        self.changes = 0
        """How often somebody became known or another, or was forgotten: what `view` said before is
        still so while this is the same."""
        self._last_ns: dict[ProcessKey, int] = {}  # when each was there last
        self._forget_ns = 0
        self._windows: dict[str, tuple[ProcessKey, Window]] = {}  # by GPU: its only holder
        self._waiting: dict[ProcessKey, None] = {}  # to be asked for their ports, in this order

    def __len__(self) -> int:
        return len(self._seen)

    def observe(self, keys: Iterable[ProcessKey], now_ns: int) -> None:
        """These hold a GPU at boot time ``now_ns``. Reads what is due, forgets who is long gone.

        Who can't be read now is asked for again at the next observation.
        """
        if now_ns >= self._forget_ns:
            self._forget_ns = now_ns + _FORGET_NS
            self._forget(now_ns)
        again = AT_ONCE
        for key in keys:
            seen = self._seen.get(key)
            if seen is None:
                self._admit(key, now_ns)
                continue
            self._last_ns[key] = now_ns
            if again and seen.due_ns is not None and now_ns >= seen.due_ns:
                self._know(key, self._again(key, seen, now_ns))
                again -= 1
        self._ask_one_for_more()
        declared = dict(self._labelled(now_ns))
        self.changes += declared != self._declared
        self._declared = declared

    def view(self, key: ProcessKey) -> Seen | None:
        """Who that is; None if nobody could tell: its energy is then nobody's in particular."""
        return self._declared.get(key) or self._seen.get(key)

    def views(self, keys: Iterable[ProcessKey]) -> list[Seen | None]:
        """The same of many, in their order."""
        if self._declared:
            return [self.view(key) for key in keys]
        return list(map(self._seen.get, keys))

    def feel(self, gpu: str, key: ProcessKey | None, end_ns: int, power_mw: int) -> None:
        """What a GPU drew in an interval that ended then, and who had it to himself (None: nobody,
        or not alone). Where nothing else says what he does, three minutes of it may."""
        held = self._windows.get(gpu)
        if key is None or held is None or held[0] != key:
            self._windows.pop(gpu, None)
            if key is not None:
                held = self._windows[gpu] = (key, Window.empty())
        if key is None or held is None:
            return
        window = held[1]
        window.add(end_ns, power_mw)
        seen = self._seen.get(key)
        if seen is None or seen.verdict.phase is not Phase.UNKNOWN or not window.due(end_ns):
            return
        rhythm = judge_rhythm(window.samples)
        if rhythm.phase is Phase.TRAINING and seen.verdict.source == "none":
            verdict = Verdict(rhythm.phase, rhythm.confidence, (rhythm.evidence,), "recognised")
            owner_ = seen.owner._replace(phase=rhythm.phase)
            self._know(key, replace(seen, owner=owner_, verdict=verdict, due_ns=None))

    def _labelled(self, now_ns: int) -> Iterator[tuple[ProcessKey, Seen]]:
        """Everybody who said something of himself, as he is to be seen now."""
        if self._labels is None:
            return
        for key in self._labels.processes():
            seen = self._seen.get(key)
            label = self._labels.take(key, now_ns)
            if seen is None or label is None:
                continue
            owner_, verdict = seen.owner, seen.verdict
            if label.phase is not None:
                verdict = Verdict(label.phase, 1.0, ("declared by the job itself",), "declared")
                owner_ = owner_._replace(phase=label.phase)
            if label.workload:
                owner_ = owner_._replace(workload=label.workload)
            yield key, replace(seen, owner=owner_, verdict=verdict)

    def _admit(self, key: ProcessKey, now_ns: int) -> None:
        if len(self._seen) >= self._limit:
            return
        facts = self._source.facts(key)
        if facts is None:
            return
        verdict = self._verdict(facts)
        due_ns = _due(0, verdict, now_ns)
        self._know(key, Seen(self._name(facts, verdict), verdict, now_ns, due_ns))
        self._last_ns[key] = now_ns

    def _know(self, key: ProcessKey, seen: Seen) -> None:
        before = self._seen.get(key)
        self._seen[key] = seen
        if before is None or (before.owner, before.verdict) != (seen.owner, seen.verdict):
            self.changes += 1

    def _again(self, key: ProcessKey, seen: Seen, now_ns: int) -> Seen:
        age_ns = now_ns - seen.first_ns
        facts = self._source.facts(key)
        if facts is None or not facts.argv:  # gone, blocked, or a zombie without its memory
            due_ns = _due(age_ns, seen.verdict, seen.first_ns)
            return replace(seen, due_ns=due_ns)
        verdict = self._verdict(facts)
        if verdict.phase is Phase.UNKNOWN and seen.verdict.phase is not Phase.UNKNOWN:
            verdict = seen.verdict  # what was clear stays clear
        due_ns = _due(age_ns, verdict, seen.first_ns)
        return Seen(self._name(facts, verdict), verdict, seen.first_ns, due_ns)

    def _verdict(self, facts: ProcessFacts) -> Verdict:
        verdict = self._judge(facts)
        if verdict.phase is Phase.UNKNOWN:
            self._waiting[facts.key] = None
        return verdict

    def _ask_one_for_more(self) -> None:
        """Ports, libraries and files are looked at only where nothing else says anything, of
        one process at a time: it costs about 10 ms, to stay below a hundredth of a core."""
        source = self._source
        if not self._waiting or not isinstance(source, MoreSource):
            return
        key = next(iter(self._waiting))
        del self._waiting[key]
        seen = self._seen.get(key)
        if seen is None or seen.verdict.phase is not Phase.UNKNOWN:
            return
        ports, libraries = source.listen_ports(key), source.libraries(key)
        writing = source.writing(key)
        facts = source.facts(key) if ports or libraries or writing else None
        if facts is not None and facts.argv:
            verdict = self._judge(
                replace(facts, listen_ports=ports, libraries=libraries, writing=writing)
            )
            self._know(key, replace(seen, owner=self._name(facts, verdict), verdict=verdict))

    def _forget(self, now_ns: int) -> None:
        gone = [key for key, at_ns in self._last_ns.items() if now_ns - at_ns > self._grace_ns]
        self.changes += bool(gone)
        for key in gone:
            del self._last_ns[key]
            self._seen.pop(key, None)
            self._waiting.pop(key, None)


def _due(age_ns: int, verdict: Verdict, first_ns: int) -> int | None:
    """When to look again at somebody of that age."""
    for young_ns in YOUNG_NS:
        if age_ns < young_ns:
            return first_ns + young_ns
    if verdict.phase is not Phase.UNKNOWN:
        return None
    return first_ns + (age_ns // UNKNOWN_NS + 1) * UNKNOWN_NS
