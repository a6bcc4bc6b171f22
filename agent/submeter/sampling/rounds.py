"""Watched GPUs with the same deadlines in, one job out that asks them all.

Right after a sleep the processor's caches are cold: a step costs ten times what it costs in a
loop. So in the moment of a tick each GPU is only asked, by the shortest way that its backend has,
and a few times a second the answers are metered together (`benchmarks/README.md`).
"""

from collections.abc import Callable, Sequence
from typing import Final

from submeter.backends import Backend, Device
from submeter.backends.turns import Poll, TickingPoll, Turns
from submeter.clock import Clock
from submeter.sampling.jobs import SAMPLE, Job, stagger_ns
from submeter.sampling.watch import GpuWatch
from submeter.units import NS_PER_MS, NS_PER_S

TAKE_NS: Final = 500 * NS_PER_MS
"""How long answers may wait to be metered; their energy and their time are the same either way."""
TAKE_SEEN_NS: Final = 100 * NS_PER_MS
"""The same while somebody follows the readings live."""
MOST_WAITING: Final = 16
"""Answers of one GPU that may wait."""
TAKE_TICKED_NS: Final = NS_PER_S
"""How long they may wait where the ticks don't need the interpreter (`submeter.ticking`): taking
them is then all that it is woken for."""
_TAKING_NS: Final = 8_000
"""What taking one answer costs. Those that wait are so few that it is done in half a period."""
_FEWEST_WAITING: Final = 4
_LAGGARDS_NS: Final = 3 * NS_PER_S
"""How long those whose refresh is known wait for the others before they go on without them."""


class Rounds:
    """Makes rounds, and regroups them when more is known of their GPUs."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        seen: Callable[[], bool] = lambda: False,
        *,
        ticking: bool = False,
    ) -> None:
        """``seen``: whether somebody follows the readings live. ``ticking``: the jobs will be run
        by somebody who polls their ticks without them, where the backend can do that."""
        self.backend = backend
        self.clock = clock
        self.seen = seen
        self.ticking = ticking

    def jobs(self, watches: Sequence[GpuWatch], now_ns: int, *, on_grid: bool = False) -> list[Job]:
        """One job for all that share a period and a place in it. ``on_grid``: with those of the
        same period that there are already, instead of from now on."""
        groups: dict[tuple[int, int, bool], list[GpuWatch]] = {}
        for index, watch in enumerate(watches):
            offset_ns = stagger_ns(index, len(watches), watch.period_ns)
            groups.setdefault((watch.period_ns, offset_ns, watch.probing), []).append(watch)
        jobs = []
        for (period_ns, offset_ns, _), members in groups.items():
            # GPUs of one kind share their grid, so that one wake-up serves several.
            start_ns = (now_ns // period_ns + 1) * period_ns if on_grid else now_ns
            next_ns = start_ns + offset_ns
            jobs.append(Round(self, members, period_ns, next_ns).job)
        return jobs


class Round:
    """Some GPUs, read together. `job` is run by one thread; `without` is for another one."""

    def __init__(
        self, rounds: Rounds, watches: Sequence[GpuWatch], period_ns: int, next_ns: int
    ) -> None:
        self._rounds = rounds
        self._watches = tuple(watches)
        self._probing = any(watch.probing for watch in watches)
        self._probe_until_ns: int | None = None
        self._hasty = False
        self._devices: tuple[Device | None, ...] = ()
        self._poll: Poll | None = None
        self._polls = 0
        self._take_ns = 0
        self._turns = Turns(len(watches), rounds.clock.boottime_ns)
        owners = tuple(watch.info.uuid for watch in watches)
        self.job = Job(SAMPLE, owners, period_ns, next_ns, self.run, shared=self)
        for watch in watches:
            watch.on_cut = self._hurry

    def run(self, now_ns: int) -> Sequence[Job] | None:
        """One tick. Gives the jobs that replace this one, if any."""
        turns = self._turns
        turns.begin(now_ns)
        try:
            if now_ns < self._take_ns and not self._hasty and self._poll is not None:
                self._polls += 1
                self._poll(now_ns, turns)
                return None
            self._take(now_ns, turns)
        except IndexError:
            if not turns.disturbed:
                raise
            return None  # the others were taken away meanwhile
        return self._regrouped(now_ns) if self._probing else None

    def turn(self) -> tuple[int, int]:
        """Whose turn it is, by number, and since when."""
        return self._turns.at, self._turns.since_ns

    def without(self, owner: str) -> Job | None:
        """All but the one that it is stuck with, as a job of their own; from then on this round is
        that one's alone. None if it is not stuck with it any more."""
        if not self._turns.end_with(self.job.owners.index(owner)):
            return None
        return self.split(owner)

    def split(self, owner: str) -> Job:
        """The same, once the round has been ended with that one's turn."""
        stuck = self.job.owners.index(owner)
        watches = self._watches
        polls, self._polls = self._waiting_polls(), 0
        since_ns = self._turns.since_ns
        self._watches = (watches[stuck],)
        self._devices, self._poll, self.job.ticks = (), None, None
        self._turns = Turns(1, self._rounds.clock.boottime_ns)
        self._turns.since_ns = since_ns
        self.job.owners = (owner,)
        others = [watch for watch in watches if watch is not watches[stuck]]
        job = self.job
        rest = Round(self._rounds, others, job.period_ns, job.next_ns + job.period_ns)
        rest._polls = polls
        rest.job.missed = job.missed  # each of them missed as many
        return rest.job

    def _hurry(self) -> None:
        """Somebody's interval ends now: at the next tick, whatever waits is metered."""
        self._hasty = True
        ticks = self.job.ticks
        if ticks is not None:
            ticks.state.hasty = 1

    def _waiting_polls(self) -> int:
        """How many ticks have polled what waits."""
        ticks = self.job.ticks
        return self._polls + (0 if ticks is None else ticks.state.polls)

    def _take(self, now_ns: int, turns: Turns) -> None:
        polls, self._polls = self._waiting_polls(), 0
        ticks = self.job.ticks
        if ticks is not None:
            ticks.state.polls = ticks.state.hasty = 0
        self._hasty = False
        # What was polled at this tick already is not asked again.
        tick_ns = now_ns if ticks is not None and ticks.state.tick_ns == now_ns else None
        polls -= tick_ns is not None
        watches, close_ns = self._watches, (now_ns // TAKE_TICKED_NS + 1) * TAKE_TICKED_NS
        for number in iter(turns.next, None):
            turns.at, turns.since_ns = number, now_ns
            watch = watches[number]
            watch.sample(now_ns if tick_ns is None else tick_ns, polls)
            now_ns = turns.boottime_ns()
            close_ns = min(close_ns, watch.next_close_ns)
        self._renew_poll(watches)
        self._take_ns = min(now_ns + self._patience_ns(), close_ns)
        if self.job.ticks is not None:
            self.job.ticks.state.take_ns = self._take_ns

    def _patience_ns(self) -> int:
        if self._probing:
            return 0
        period_ns, ticks = self.job.period_ns, self.job.ticks
        waits_ns, most = TAKE_NS, MOST_WAITING
        if ticks is not None:
            waits_ns = TAKE_TICKED_NS
            fitting = period_ns // 2 // (_TAKING_NS * len(ticks.members))
            most = min(max(fitting, _FEWEST_WAITING), ticks.room)
        if self._rounds.seen():
            waits_ns = TAKE_SEEN_NS
        return min(waits_ns, most * period_ns) - period_ns // 2

    def _renew_poll(self, watches: Sequence[GpuWatch]) -> None:
        """Whoever is down is not asked; whoever came back may be another device."""
        devices = tuple(watch.device if watch.up else None for watch in watches)
        if self._poll is None or devices != self._devices:
            self._devices = devices
            self._poll = self._rounds.backend.poller(devices)
            self.job.ticks = None
            if self._rounds.ticking and not self._probing and isinstance(self._poll, TickingPoll):
                self.job.ticks = self._poll.ticks()
                self.job.ticks.state.period_ns = self.job.period_ns

    def _regrouped(self, now_ns: int) -> Sequence[Job] | None:
        """New rounds, once the refresh of all is known, or of those that can be read."""
        waiting = [watch for watch in self._watches if watch.probing]
        if len(waiting) == len(self._watches):
            return None
        if self._probe_until_ns is None:
            self._probe_until_ns = now_ns + _LAGGARDS_NS
        if any(watch.up for watch in waiting) and now_ns < self._probe_until_ns:
            return None
        jobs = self._rounds.jobs(self._watches, self._rounds.clock.boottime_ns(), on_grid=True)
        for job in jobs:
            job.missed = self.job.missed
        return jobs
