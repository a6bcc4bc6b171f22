"""What jobs said of themselves in, the label of a process in force at a settlement out.

A job may change its phase many times between two settlements; a settlement books to the one that
held longest since the settlement before. Shared between the thread that listens and the one that
settles.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple

from submeter.model import Phase, ProcessKey

PER_USER: Final = 64
"""Processes that one user may have labelled at a time."""
LIMIT: Final = 4096


class Label(NamedTuple):
    """What a process is said to be; None and "" where nothing is said."""

    phase: Phase | None = None
    workload: str = ""


@dataclass(slots=True)
class _Said:
    uid: int
    workload: str = ""
    phase: Phase | None = None
    since_ns: int = 0
    spent_ns: dict[Phase | None, int] = field(default_factory=dict)

    def pass_time(self, now_ns: int) -> None:
        self.spent_ns[self.phase] = self.spent_ns.get(self.phase, 0) + now_ns - self.since_ns
        self.since_ns = now_ns


class Labels:
    """Owns what was said. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._said: dict[ProcessKey, _Said] = {}
        self._by_user: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._said)

    def say(
        self,
        key: ProcessKey,
        uid: int,
        now_ns: int,
        *,
        phase: Phase | None = None,
        workload: str | None = None,
        keep_phase: bool = False,
    ) -> bool:
        """Notes it; False where that user, or everybody, has labelled too many processes."""
        with self._lock:
            said = self._said.get(key)
            if said is None:
                if self._by_user[uid] >= PER_USER or len(self._said) >= LIMIT:
                    return False
                said = self._said[key] = _Said(uid, since_ns=now_ns)
                self._by_user[uid] += 1
            if not keep_phase:
                said.pass_time(now_ns)
                said.phase = phase
            if workload is not None:
                said.workload = workload
            return True

    def take(self, key: ProcessKey, now_ns: int) -> Label | None:
        """What held longest since it was asked last; None if nothing was ever said of it."""
        with self._lock:
            said = self._said.get(key)
            if said is None:
                return None
            said.pass_time(now_ns)
            longest = max(said.spent_ns, key=lambda phase: said.spent_ns[phase])
            said.spent_ns.clear()
            return Label(longest, said.workload)

    def processes(self) -> tuple[ProcessKey, ...]:
        """Everybody of whom something was said."""
        with self._lock:
            return tuple(self._said)

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """These are gone."""
        with self._lock:
            for key in keys:
                said = self._said.pop(key, None)
                if said is not None:
                    self._by_user[said.uid] -= 1
                    if not self._by_user[said.uid]:
                        del self._by_user[said.uid]
