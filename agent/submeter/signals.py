"""One GPU's utilisation calls in, what the split of its intervals needs out, learning on the way.

A call's percents are of the time since the call before; the power of just that time is the
movement of the energy counter between the first readings from these calls on. Those may be a second
in coming, since readings are taken in rounds: who worked is known at once, learning waits for them.
"""

import logging
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final, NamedTuple

from submeter.attribution import Party, Programs, Sharing, dynamic_uj, instance_time
from submeter.model import Activity, Floors, Interval, Owner, ProcessKey, Reading, Usage
from submeter.sampling.watch import Batch, GpuWatch, Held
from submeter.units import NS_PER_MS, NS_PER_S, PJ_PER_UJ

_log = logging.getLogger(__name__)

GIVEN_UP: Final = "SM time alone says who used what until more is seen"
_STALE_NS: Final = 10 * NS_PER_S
"""The driver's ring of utilisation samples is that long; older shares say nothing."""
_GONE_NS: Final = 2 * _STALE_NS
_LONGEST_NS: Final = 3 * NS_PER_S
_SHORTEST_NS: Final = NS_PER_S // 2
_BRIEFEST_NS: Final = 300 * NS_PER_MS
"""Between two utilisation calls: the counter steps every 20–100 ms, the ring every 140."""
_PATIENCE: Final = 8  # calls: a device that is gone doesn't answer any more
_PPM_PER_PERCENT: Final = 10_000
_SM_PER_VIDEO: Final = 10
"""Time of an encoder or decoder counts as a tenth of SM time until it is learnt what it draws: an
assumption, since nobody publishes a measurement. They are engines beside the SMs (NVENC Application
Note), and utilisation of the SMs, and of the GPU, doesn't have them in it."""

_NOBODY: Final = Usage()

OwnerOf = Callable[[ProcessKey | None], Owner]


class _SmTime(NamedTuple):
    """SM time since the last settlement, in percent · ns, and of how long: by PID or, on a
    partitioned GPU, by GPU instance and times its slices."""

    by_pid: dict[int, int]
    by_instance: dict[int, int]
    elapsed_ns: int
    at_ns: int
    video: bool = False  # time of video engines is in it

    def of(self, held: Sequence[Held], met: Container[int]) -> tuple[list[int], int]:
        """Of each holder, and of those that never were known as holders: who was, and is gone, did
        its work before it went."""
        if self.by_instance:
            times = instance_time([one.holder.mig for one in held], self.by_instance)
            return list(times.holders), times.foreign
        used = [self.by_pid.get(one.holder.pid, 0) for one in held]
        return used, sum(time for pid, time in self.by_pid.items() if pid not in met)


class _Call(NamedTuple):
    """A utilisation call that is still to be learnt from."""

    at_ns: int | None  # None: its reading is the right one
    reading: Reading | None
    elapsed_ns: int
    shares: dict[ProcessKey | None, float]
    floors: Floors | None
    exact: bool


class Signals:
    """Who worked how long on one GPU, and what a unit of it drew. One thread."""

    def __init__(
        self, board: str, programs: Programs, shown: Callable[[Owner], Owner] = lambda owner: owner
    ) -> None:
        self.sharing = Sharing(board, programs, shown)
        self._sm_time: _SmTime | None = None
        self._before: Reading | None = None
        self._waiting: deque[_Call] = deque()
        self._busy: Activity | None = None
        self._met: dict[int, int] = {}  # PIDs of holders, and when they were last there
        self._list: tuple[Held, ...] | None = None
        self._meet_ns = 0

    def take(self, watch: GpuWatch, now_ns: int, floors: Floors | None, owner_of: OwnerOf) -> None:
        """All utilisation calls since the last settlement. Without a new one the last one stands
        in, for as long as the driver's own ring is long. ``floors`` None: the board was never
        seen quiet while it was held."""
        held = watch.held or ()
        self._meet(held, now_ns, owner_of)
        by_pid: dict[int, int] = {}
        by_instance: dict[int, int] = {}
        elapsed_ns, video = 0, False
        while watch.batches:
            batch = watch.batches.popleft()
            elapsed_ns += batch.elapsed_ns
            video = video or _is_video(batch)
            of_batch = _sm_time(batch, now_ns)
            for total, more in ((by_pid, of_batch.by_pid), (by_instance, of_batch.by_instance)):
                for number, used in more.items():
                    total[number] = total.get(number, 0) + used
            self._notice(batch)
            self._waiting.append(self._call(batch, of_batch, held, floors))
        self._learn(watch)
        if elapsed_ns:
            self._sm_time = _SmTime(by_pid, by_instance, elapsed_ns, now_ns, video)
        elif self._sm_time is not None and now_ns - self._sm_time.at_ns > _STALE_NS:
            self._sm_time = None

    def _meet(self, held: tuple[Held, ...], now_ns: int, owner_of: OwnerOf) -> None:
        """Who is there: looked at when the list is another, which it is every few seconds."""
        if held is self._list and now_ns < self._meet_ns:
            return
        self._list, self._meet_ns = held, now_ns + _STALE_NS
        for one in held:
            self._met[one.holder.pid] = now_ns
        if len(self._met) > len(held):
            self._met = {pid: at for pid, at in self._met.items() if now_ns - at < _GONE_NS}
        self.sharing.present({one.key: owner_of(one.key) for one in held if one.key is not None})

    def usage(
        self, interval: Interval, held: tuple[Held, ...] | None, floors: Floors, owner_of: OwnerOf
    ) -> Usage | None:
        """Who held the GPU during the interval, and by what to split its work."""
        if held is None:
            return None
        sm_time = self._sm_time
        if not held and (sm_time is None or not sm_time.by_pid):
            return _NOBODY
        owners = tuple([owner_of(one.key) for one in held])
        migs = tuple([one.holder.mig for one in held])
        usage = Usage(holders=owners, mig=migs if any(migs) else ())
        if sm_time is None:
            return usage
        if any(migs) != bool(sm_time.by_instance):
            return usage  # the GPU was partitioned, or made whole, since
        used, foreign = sm_time.of(held, self._met)
        if len(held) < 2 and not foreign:
            return usage
        worked = {i: time for i, time in enumerate(used) if time}
        parties = {i: Party(held[i].key, owners[i], migs[i]) for i in worked}
        weights, foreign_weight = self._weights(interval, parties, worked, foreign, floors)
        return Usage(
            holders=owners,
            sm_time=worked,
            foreign_sm_time=foreign,
            mig=usage.mig,
            weights=weights,
            foreign_weight=foreign_weight,
        )

    def alone(
        self,
        interval: Interval,
        held: tuple[Held, ...] | None,
        percent: int | None,
        floors: Floors,
    ) -> None:
        """Learns from an interval with one holder; ``percent``: the GPU's utilisation in it."""
        duration_ns = interval.end_ns - interval.start_ns
        whole = interval.observed and duration_ns >= _SHORTEST_NS and floors.idle_mw
        if not whole or not held or len(held) != 1 or percent is None:
            return
        (one,) = held
        if one.key is not None:
            watts = dynamic_uj(interval, floors) * 1000 / duration_ns
            self.sharing.alone(one.key, percent / 100, watts)

    def activity(self, watch: GpuWatch) -> Activity | None:
        """What the driver says of the GPU's utilisation; on a partitioned GPU, where it says
        nothing of the whole, that of the busiest instance. A video engine that works is not in
        what it says, but no quiet either."""
        activity = watch.activity
        if activity is None or activity.utilization_percent or not self._busy:
            return activity
        return self._busy if activity.at_ns - self._busy.at_ns < _STALE_NS else activity

    def _notice(self, batch: Batch) -> None:
        self._busy = None
        if batch.reading is None:
            return
        if batch.instances:
            most_ppm = max(instance.sm_ppm for instance in batch.instances)
            self._busy = Activity(batch.reading.at_ns, -(-most_ppm // _PPM_PER_PERCENT))
        elif _is_video(batch):
            self._busy = Activity(batch.reading.at_ns, 1)

    def _call(
        self, batch: Batch, sm_time: _SmTime, held: tuple[Held, ...], floors: Floors | None
    ) -> _Call:
        """Who worked which share of the time."""
        used, foreign = sm_time.of(held, self._met)
        shares: dict[ProcessKey | None, float] = {}
        for one, time in zip(held, used, strict=True):
            if time:
                share = time / batch.elapsed_ns / 100
                shares[one.key] = shares.get(one.key, 0.0) + share
        if foreign:
            shares[None] = shares.get(None, 0.0) + foreign / batch.elapsed_ns / 100
        exact = bool(batch.instances)
        return _Call(batch.at_ns, batch.reading, batch.elapsed_ns, shares, floors, exact)

    def _learn(self, watch: GpuWatch) -> None:
        """From the calls whose readings are there."""
        waiting = self._waiting
        while waiting:
            call = waiting[0]
            reading = call.reading if call.at_ns is None else _stood(watch, call.at_ns)
            if reading is None and call.at_ns is not None and len(waiting) <= _PATIENCE:
                return
            waiting.popleft()
            before, self._before = self._before, reading
            watts = None
            timely = _BRIEFEST_NS <= call.elapsed_ns <= _LONGEST_NS
            if timely and before is not None and reading is not None:
                watts = _watts(before, reading)
            if watts is None:
                self.sharing.interrupt()
            else:
                failures = self.sharing.failures
                self.sharing.together(
                    call.shares,
                    watts,
                    call.floors,
                    seconds=call.elapsed_ns / NS_PER_S,
                    exact=call.exact,
                )
                if self.sharing.failures > failures:
                    _log.warning("%s: an estimate was given up; %s", watch.info.uuid, GIVEN_UP)

    def _weights(
        self,
        interval: Interval,
        parties: Mapping[int, Party],
        worked: Mapping[int, int],
        foreign: int,
        floors: Floors,
    ) -> tuple[dict[int, int] | None, int]:
        """By holder; processes that can't be told apart are one party, and share equally. None:
        SM time alone says it."""
        assert self._sm_time is not None
        duration_ns = interval.end_ns - interval.start_ns
        scale = duration_ns / self._sm_time.elapsed_ns / 100 / NS_PER_S
        sm_s: dict[Party, float] = {}
        sharers: dict[Party, int] = {}
        for i, party in parties.items():
            sm_s[party] = sm_s.get(party, 0.0) + worked[i] * scale
            sharers[party] = sharers.get(party, 0) + 1
        stranger = Party(None, None)
        if foreign:
            sm_s[stranger] = foreign * scale
        energy_uj = dynamic_uj(interval, floors)
        allotment = self.sharing.allot(
            sm_s, energy_uj, duration_ns / NS_PER_S, interval.energy_uj - energy_uj
        )
        if not allotment.learnt and not self._sm_time.video:
            return None, 0
        got = allotment.weights
        weights = {i: got.get(party, 0) // sharers[party] for i, party in parties.items()}
        return weights, got.get(stranger, 0)


def _stood(watch: GpuWatch, at_ns: int) -> Reading | None:
    """The first reading from that moment on; None while there is none."""
    while watch.stood and watch.stood[0][0] < at_ns:
        watch.stood.popleft()
    if watch.stood and watch.stood[0][0] == at_ns:
        return watch.stood.popleft()[1]
    return None


def _sm_time(batch: Batch, now_ns: int) -> _SmTime:
    by_pid: dict[int, int] = {}
    for sample in batch.samples:
        video_percent = sample.encoder_percent + sample.decoder_percent
        used = sample.sm_percent * batch.elapsed_ns
        used += video_percent * batch.elapsed_ns // _SM_PER_VIDEO
        by_pid[sample.pid] = by_pid.get(sample.pid, 0) + used
    by_instance = {
        one.gpu_instance: one.sm_ppm * one.slices * batch.elapsed_ns // _PPM_PER_PERCENT
        for one in batch.instances
    }
    return _SmTime(by_pid, by_instance, batch.elapsed_ns, now_ns)


def _is_video(batch: Batch) -> bool:
    return any(sample.encoder_percent or sample.decoder_percent for sample in batch.samples)


def _watts(before: Reading, after: Reading) -> float | None:
    """Mean power between two readings: the counter's, else the board's own 1-s average."""
    if before.energy_uj is None or after.energy_uj is None:
        power_mw = after.instant_mw if after.average_mw is None else after.average_mw
        return None if power_mw is None else power_mw / 1000
    elapsed_ns = after.at_ns - before.at_ns
    if before.energy_at_us is not None and after.energy_at_us is not None:
        elapsed_ns = (after.energy_at_us - before.energy_at_us) * 1000
    gained_uj = after.energy_uj - before.energy_uj
    if gained_uj < 0 or not _BRIEFEST_NS <= elapsed_ns <= _LONGEST_NS:
        return None
    return gained_uj * PJ_PER_UJ / elapsed_ns / 1000
