"""A round of GPUs that are asked one after the other: whose turn it is, and whose comes no more.

One thread goes through the round; another one, which finds it stuck in somebody's turn, can take
away those who are still to come. Neither waits for the other: the turns are handed out by a deque,
of which each is taken once.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from submeter.ticking import Ticks


class Polled(Protocol):
    """A device, from this side."""

    def poll(self, now_ns: int) -> None:
        """Asks its sensors; never raises."""
        ...


class Turns:
    """Who of ``count`` is to come, and who has the turn, since when. For one round at a time."""

    __slots__ = ("_order", "_todo", "at", "boottime_ns", "disturbed", "next", "since_ns")

    def __init__(self, count: int, boottime_ns: Callable[[], int]) -> None:
        self._order: tuple[int | None, ...] = (*range(count), None)
        self._todo: deque[int | None] = deque()
        self.next = self._todo.popleft
        """The next one's number, None at the end. IndexError where the rest was taken away; then
        `disturbed` is set."""
        self.boottime_ns = boottime_ns
        self.disturbed = False
        """Whether `end_with` was ever called: then an IndexError may be the rest being gone. Never
        taken back, as whoever begins a round can't know whether the other one is still at it."""
        self.at = 0
        """Who has the turn; set by whoever calls `next`."""
        self.since_ns = 0

    def begin(self, now_ns: int) -> None:
        """All are to come."""
        self._todo.clear()
        self._todo.extend(self._order)
        self.since_ns = now_ns

    def end_with(self, stuck: int) -> bool:
        """Ends the round with ``stuck``'s turn, from another thread; False, and nothing is changed,
        if that turn is over already."""
        self.disturbed = True
        rest = []
        while True:
            try:
                rest.append(self._todo.popleft())
            except IndexError:
                break
        after = rest[0] if rest else -1
        is_last = stuck + 2 == len(self._order)
        if self.at == stuck and after == (None if is_last else stuck + 1):
            return True
        # It went on meanwhile. If it saw the empty deque, it skipped those once: a missed tick.
        self._todo.extend(rest)
        return False


Poll = Callable[[int, Turns], None]
"""Polls, from a boot time on, each device of a round that has its turn."""


class TickingPoll(ABC):
    """A `Poll` that can be done without the interpreter as well."""

    @abstractmethod
    def __call__(self, now_ns: int, turns: Turns) -> None:
        """The poll itself."""

    @abstractmethod
    def ticks(self) -> "Ticks":
        """The same devices, for `submeter.ticking.Pacer`."""


def one_by_one(devices: Sequence[Polled | None]) -> Poll:
    """Any devices' `Poll`. None has no turn."""

    def poll(now_ns: int, turns: Turns) -> None:
        for number in iter(turns.next, None):
            turns.at, turns.since_ns = number, now_ns
            device = devices[number]
            if device is not None:
                device.poll(now_ns)
            now_ns = turns.boottime_ns()

    return poll
