"""Somebody's wish to end in, the main thread awake out: signals, other threads.

A pipe and `select`, since neither `threading.Event` nor a queue will do. A signal that arrives
just before the main thread blocks on a lock wakes nobody (its Python handler would run in that
thread), and one that arrives inside `Event.wait` may find the event's own lock taken. The
interpreter's wake-up descriptor has neither gap.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_WISHES = 65_536  # what a pipe holds
_RELOAD = bytes([signal.SIGHUP])


class Ending:
    """Set once or many times, by any thread or signal; waited for by the main thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # full of wishes already

    def wait(self, timeout: float | None = None) -> bool:
        """Whether somebody wished so, at the latest after ``timeout`` seconds."""
        ready, _, _ = select.select([self._read], [], [], timeout)
        return bool(ready)

    def only_reload(self) -> bool:
        """Whether SIGHUP and nothing else was wished; then that wish is taken back."""
        try:
            wishes = os.read(self._read, _MOST_WISHES)
        except BlockingIOError:
            return False
        if wishes.strip(_RELOAD):
            self.set()
            return False
        return True

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """While inside, SIGINT, SIGTERM and SIGHUP set this instead of ending the process."""
        before = {number: signal.signal(number, _ignore) for number in _NUMBERS}
        fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd)
            for number, handler in before.items():
                signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has said it all."""
