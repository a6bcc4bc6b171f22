"""The agent's progress in, what a service manager is told out: sd_notify(3), of standard parts.

Silent where nobody asked ($NOTIFY_SOCKET is not set). The watchdog is fed by sampling that goes
on, in the thread that settles: neither a live thread beside a hung sampler nor a live sampler
beside a hung settlement keeps it quiet. One hung GPU among several is no reason for a restart.
"""

import logging
import socket
from collections.abc import Callable, Mapping
from typing import Final

from submeter.clock import Clock
from submeter.model import Snapshot
from submeter.units import NS_PER_S, NS_PER_US, UJ_PER_WH

_log = logging.getLogger(__name__)

STARTING: Final = "starting"
"""What the agent says as long as the driver has not answered yet."""

STATUS_NS: Final = 10 * NS_PER_S
SAID_NS: Final = 600 * NS_PER_S
_SAVING_US: Final = 60_000_000  # more than any step of it takes
_FEEDS_PER_TIMEOUT: Final = 4  # sd_watchdog_enabled(3) asks for at least 2
_PATIENCE_S: Final = 0.2  # its queue is short (net.unix.max_dgram_qlen), and settling waits


class ServiceManager:
    """Owns the way to whoever started the agent: systemd, Podman, s6; silent without one."""

    def __init__(self, address: str, watchdog_ns: int | None = None) -> None:
        """``address`` as in $NOTIFY_SOCKET; ``watchdog_ns``: how long it waits to be fed."""
        self.watchdog_ns = watchdog_ns
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._address)

    def tell(self, *lines: str) -> bool:
        """Sends assignments such as ``READY=1``; whether they were taken. Raises nothing: what
        fails is logged once."""
        if not self.listens:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                _log.warning("the service manager can't be told anything: %s", error)
            self._failed = True
            return False
        return True


def service_manager(environ: Mapping[str, str], pid: int) -> ServiceManager:
    """The one that the environment names. ``pid`` is ours: a watchdog may be meant for another
    process (sd_watchdog_enabled(3))."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address and address[0] not in "/@":
        _log.warning("NOTIFY_SOCKET is no Unix socket; nobody is told how the agent is")
        address = ""
    timeout_us = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    if not (meant and timeout_us.isascii() and timeout_us.isdigit() and int(timeout_us)):
        return ServiceManager(address)
    return ServiceManager(address, int(timeout_us) * NS_PER_US)


class Heart:
    """Owns what the service manager was told. `beat` is called after each settlement."""

    def __init__(self, manager: ServiceManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._ready = False
        self._pulse = 0
        self._feed_ns = 0
        self._status = ""
        self._status_ns = 0

    def beat(
        self,
        snapshot: Callable[[], Snapshot | None],
        trouble: Callable[[], str],
        pulse: Callable[[], int],
    ) -> None:
        """``snapshot`` gives the newest one, ``trouble`` why the agent can't meter now, or "", and
        ``pulse`` another number than the last time, if sampling went on since. Each is only asked
        where somebody wants to know."""
        if not self._manager.listens:
            return
        now_ns = self._clock.monotonic_ns()
        if not self._ready and trouble() != STARTING:
            # settled, and the driver has answered; "there is none" is an answer
            self._ready = self._manager.tell("READY=1")
        self._feed(now_ns, pulse)
        self._say_status(now_ns, snapshot, trouble)

    def say(self, status: str) -> None:
        """Shows something else than how metering is, for a while."""
        self._status = " ".join(status.split())
        self._status_ns = self._clock.monotonic_ns() + SAID_NS
        self._manager.tell(f"STATUS={self._status}")

    def saving(self) -> None:
        """At the start, a damaged ledger is still being gone through: that may take longer than a
        service is given to start."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._status_ns:
            return
        self._status_ns = now_ns + STATUS_NS
        self._manager.tell(
            f"EXTEND_TIMEOUT_USEC={_SAVING_US}",
            "WATCHDOG=1",
            "STATUS=saving what can be saved of a damaged ledger",
        )

    def _feed(self, now_ns: int, pulse: Callable[[], int]) -> None:
        timeout_ns = self._manager.watchdog_ns
        if timeout_ns is None or now_ns < self._feed_ns:
            return
        before, self._pulse = self._pulse, pulse()
        if self._pulse != before and self._manager.tell("WATCHDOG=1"):
            self._feed_ns = now_ns + timeout_ns // _FEEDS_PER_TIMEOUT

    def _say_status(
        self,
        now_ns: int,
        snapshot: Callable[[], Snapshot | None],
        trouble: Callable[[], str],
    ) -> None:
        if now_ns < self._status_ns:
            return
        self._status_ns = now_ns + STATUS_NS
        status = status_text(snapshot(), trouble())
        if status != self._status and self._manager.tell(f"STATUS={status}"):
            self._status = status


def reloading(clock: Clock) -> tuple[str, ...]:
    """What announces a reload; Type=notify-reload of systemd >= 253 wants to know since when."""
    return "RELOADING=1", f"MONOTONIC_USEC={clock.monotonic_ns() // NS_PER_US}", "WATCHDOG=1"


def status_text(snapshot: Snapshot | None, trouble: str) -> str:
    """One line for `systemctl status`."""
    gpus = () if snapshot is None else snapshot.gpus
    if not gpus:
        return trouble or STARTING
    up = [gpu for gpu in gpus if gpu.up]
    readings = [gpu.reading for gpu in up if gpu.reading is not None]
    powers_mw = [
        each.average_mw if each.instant_mw is None else each.instant_mw for each in readings
    ]
    known_mw = [power_mw for power_mw in powers_mw if power_mw is not None]
    watts = f", {sum(known_mw) / 1_000:.0f} W" if known_mw else ""
    kwh = sum(gpu.energy_uj for gpu in gpus) / (1_000 * UJ_PER_WH)
    line = f"metering {len(up)} of {len(gpus)} GPU(s){watts}; {kwh:.3f} kWh in the ledger"
    return f"{line}; {trouble}" if trouble else line
