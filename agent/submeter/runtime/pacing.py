"""A lane's jobs with ticks in, the one that is due out: they are polled while the lane waits.

The lane's thread waits in C (`submeter.ticking`), where a tick costs a third; what it finds it
stuck in, and who is given up then, is asked by the guard's thread.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from submeter.sampling.jobs import Job

if TYPE_CHECKING:
    from submeter.ticking import Pacer, Ticks


class PacedJobs:
    """Owns what a lane waits in. `come_first` and `wait` are for its thread, `busy_for_ns` for any;
    the others are called with the lane's lock held."""

    def __init__(self, pacer: "Pacer") -> None:
        self._pacer = pacer
        self._jobs: list[tuple[Job, Ticks]] = []
        self._members: list[tuple[Job, str]] = []  # as the pacer counts them: owners of all jobs

    def come_first(self) -> None:
        """The calling thread runs as soon as it wakes, where it may."""
        self._pacer.come_first()

    def begin(self, jobs: Iterable[Job]) -> bool:
        """Takes on those that have ticks; whether there are any."""
        self._jobs = [(job, job.ticks) for job in jobs if job.ticks is not None]
        self._members = [
            (job, job.owners[number]) for job, ticks in self._jobs for number in ticks.members
        ]
        for job, ticks in self._jobs:
            ticks.state.next_ns = job.next_ns
        return bool(self._jobs)

    def wait(self, until_ns: int) -> "Ticks | None":
        """Polls them; whose round has to be run now, if it is not over for another reason."""
        return self._pacer.wait(tuple([ticks for _, ticks in self._jobs]), until_ns)

    def end(self, jobs: Collection[Job], due: "Ticks | None") -> Job | None:
        """Tells those of the jobs that are still in ``jobs`` how far they are; who is ``due``."""
        found = None
        for job, ticks in self._jobs:
            if any(each is job for each in jobs):
                job.next_ns = ticks.state.next_ns
                job.missed += ticks.state.missed
                ticks.state.missed = 0
                found = job if ticks is due else found
        return found

    def stop(self) -> None:
        """`wait` returns, within a second, and polls nothing more."""
        self._pacer.stop()

    def busy_for_ns(self, now_ns: int) -> tuple[str, int]:
        """Who is polled now and for how long already; ("", 0) between two polls."""
        members = self._members
        number, since_ns = self._pacer.turn()
        if not 0 <= number < len(members):
            return "", 0
        return members[number][1], now_ns - since_ns

    def end_with(self, owner: str) -> Job | None:
        """Ends the wait with the poll of ``owner``, and gives its job; None if that is over."""
        for number, (job, each) in enumerate(self._members):
            if each == owner:
                return job if self._pacer.end_with(number) else None
        return None
