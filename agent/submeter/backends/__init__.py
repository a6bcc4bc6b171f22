"""Where readings come from: one package or module a backend, chosen by name.

A backend gives devices; a device answers four questions, each at its own pace. Backends never
ask the time (they are given it) and never start threads: a call may take as long as the driver
takes, and the sampler guards itself against that.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from submeter.backends.turns import Poll
from submeter.clock import Clock
from submeter.errors import InputError
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

NAMES = ("nvml", "mock", "replay")


class Tally:
    """What the calls of one device cost and which failed: counted here, copied into snapshots."""

    def __init__(self) -> None:
        self.call_ns: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.errors: dict[tuple[str, str], int] = {}

    def took(self, call: str, duration_ns: int, count: int = 1) -> None:
        self.call_ns[call] = self.call_ns.get(call, 0) + duration_ns
        self.calls[call] = self.calls.get(call, 0) + count

    def add(self, other: "Tally") -> None:
        """Takes over what another tally counted. That one may be counting on in other threads:
        copying a dict is one step for the interpreter, going through it is not."""
        for call, duration_ns in other.call_ns.copy().items():
            self.call_ns[call] = self.call_ns.get(call, 0) + duration_ns
        for call, count in other.calls.copy().items():
            self.calls[call] = self.calls.get(call, 0) + count
        for key, count in other.errors.copy().items():
            self.errors[key] = self.errors.get(key, 0) + count

    def plus(self, other: "Tally") -> "Tally":
        """What both counted, as of now."""
        tally = Tally()
        tally.call_ns, tally.calls = other.call_ns.copy(), other.calls.copy()
        tally.errors = other.errors.copy()
        if self.calls or self.errors:
            tally.add(self)
        return tally

    def failed(self, call: str, error: str) -> None:
        key = (call, error)
        self.errors[key] = self.errors.get(key, 0) + 1


class Device(Protocol):
    """One GPU. Each method may raise DeviceLost (this GPU is gone), DriverUnavailable (all are)
    or ReadFailed (nothing this time; counted in `tally`); nothing else.

    `poll` and `readings` are called from one thread, the other methods from another one.
    """

    info: GpuInfo
    tally: Tally

    def poll(self, now_ns: int) -> None:
        """Asks the sensors at boot time ``now_ns`` and keeps what they say for `readings`.
        Never raises: a failure that lasts is raised there."""
        ...

    def readings(self, now_ns: int) -> Sequence[Reading]:
        """What the sensors say now, after everything that `poll` kept, oldest first: one reading
        if it kept nothing, without asking where `poll` did so at ``now_ns`` or later; a replay may
        owe several or none. Values out of any plausible range
        are already turned into None and counted. Raises only where it has nothing to give."""
        ...

    def hold(self, duration_ns: int) -> None:
        """From now on `readings` may leave out what says nothing new, for at most that long:
        read faster than its sensors, a GPU is only read again. 0, the default: never."""
        ...

    def activity(self, now_ns: int) -> Activity:
        """Device utilisation and used memory."""
        ...

    def gauges(self, now_ns: int) -> Gauges:
        """Temperatures, clocks, limit, throttling."""
        ...

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        """Every process with a context here; None where the driver can't list them."""
        ...

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        """Samples newer than those of the previous call; None where there is no such signal."""
        ...

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        """How busy each GPU instance (MIG) was since the previous call: all of them, or none
        where there was no previous call; None where there is no such signal."""
        ...


class ProcessSource(Protocol):
    """Who a PID is: /proc for a real node, the script for a simulated one."""

    def identify(self, pid: int) -> ProcessKey | None:
        """The identity behind a PID now, cheaply; None if there is no such process here."""
        ...

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """What can be seen of that very process; None if it is gone."""
        ...


class Backend(Protocol):
    """A source of devices. `open` and `close` may be called again and again."""

    name: str
    processes: ProcessSource

    @property
    def notice(self) -> str:
        """Empty for real measurements; else what every page must say loudly."""
        ...

    def open(self) -> Sequence[Device]:
        """Finds every GPU and probes it. Raises DriverUnavailable where there is none to use."""
        ...

    def rescan(self) -> Sequence[Device]:
        """Devices that have come since `open`. Raises DriverUnavailable where all are gone."""
        ...

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        """Polls these devices one after the other, by the shortest way there is; None are left
        out. What they said is then for each one's `readings`."""
        ...

    def reopen(self, uuid: str) -> Device:
        """A GPU that was lost, found again. Raises DeviceLost while it is still gone."""
        ...

    def close(self) -> None:
        """Lets go of the driver. Never raises."""
        ...


def load(name: str, clock: Clock, options: Mapping[str, object]) -> Backend:
    """The backend of that name, not yet opened: ``submeter.backends.NAME.create(clock, options)``.

    Raises InputError for an unknown name or wrong options.
    """
    if name not in NAMES:
        raise InputError(f"unknown backend {name!r}; there are {', '.join(NAMES)}")
    module = importlib.import_module(f"submeter.backends.{name}")
    backend: Backend = module.create(clock, options)
    return backend
