"""The only module that reads a clock. Everyone else is given a `Clock` or a time.

Energy is integrated on boot time (CLOCK_BOOTTIME: keeps counting through suspend, never steps);
wall time is only ever a label.
"""

import time
from functools import partial
from typing import Protocol

from submeter.units import NS_PER_S

_MAX_NAP_NS = NS_PER_S  # so that a thread asked to stop notices soon


class Clock(Protocol):
    """Three views of now, in integer nanoseconds, and a way to wait."""

    def boottime_ns(self) -> int:
        """Time since boot, suspend included. All intervals are measured on it."""
        ...

    def monotonic_ns(self) -> int:
        """Time since boot without suspend; boottime − monotonic grows only by suspends."""
        ...

    def wall_ns(self) -> int:
        """Unix time. May step; used for labels and for NVML's timestamps only."""
        ...

    def sleep_until(self, boottime_ns: int) -> None:
        """Waits until then or returns earlier; callers loop on their deadline."""
        ...


class SystemClock:
    """The real clocks."""

    # Read hundreds of times a second: without a frame of Python around it.
    boottime_ns = staticmethod(partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME))

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def sleep_until(self, boottime_ns: int) -> None:
        remaining_ns = min(boottime_ns - self.boottime_ns(), _MAX_NAP_NS)
        if remaining_ns > 0:
            time.sleep(remaining_ns / NS_PER_S)


class ScaledClock:
    """Real time that starts at a given moment and runs ``speed`` times as fast (for replay)."""

    def __init__(self, boottime_ns: int, wall_ns: int, speed: float = 1.0) -> None:
        self._origin_ns = time.monotonic_ns()
        self._boottime_ns = boottime_ns
        self._wall_ns = wall_ns
        self._speed = speed

    def _elapsed_ns(self) -> int:
        return int((time.monotonic_ns() - self._origin_ns) * self._speed)

    def boottime_ns(self) -> int:
        return self._boottime_ns + self._elapsed_ns()

    def monotonic_ns(self) -> int:
        return self._boottime_ns + self._elapsed_ns()

    def wall_ns(self) -> int:
        return self._wall_ns + self._elapsed_ns()

    def sleep_until(self, boottime_ns: int) -> None:
        remaining_ns = min(int((boottime_ns - self.boottime_ns()) / self._speed), _MAX_NAP_NS)
        if remaining_ns > 0:
            time.sleep(remaining_ns / NS_PER_S)


class FakeClock:
    """A clock that stands still until it is moved: sleeping moves it. Single-threaded use."""

    def __init__(
        self, boottime_ns: int = 1_000 * NS_PER_S, wall_ns: int = 1_767_225_600 * NS_PER_S
    ) -> None:
        self._boottime_ns = boottime_ns
        self._wall_ns = wall_ns
        self._suspended_ns = 0

    def boottime_ns(self) -> int:
        return self._boottime_ns

    def monotonic_ns(self) -> int:
        return self._boottime_ns - self._suspended_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def sleep_until(self, boottime_ns: int) -> None:
        self.advance(max(0, boottime_ns - self._boottime_ns))

    def advance(self, duration_ns: int) -> None:
        """Time passes on all three clocks."""
        self._boottime_ns += duration_ns
        self._wall_ns += duration_ns

    def suspend(self, duration_ns: int) -> None:
        """The machine sleeps: boot time and wall time pass, monotonic time does not."""
        self.advance(duration_ns)
        self._suspended_ns += duration_ns

    def step_wall(self, offset_ns: int) -> None:
        """Somebody sets the wall clock."""
        self._wall_ns += offset_ns


def process_cpu_ns() -> int:
    """CPU time of this process and all its threads since it began."""
    return time.process_time_ns()
