"""Periodic work on absolute deadlines: a job in, its next deadline and its lateness out.

No threads here: `submeter.runtime.lanes` runs jobs in threads on the real clock, `run_until` runs
them one after another on a clock that may be fake.
"""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from submeter.clock import Clock
from submeter.model import Histogram
from submeter.units import NS_PER_MS

if TYPE_CHECKING:
    from submeter.ticking import Ticks

LATENESS_BOUNDS_NS: Final = tuple(
    int(ms * NS_PER_MS) for ms in (0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 1000, 10_000)
)

_NONE_LATE: Final = (0,) * (len(LATENESS_BOUNDS_NS) + 1)

SAMPLE: Final = "sample"
"""The name of the fast jobs: theirs is the lateness that matters."""

_STAGGER_NS: Final = 250 * NS_PER_MS
"""GPUs are spread over slots at least this far apart, and read one after the other inside one. A
wake-up costs far more than a read: after a sleep the caches are cold, and the first read takes
80 µs, the following 12 µs each (`benchmarks/`)."""


class Lateness:
    """Counts how late jobs were started."""

    def __init__(
        self, elsewhere: Callable[[], tuple[Sequence[int], int]] = lambda: (_NONE_LATE, 0)
    ) -> None:
        """``elsewhere``: counts by bound, and the sum in ns, of those that somebody else saw."""
        self._elsewhere = elsewhere
        self._counts = [0] * (len(LATENESS_BOUNDS_NS) + 1)
        self._sum_ns = 0

    def observe(self, late_ns: int) -> None:
        self._counts[bisect_left(LATENESS_BOUNDS_NS, late_ns)] += 1
        self._sum_ns += late_ns

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self._counts) + sum(self._elsewhere()[0])

    def histogram(self) -> Histogram:
        more, more_ns = self._elsewhere()
        counts = tuple([here + there for here, there in zip(self._counts, more, strict=True)])
        return Histogram(LATENESS_BOUNDS_NS, counts, self._sum_ns + more_ns)


class Shared(Protocol):
    """Several owners' job, from the side of whoever finds it stuck."""

    def turn(self) -> tuple[int, int]:
        """Which of the owners it is busy with, by number, and since when (boot time, ns)."""
        ...

    def without(self, owner: str) -> "Job | None":
        """The others' job, for another thread, if it is stuck with ``owner``."""
        ...

    def split(self, owner: str) -> "Job":
        """The same, by a caller who has already ended the round with that one's turn."""
        ...


class Job:
    """Something to do for its owners (GPUs) on a grid of absolute deadlines.

    Deadlines are missed rather than caught up: after a late run the next one is the first grid
    point in the future, and those in between are counted in ``missed``. A run may give the jobs
    that are to take its place.

    With ``ticks``, whoever waits for it may poll its deadlines in C, and run it where they say.
    """

    __slots__ = ("missed", "name", "next_ns", "owners", "period_ns", "run", "shared", "ticks")

    def __init__(
        self,
        name: str,
        owners: tuple[str, ...],
        period_ns: int,
        next_ns: int,
        run: Callable[[int], "Sequence[Job] | None"],
        *,
        shared: Shared | None = None,
    ) -> None:
        self.name = name
        self.owners = owners
        self.period_ns = period_ns
        self.next_ns = next_ns
        self.run = run
        self.shared = shared
        self.ticks: Ticks | None = None
        self.missed = 0

    def turn(self) -> tuple[str, int]:
        """Which of its owners it is busy with while it runs, and since when; 0: since it runs."""
        if self.shared is None:
            return self.owners[0] if self.owners else "", 0
        number, since_ns = self.shared.turn()
        return self.owners[number], since_ns

    def __lt__(self, other: "Job") -> bool:
        return self.next_ns < other.next_ns

    def advance(self, now_ns: int) -> None:
        """Sets the next deadline: the first grid point after now."""
        next_ns = self.next_ns + self.period_ns
        if next_ns <= now_ns:
            skipped = (now_ns - next_ns) // self.period_ns + 1
            self.missed += skipped
            next_ns += skipped * self.period_ns
        self.next_ns = next_ns


def stagger_ns(index: int, count: int, period_ns: int) -> int:
    """Where in a period the ``index``-th of ``count`` equal jobs starts."""
    slots = max(1, min(count, period_ns // _STAGGER_NS))
    return (index % slots) * period_ns // slots


def run_until(
    clock: Clock, jobs: list[Job], until_ns: int, lateness: Lateness | None = None
) -> None:
    """Runs jobs by deadline until boot time ``until_ns``, in this thread, sleeping on ``clock``.
    ``jobs`` is changed where some are replaced.

    On a fake clock this is the whole agent, deterministic and as fast as the code.
    """
    jobs.sort()  # which is a heap
    while jobs and jobs[0].next_ns <= until_ns:
        job = jobs[0]
        while (now_ns := clock.boottime_ns()) < job.next_ns:
            clock.sleep_until(job.next_ns)
        if lateness is not None and job.name == SAMPLE:
            lateness.observe(now_ns - job.next_ns)
        instead = job.run(now_ns)
        if instead is None:
            job.advance(clock.boottime_ns())
            heapq.heapreplace(jobs, job)
        else:
            heapq.heappop(jobs)
            for each in instead:
                heapq.heappush(jobs, each)
    while clock.boottime_ns() < until_ns:
        clock.sleep_until(until_ns)


def count_missed(jobs: Iterable[Job], missed: dict[str, int] | None = None) -> dict[str, int]:
    """Missed deadlines of all jobs, by owner, added to those in ``missed``."""
    missed = {} if missed is None else missed
    for job in jobs:
        for owner in job.owners:
            missed[owner] = missed.get(owner, 0) + job.missed
    return missed


def added(late: Sequence[Histogram]) -> Histogram:
    """Of several who counted, one at least, the sum."""
    counts = tuple([sum(bucket) for bucket in zip(*(one.counts for one in late), strict=True)])
    return Histogram(LATENESS_BOUNDS_NS, counts, sum(one.sum_ns for one in late))
