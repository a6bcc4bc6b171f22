"""A command in, what a real terminal shows of it out: a pseudo-terminal and an emulator (pyte).

For tests of what people see, and for the pictures in the documentation.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyte

from submeter.clock import SystemClock
from submeter.units import NS_PER_S

PATIENCE_S: Final = 30.0
_CHUNK: Final = 1 << 16
_SLICE_S: Final = 0.05
_END_S: Final = 10.0
_SIZE: Final = ("COLUMNS", "LINES")  # would win over the terminal's own


class Terminal:
    """A terminal of a size, and the command that runs in it. Use as a context manager."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._clock = SystemClock()
        self._master = -1
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self, command: Sequence[str], environ: Mapping[str, str], directory: Path | None = None
    ) -> None:
        """Starts the command with the terminal as its own."""
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0)
        inherited = {name: text for name, text in environ.items() if name not in _SIZE}
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self._child = subprocess.Popen(  # noqa: S603  what a test or a picture wants to see
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm-256color", **inherited},
            cwd=directory,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)

    def press(self, keys: str) -> None:
        """Types that."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Makes the window another size."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def watch(self, seconds: float) -> bool:
        """Takes in what is written meanwhile; whether the command still may write."""
        end_ns = self._clock.monotonic_ns() + round(seconds * NS_PER_S)
        while (left_ns := end_ns - self._clock.monotonic_ns()) > 0:
            ready, _, _ = select.select([self._master], [], [], left_ns / NS_PER_S)
            if ready and not self._take():
                return False
        return True

    def wait_for(self, what: str | Callable[[str], bool], patience_s: float = PATIENCE_S) -> str:
        """What is shown once that text is in it, or that is true of it. Raises AssertionError."""
        right = what if callable(what) else lambda shown: what in shown
        end_ns = self._clock.monotonic_ns() + round(patience_s * NS_PER_S)
        running = True
        while not right(self.text()):
            assert running and self._clock.monotonic_ns() < end_ns, (  # noqa: PT018  one message for both
                f"not seen: {what!r} in\n{self.text()}"
            )
            running = self.watch(_SLICE_S)
        return self.text()

    def text(self) -> str:
        """The characters on the screen, a line each, without what is blank at their ends."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n")

    def rows(self) -> list[list[Any]]:
        """Every cell of it (pyte's Char: data, fg, bg, bold, reverse …)."""
        buffer, columns = self.screen.buffer, self.screen.columns
        return [[buffer[line][at] for at in range(columns)] for line in range(self.screen.lines)]

    def end(self) -> int:
        """The exit code, once the command has ended. Raises subprocess.TimeoutExpired."""
        assert self._child is not None
        while self.watch(_SLICE_S):
            if self._child.poll() is not None:
                break
        return self._child.wait(_END_S)

    def close(self) -> None:
        """Ends what still runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGHUP)
            try:
                self._child.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _take(self) -> bool:
        try:
            written = os.read(self._master, _CHUNK)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self._stream.feed(written)
        return bool(written)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
