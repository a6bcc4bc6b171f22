"""Jobs in, threads that run them out; a job that hangs never holds up another GPU's.

A lane is one thread that runs many GPUs' jobs, since a wake-up costs more than a read. Its
weakness, one driver call that does not return (45 s and more have been seen), is met by the
guard: when a lane has been inside one job for too long, all jobs of other owners move to a fresh
lane, and the stuck thread keeps only the stuck GPU's. That GPU stays in a lane of its own, so there
is at most one stuck thread per GPU and pace. Once no call has been slow for long, all lanes end and
their GPUs share threads again (`part`, `collect`), since each lane has a wake-up of its own to pay.
How long that is doubles each time, so that a GPU that hangs now and then, for years, delays others
by `STUCK_NS` + `GUARD_PERIOD_NS` a handful of times.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final

from submeter.clock import Clock
from submeter.model import Histogram
from submeter.runtime.pacing import PacedJobs
from submeter.sampling.jobs import (
    LATENESS_BOUNDS_NS,
    SAMPLE,
    Job,
    Lateness,
    added,
    count_missed,
)
from submeter.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from submeter.ticking import Busy, Guard, Library

STUCK_NS: Final = 100 * NS_PER_MS
GUARD_PERIOD_NS: Final = 400 * NS_PER_MS
_GUARDED_NS: Final = 10 * NS_PER_S
_NEVER_NS: Final = (1 << 63) - 1
HUNG_NS: Final = 2 * NS_PER_S
"""A device whose call has lasted this long is reported as down until the call returns."""


class Lane:
    """One thread and the jobs it runs. All methods may be called from any thread."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        jobs: Iterable[Job],
        crash: Callable[[BaseException], None],
        functions: "Library | None" = None,
    ) -> None:
        """``functions``: with which jobs with `Job.ticks` are polled."""
        self.name = name
        self.fast = name.startswith(SAMPLE)
        self.lateness = Lateness()
        self.places: tuple[int, ...] = ()  # where it notes since when it is busy
        self._paced: PacedJobs | None = None
        self._noted: Busy | None = None
        if functions is not None:
            self._be_paced(functions)
        self._clock = clock
        self._crash = crash
        self._lock = threading.Lock()
        self._jobs: list[Job] = list(jobs)
        self._due: list[Job] = []  # of this wake-up, still to be run, last one first
        self.stopping = False
        self._busy: tuple[Job, int] | None = None
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _be_paced(self, functions: "Library") -> None:
        from submeter.ticking import Busy, Pacer

        self._noted = Busy()
        self.places = (self._noted.place,)
        if self.fast:
            pacer = Pacer(functions, LATENESS_BOUNDS_NS)
            self.lateness = Lateness(pacer.late)
            self.places += (pacer.busy,)
            self._paced = PacedJobs(pacer)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks the lane to end; `join` waits for it."""
        self.stopping = True
        if self._paced is not None:
            self._paced.stop()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended within the time."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def left(self) -> bool:
        """Whether it was stopped and has ended."""
        return self.stopping and not self._thread.is_alive()

    def jobs(self) -> list[Job]:
        with self._lock:
            return list(self._jobs)

    def busy_for_ns(self, now_ns: int) -> tuple[str, int]:
        """Whose job runs now and for how long already; ("", 0) between jobs."""
        busy = self._busy
        if busy is None:
            return ("", 0) if self._paced is None else self._paced.busy_for_ns(now_ns)
        owner, since_ns = busy[0].turn()
        return owner, now_ns - max(since_ns, busy[1])

    def give_up_others(self, owner: str) -> list[Job]:
        """Lets go of every job that is not ``owner``'s, if it is still ``owner`` that holds the
        lane up; they are the caller's now."""
        with self._lock:
            if self._busy is not None:
                stuck = self._busy[0]
                if stuck.turn()[0] != owner:
                    return []
                ended = False
            elif self._paced is None or (found := self._paced.end_with(owner)) is None:
                return []
            else:
                stuck, ended = found, True
                self._paced.end(self._jobs, None)
            others = [job for job in self._jobs if owner not in job.owners]
            if stuck.shared is not None and len(stuck.owners) > 1:
                shared = stuck.shared
                rest = shared.split(owner) if ended else shared.without(owner)
                if rest is None:
                    return []
                others.append(rest)
            self._jobs = [job for job in self._jobs if owner in job.owners]
            self._due = [job for job in self._due if owner in job.owners]
        return others

    def _main(self) -> None:
        paced = self._paced
        if paced is not None:
            paced.come_first()
        try:
            while not self.stopping and self._jobs:
                self._run_due(self._wait() if paced is None else self._wait_polling(paced))
        except BaseException as error:
            self._crash(error)
            raise

    def _wait(self) -> int:
        """Sleeps until something is due, and notes what is; the time then.

        Little is done between waking up and the first read: after a sleep the caches are cold,
        and each step costs ten times what it costs in a benchmark.
        """
        clock = self._clock
        with self._lock:
            next_ns = min([job.next_ns for job in self._jobs])
            # The last is taken first; each leaves the list before it runs.
            self._due = [job for job in self._jobs if job.next_ns == next_ns]
            self._due.reverse()
        while (now_ns := clock.boottime_ns()) < next_ns:
            clock.sleep_until(next_ns)
            if self.stopping:
                break
        return now_ns

    def _wait_polling(self, paced: PacedJobs) -> int:
        """`_wait`, while which the jobs with ticks are polled."""
        with self._lock:
            polled = paced.begin(self._jobs)
            others_ns = [job.next_ns for job in self._jobs if job.ticks is None]
        if not polled:
            return self._wait()
        ticks = paced.wait(min(others_ns, default=_NEVER_NS))
        with self._lock:
            due = paced.end(self._jobs, ticks)
        if due is None or ticks is None:
            return self._wait()  # for somebody else, or for a GPU that was stuck
        self._due = [due]
        return int(ticks.state.tick_ns)

    def _run_due(self, now_ns: int) -> None:
        boottime_ns, lock, observe = self._clock.boottime_ns, self._lock, self.lateness.observe
        noted = self._noted
        if noted is not None:
            noted.since(now_ns)
        while True:
            with lock:
                if not self._due or self.stopping:
                    self._busy = None
                    break
                job = self._due.pop()
                self._busy = (job, now_ns)
            if self.fast:
                observe(now_ns - job.next_ns)
            instead = job.run(now_ns)
            now_ns = boottime_ns()
            if instead is None:
                job.advance(now_ns)
            else:
                self._replace(job, instead)
        if noted is not None:
            noted.since(0)

    def _replace(self, job: Job, instead: Iterable[Job]) -> None:
        with self._lock:
            self._jobs = [each for each in self._jobs if each is not job]
            self._jobs.extend(instead)


class Lanes:
    """All lanes and the guard that splits them. Owned by the runtime's main thread."""

    def __init__(
        self,
        clock: Clock,
        crash: Callable[[BaseException], None],
        functions: "Library | None" = None,
    ) -> None:
        """``functions``: of `submeter.ticking`, where there are any."""
        self._clock = clock
        self._crash = crash
        self._functions = functions
        self._lanes: list[Lane] = []  # never changed, only replaced
        self._changing = threading.Lock()
        self._past = Lateness().histogram()  # of lanes that were collected, as the missed ticks are
        self._past_missed: dict[str, int] = {}
        self._calm_since_ns: int | None = None
        self._stopping = threading.Event()
        self._waker: Guard | None = None
        self._guard = threading.Thread(target=self._watch, name="guard", daemon=True)

    def start(self, **jobs_by_lane: Iterable[Job]) -> None:
        """Starts one lane per keyword and the guard over all of them."""
        self.add(**jobs_by_lane)
        self._guard.start()

    def add(self, **jobs_by_lane: Iterable[Job]) -> None:
        """Starts further lanes, beside those that run."""
        for name, jobs in jobs_by_lane.items():
            self._add(name, jobs)

    def lanes(self) -> list[Lane]:
        return list(self._lanes)

    def jobs(self) -> list[Job]:
        return [job for lane in self.lanes() for job in lane.jobs()]

    def lateness(self) -> Histogram:
        """How late the fast jobs were, over all fast lanes that there were."""
        with self._changing:
            late = [lane.lateness.histogram() for lane in self._lanes if lane.fast]
            return added([self._past, *late])

    def missed(self) -> dict[str, int]:
        """Missed deadlines by owner, of all jobs that there were."""
        with self._changing:
            return count_missed(self.jobs(), dict(self._past_missed))

    def runs(self) -> int:
        """How many fast jobs were begun; stands still where none of them returns."""
        return sum(self.lateness().counts)

    def busy_owners(self) -> set[str]:
        """Owners inside a call right now."""
        now_ns = self._clock.boottime_ns()
        return {owner for lane in self.lanes() if (owner := lane.busy_for_ns(now_ns)[0])}

    def hung(self, now_ns: int) -> set[str]:
        """Owners inside a call that should have returned long ago."""
        busy = (lane.busy_for_ns(now_ns) for lane in self.lanes())
        return {owner for owner, duration_ns in busy if duration_ns > HUNG_NS}

    def stop(self, timeout_s: float) -> bool:
        """Stops every lane; whether all ended in time. A stuck one is left behind (a daemon)."""
        self._stopping.set()
        if self._waker is not None:
            self._waker.look()
        with self._changing:  # from now on none is added
            lanes = self._lanes
        return _end(lanes, self._clock, timeout_s)

    def calm_for_ns(self, now_ns: int) -> int:
        """For how long no call has been slow, where one was and jobs have been apart since."""
        since_ns = self._calm_since_ns
        return 0 if since_ns is None else now_ns - since_ns

    def part(self, timeout_s: float, *, fast: bool) -> None:
        """Has all lanes of that pace end after what they do now, and waits for it. `collect` then
        says whose jobs nobody runs any more."""
        self._calm_since_ns = None
        _end([lane for lane in self.lanes() if lane.fast is fast], self._clock, timeout_s)

    def collect(self, *, fast: bool) -> list[str]:
        """Whose jobs of that pace have no lane any more, since `part`; each is told once. One whose
        call didn't return in time comes later, when it has."""
        with self._changing:
            left = [lane for lane in self._lanes if lane.fast is fast and lane.left()]
            self._lanes = [lane for lane in self._lanes if lane not in left]
            for lane in left:
                count_missed(lane.jobs(), self._past_missed)
                self._past = added([self._past, lane.lateness.histogram()])
        return list(dict.fromkeys(o for lane in left for job in lane.jobs() for o in job.owners))

    def _add(self, name: str, jobs: Iterable[Job]) -> None:
        lane = Lane(name, self._clock, jobs, self._crash, self._functions)
        with self._changing:
            if self._stopping.is_set():
                return
            self._lanes = [*self._lanes, lane]
            lane.start()
        if self._waker is not None:
            self._waker.look()

    def _watch(self) -> None:
        clock, waker = self._clock, self._guarding()
        while not self._stopping.is_set():
            if waker is None or waker.wait(self._places, clock.boottime_ns() + _GUARDED_NS):
                self._split(clock.boottime_ns())
                # Not Event.wait: that costs twice as much, five times a second for years.
                clock.sleep_until(clock.boottime_ns() + GUARD_PERIOD_NS)

    def _guarding(self) -> "Guard | None":
        """What wakes the guard only where there is something to do."""
        if self._functions is not None:
            from submeter.ticking import Guard

            self._waker = Guard(self._functions, GUARD_PERIOD_NS, STUCK_NS)
        return self._waker

    def _places(self) -> list[int]:
        return [place for lane in self.lanes() for place in lane.places]

    def _split(self, now_ns: int) -> None:
        for lane in self.lanes():
            owner, duration_ns = lane.busy_for_ns(now_ns)
            if duration_ns > STUCK_NS and not self._stopping.is_set():
                others = lane.give_up_others(owner)
                if others or self._calm_since_ns is not None:
                    self._calm_since_ns = now_ns
                if others:
                    self._add(f"{lane.name}'", others)
                    return  # whatever else is stuck can wait


def _end(lanes: Collection[Lane], clock: Clock, timeout_s: float) -> bool:
    """Whether all ended in time."""
    deadline_ns = clock.boottime_ns() + int(timeout_s * NS_PER_S)
    for lane in lanes:
        lane.stop()
    ended = True
    for lane in lanes:
        left_ns = max(0, deadline_ns - clock.boottime_ns())
        ended &= lane.join(left_ns / NS_PER_S)
    return ended
