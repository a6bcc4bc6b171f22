"""A `Trace` and a clock to a backend whose devices play it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from submeter.backends import Device, ProcessSource
from submeter.backends.replay.player import Player
from submeter.backends.turns import Poll, one_by_one
from submeter.clock import Clock
from submeter.errors import DeviceLost
from submeter.model import (
    Activity,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    ProcessFacts,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.trace import Trace
from submeter.units import NS_PER_S


class ReplayBackend:
    """The backend ``replay``. Its clock must have been set to the recording's start."""

    name = "replay"

    def __init__(self, clock: Clock, trace: Trace) -> None:
        self.trace = trace
        self._origin = _notice(trace)
        self._clock = clock
        self._player = Player(trace)
        self._given = 0  # devices handed out
        self.processes: ProcessSource = ReplayProcesses(self._player)

    @property
    def notice(self) -> str:
        """What is played; at its end, that it is over."""
        return f"REPLAYED{' TO ITS END' if self.finished else ''}: {self._origin}"

    @property
    def finished(self) -> bool:
        """True when the whole recording has been played and fetched."""
        return self._player.finished

    def open(self) -> Sequence["ReplayDevice"]:
        """Every GPU of the recording; again, everyone that has appeared since."""
        infos = self._player.open(self._clock.boottime_ns())
        self._given = len(infos)
        return [ReplayDevice(self._player, gpu, info) for gpu, info in enumerate(infos)]

    def rescan(self) -> Sequence["ReplayDevice"]:
        """GPUs that the recording has begun to speak of since `open`."""
        infos = self._player.open(self._clock.boottime_ns())
        new = range(self._given, len(infos))
        self._given = len(infos)
        return [ReplayDevice(self._player, gpu, infos[gpu]) for gpu in new]

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        """One after the other: asking costs nothing here."""
        return one_by_one(devices)

    def reopen(self, uuid: str) -> "ReplayDevice":
        """A GPU that was lost in the recording, once it was read again in it."""
        now_ns = self._clock.boottime_ns()
        for gpu, info in enumerate(self._player.open(now_ns)):
            if info.uuid == uuid:
                self._player.check(gpu, now_ns)
                return ReplayDevice(self._player, gpu, info)
        raise DeviceLost("not_found", f"{uuid} is not in the recording")

    def close(self) -> None:
        """Lets go of the file; `open` plays on from there."""
        self._player.close()


class ReplayDevice:
    """One recorded GPU."""

    def __init__(self, player: Player, gpu: int, info: GpuInfo) -> None:
        self.info = info
        self.tally = player.tally(gpu)
        self._player = player
        self._gpu = gpu

    def poll(self, now_ns: int) -> None:
        """Nothing to do: a recording keeps what it says until it is asked for."""

    def readings(self, now_ns: int) -> Sequence[Reading]:
        """Everything that is due: many readings, one, or none."""
        return self._player.readings(self._gpu, now_ns)

    def hold(self, duration_ns: int) -> None:
        """Nothing to leave out: a recording is played whole."""

    def activity(self, now_ns: int) -> Activity:
        """The newest recorded; all None where none was."""
        return self._player.activity(self._gpu, now_ns)

    def gauges(self, now_ns: int) -> Gauges:
        """The newest recorded; all None where none was."""
        return self._player.gauges(self._gpu, now_ns)

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        """The newest recorded; None where the recording has no processes."""
        return self._player.holders(self._gpu, now_ns)

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        """Everything recorded since the previous call; None where nothing ever was."""
        return self._player.utilisation(self._gpu, now_ns)

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        """The newest recorded since the previous call; None where nothing ever was."""
        return self._player.instances(self._gpu, now_ns)


class ReplayProcesses:
    """Who a PID was, as recorded."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def identify(self, pid: int) -> ProcessKey | None:
        """The process that had this PID last."""
        return self._player.identify(pid)

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """What the recording holds of it: comm and labels, never a command line."""
        return self._player.facts(key)


def _notice(trace: Trace) -> str:
    start_ns = trace.header.start_wall_ns
    start = f"{datetime.fromtimestamp(start_ns / NS_PER_S, UTC):%Y-%m-%d %H:%M} UTC"
    parts = [f"a recording, not this node: {trace.path.name}, from {start}"]
    if not start_ns:
        parts = [f"a recording, not this node: {trace.path.name}, date unknown"]
    parts += [trace.header.notice] if trace.header.notice else []
    parts += trace.warnings[-1:] if trace.truncated_at is not None else ()
    return "; ".join(parts)
