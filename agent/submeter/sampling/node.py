"""A backend in, its GPUs under watch out, with the jobs that read them.

The node keeps a GPU's watch (and so its meter) when the driver goes and comes back: what the
counter gained meanwhile, or that it began anew, is the meter's to judge.
"""

import logging
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from submeter.backends import Backend, Device
from submeter.clock import Clock
from submeter.errors import DriverUnavailable
from submeter.metering import Meter, resume
from submeter.model import Checkpoint, GpuInfo, Reading
from submeter.sampling.jobs import Job, stagger_ns
from submeter.sampling.rounds import Rounds
from submeter.sampling.watch import LOOK_NS, SURVEY_NS, GpuWatch

_log = logging.getLogger(__name__)

NOT_FOUND: Final = "not_found"
_INDEX: Final = attrgetter("device.info.index")
_TOGETHER: Final = 4  # surveys in a second, up to 40 GPUs


class Node:
    """All GPUs that were ever seen, by UUID."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        *,
        period_ns: int | None,
        settle_ns: int,
        on_reading: Callable[[str, Reading], None] | None = None,
        on_driver_error: Callable[[DriverUnavailable], None] | None = None,
        checkpoint: Callable[[str], Checkpoint | None] = lambda _uuid: None,
        boot_id: str = "",
        seen: Callable[[], bool] = lambda: False,
        heard: Callable[[], bool] = lambda: True,
        ticking: bool = False,
        look_after_ns: int | None = None,
    ) -> None:
        """``period_ns`` None locks the sampling of each GPU to its sensors' refresh.
        ``checkpoint`` says by UUID where an agent before this one stopped, ``boot_id`` which boot
        this is; empty where the node is not real and begins anew with each start. ``seen`` says
        whether somebody follows the readings live, ``heard`` whether anybody takes them
        (``on_reading``) at all, ``ticking`` whether the jobs' ticks are polled
        by whoever waits for them, where the backend can (`submeter.ticking`), ``look_after_ns`` how
        long after whole seconds the slow jobs begin; None: from when they are made on."""
        self.backend = backend
        self._clock = clock
        self._period_ns = period_ns
        self._settle_ns = settle_ns
        self._on_reading = on_reading
        self._on_driver_error = on_driver_error
        self._checkpoint = checkpoint
        self._boot_id = boot_id
        self._heard = heard
        self._look_after_ns = look_after_ns
        self._rounds = Rounds(backend, clock, seen, ticking=ticking)
        self._watches: dict[str, GpuWatch] = {}

    def open(self) -> None:
        """Finds the GPUs. Raises DriverUnavailable; then nothing has changed."""
        now_ns = self._clock.boottime_ns()
        devices = {device.info.uuid: device for device in self.backend.open()}
        for uuid, device in devices.items():
            watch = self._watches.get(uuid)
            if watch is None:
                self._watches[uuid] = self._watch(device)
            else:
                watch.replace(device)
        for uuid, watch in self._watches.items():
            if uuid not in devices:
                watch.fall(now_ns, NOT_FOUND)

    def rescan(self) -> list[GpuWatch]:
        """GPUs never seen before that are there now. Raises DriverUnavailable."""
        new = []
        for device in self.backend.rescan():
            watch = self._watches.get(device.info.uuid)
            if watch is None:
                watch = self._watches[device.info.uuid] = self._watch(device)
                new.append(watch)
        return new

    def close(self) -> None:
        """Lets go of the driver; the watches stay, with their GPUs down."""
        now_ns = self._clock.boottime_ns()
        for watch in self._watches.values():
            if watch.up:
                watch.fall(now_ns, "closed")
        self.backend.close()

    def watches(self) -> list[GpuWatch]:
        """Every GPU ever seen, by its present index."""
        return sorted(self._watches.values(), key=_INDEX)

    def jobs(self, watches: list[GpuWatch] | None = None) -> tuple[list[Job], list[Job]]:
        """The fast jobs and the slow ones, of all GPUs or of some, on fresh grids."""
        watches = self.watches() if watches is None else watches
        return self.fast_jobs(watches), self.slow_jobs(watches)

    def fast_jobs(self, watches: list[GpuWatch]) -> list[Job]:
        """Those that read sensors."""
        return self._rounds.jobs(watches, self._clock.boottime_ns())

    def slow_jobs(self, watches: list[GpuWatch]) -> list[Job]:
        """Those that look who is there, and how busy."""
        now_ns = self._clock.boottime_ns()
        if self._look_after_ns is not None:
            now_ns = now_ns // LOOK_NS * LOOK_NS + self._look_after_ns
        slow = []
        for i, watch in enumerate(watches):
            uuid = watch.info.uuid
            # Surveys are spread out, since listing processes is slow, a few to each second, since
            # the first after a sleep costs as much as three; but one period early, so that the
            # first is at once for everybody. Looks are cheap, and share a wake-up, with each other
            # and with surveys: those are whole seconds apart.
            late_ns = stagger_ns(i, -(-len(watches) // _TOGETHER), SURVEY_NS) // LOOK_NS * LOOK_NS
            survey_ns = now_ns + late_ns - SURVEY_NS
            look_ns = now_ns - LOOK_NS
            slow.append(Job("survey", (uuid,), SURVEY_NS, survey_ns, watch.survey))
            slow.append(Job("look", (uuid,), LOOK_NS, look_ns, watch.look))
            slow.append(_between(watch, look_ns + LOOK_NS // 2))
        return slow

    def _watch(self, device: Device) -> GpuWatch:
        info = device.info
        return GpuWatch(
            device,
            self._meter(info),
            self.backend.processes,
            period_ns=self._period_ns,
            settle_ns=self._settle_ns,
            reopen=self.backend.reopen,
            on_reading=self._on_reading,
            on_driver_error=self._on_driver_error,
            heard=self._heard,
        )

    def _meter(self, info: GpuInfo) -> Meter:
        meter = Meter(info.uuid, info.energy_source, info.power_limit_max_mw, info.refresh_ns)
        now_ns, wall_ns = self._clock.boottime_ns(), self._clock.wall_ns()
        after = resume(meter, self._checkpoint(info.uuid), self._boot_id, now_ns, wall_ns)
        if after:
            _log.info("%s goes on from the ledger: %s", info.uuid, after)
        return meter


def _between(watch: GpuWatch, first_ns: int) -> Job:
    """Half a second after each look while a crowd shares the GPU. Whether one does is looked at
    every ten seconds: a thread that wakes up for nothing costs as much as one that does something.
    """

    def run(now_ns: int) -> None:
        watch.between(now_ns)
        job.period_ns = LOOK_NS if watch.crowded(now_ns) else SURVEY_NS

    job = Job("between", (watch.info.uuid,), SURVEY_NS, first_ns, run)
    return job
