"""The real node: every NVIDIA GPU that the driver shows, keyed by UUID."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.backends import Device, ProcessSource, Tally
from submeter.backends.nvml import codes
from submeter.backends.nvml.codes import Action, Fault, explain
from submeter.backends.nvml.device import NvmlDevice
from submeter.backends.nvml.library import LIBRARY, Session
from submeter.backends.nvml.probe import open_gpu
from submeter.backends.nvml.sensors import PollInTurn
from submeter.backends.nvml.sleep import Sleep, sleeping
from submeter.backends.turns import Poll, one_by_one
from submeter.clock import Clock
from submeter.errors import DeviceLost, DriverUnavailable
from submeter.ticking import Library

SUSPENDED: Final = "suspended"

_MOST_GPUS: Final = 256
"""No node has more: a driver that says so talks nonsense, and must not be asked for each."""
_NO_PERMISSION: Final = "no_permission"
_THOROUGHLY: Final = 6
"""Every so many times each GPU's UUID is looked at, else only how many there are: a GPU that took
the place of another one is found a little later."""


class Unopened(NamedTuple):
    """A GPU that is there but couldn't be opened: its index or PCI address, and why."""

    gpu: str
    code: str  # of `codes.TABLE`, or "suspended"
    reason: str


class NvmlBackend:
    """Opens, finds again and closes. One thread at a time; devices may be read meanwhile."""

    name = "nvml"
    notice = ""

    def __init__(
        self,
        clock: Clock,
        processes: ProcessSource,
        sysfs: Path,
        functions: Library | None = None,
    ) -> None:
        """``functions``: what understands the boards' answers in C, where it was compiled."""
        self.processes = processes
        self.unopened: tuple[Unopened, ...] = ()
        self._clock = clock
        self._sysfs = sysfs
        self._session: Session | None = None
        self._devices: dict[str, NvmlDevice] = {}
        self._tallies: dict[str, Tally] = {}
        self._rescans = 0
        self._functions = functions

    @property
    def restart_needed(self) -> bool:
        """After `open` failed with ``version_mismatch``: whether opening again can't help,
        because the old library is still mapped (a call hangs in it, or others use it)."""
        return LIBRARY.stale

    @property
    def calls_in_flight(self) -> int:
        """Threads that are inside the driver at this moment."""
        return len(LIBRARY.in_flight)

    def open(self) -> Sequence[NvmlDevice]:
        """Every GPU that can be used; the others are in `unopened`. Raises DriverUnavailable."""
        self.close()
        asleep = sleeping(self._sysfs)
        if asleep and all(asleep.values()):
            message = "every GPU is suspended by runtime power management, and left asleep"
            raise DriverUnavailable("no_gpu", message)
        self._session = LIBRARY.open()
        try:
            self.rescan()
        except DriverUnavailable:
            self.close()
            raise
        if not self._devices:
            failed, reason = "; ".join(map(_told, self.unopened)), self._reason()
            self.close()
            raise DriverUnavailable(reason, failed or "the driver shows no GPU")
        return tuple(self._devices.values())

    def rescan(self) -> Sequence[NvmlDevice]:
        """GPUs that weren't open and now are: hot-plugged, woken, or let in at last.

        Raises DriverUnavailable where the driver is gone.
        """
        session = self._opened()
        self._rescans += 1
        if self._rescans % _THOROUGHLY and self._as_many(session):
            return []
        found, self.unopened = [], ()
        for place, gpu, name, argument in self._places(session):
            try:
                handle = session.ask(name, argument)
                if str(session.ask("nvmlDeviceGetUUID", handle)) in self._devices:
                    continue
                found.append(self._keep(self._probed(session, handle, place)))
            except Fault as fault:
                if fault.code.action is Action.DRIVER_LOST:
                    raise codes.unavailable(fault) from None
                self.unopened += (Unopened(gpu, fault.code.name, explain(fault.code)),)
        return found

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        """One tight loop where every board is read by one call; else one after the other."""
        readers = [each.quick if isinstance(each, NvmlDevice) else None for each in devices]
        quick = all(each is None or reader for each, reader in zip(devices, readers, strict=True))
        sessions = {id(reader.session): reader.session for reader in readers if reader is not None}
        if not quick or len(sessions) != 1:
            return one_by_one(devices)
        return PollInTurn(readers, *sessions.values())

    def reopen(self, uuid: str) -> NvmlDevice:
        """A GPU that was lost, with a new handle. Raises DeviceLost while it is still gone,
        DriverUnavailable where all are."""
        session = self._opened()
        known = self._devices.get(uuid)
        if known is not None and Sleep(self._sysfs, known.info.pci_bus_id).asleep():
            raise DeviceLost(SUSPENDED, f"{uuid} is suspended by runtime power management")
        try:
            place = len(self._devices) if known is None else known.info.index
            return self._keep(self._probed(session, self._handle(session, uuid), place))
        except Fault as fault:
            if fault.code.action is Action.DRIVER_LOST:
                raise codes.unavailable(fault) from None
            raise DeviceLost(fault.code.name, f"{uuid}: {explain(fault.code)}") from None

    def close(self) -> None:
        """Lets go of the driver. Never raises; does not wait for calls that hang."""
        for device in self._devices.values():
            device.close()
        self._devices = {}
        self.unopened = ()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _as_many(self, session: Session) -> bool:
        """Whether the driver shows as many GPUs as are open, and none that couldn't be."""
        if self.unopened or not self._devices or any(sleeping(self._sysfs).values()):
            return False
        try:
            return int(session.ask("nvmlDeviceGetCount")) == len(self._devices)
        except Fault as fault:
            raise codes.unavailable(fault) from None

    def _opened(self) -> Session:
        if self._session is None:
            raise DriverUnavailable("unknown", "the backend is not open")
        return self._session

    def _places(self, session: Session) -> Iterator[tuple[int, str, str, Any]]:
        """How to get each handle: by index, or by address where touching all would wake some."""
        asleep = sleeping(self._sysfs)
        if not any(asleep.values()):
            try:
                count = session.ask("nvmlDeviceGetCount")
            except Fault as fault:
                raise codes.unavailable(fault) from None
            for index in range(min(count, _MOST_GPUS)):
                yield index, f"GPU {index}", "nvmlDeviceGetHandleByIndex", index
            return
        for place, (address, sleeps) in enumerate(asleep.items()):
            if sleeps:
                self.unopened += (Unopened(address, SUSPENDED, "it is left asleep"),)
            else:
                yield place, address, "nvmlDeviceGetHandleByPciBusId", address

    def _handle(self, session: Session, uuid: str) -> Any:
        """By UUID; once more with a fresh initialisation, where the driver then looks anew."""
        try:
            return session.ask("nvmlDeviceGetHandleByUUID", uuid)
        except Fault as fault:
            if fault.code.action is Action.DRIVER_LOST:
                raise
        again = LIBRARY.open()
        try:
            return again.ask("nvmlDeviceGetHandleByUUID", uuid)
        finally:
            again.close()

    def _probed(self, session: Session, handle: Any, place: int) -> NvmlDevice:
        return open_gpu(session, handle, self._clock, self._sysfs, self._tallies, place=place)

    def _keep(self, device: NvmlDevice) -> NvmlDevice:
        before = self._devices.get(device.info.uuid)
        if before is not None:
            before.close()
        if self._functions is not None:
            device.compiled(self._functions)
        self._devices[device.info.uuid] = device
        return device

    def _reason(self) -> str:
        refused = any(gpu.code == _NO_PERMISSION for gpu in self.unopened)
        return _NO_PERMISSION if refused else "no_gpu"


def _told(gpu: Unopened) -> str:
    return f"{gpu.gpu}: {gpu.reason}"
