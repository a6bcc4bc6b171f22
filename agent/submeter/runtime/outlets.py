"""Exporters in, each kept apart from everybody else out: own thread, own account of how it does.

An exporter is foreign code. One that fails, hangs or is slow harms nobody: it is called in a
thread of its own only, what it raises is counted and said, and nobody waits for it.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from submeter.clock import Clock
from submeter.errors import SubmeterError
from submeter.exporting import Exporter, Source, Tracer
from submeter.model import ExporterState, Reading, Snapshot
from submeter.units import NS_PER_S
from submeter.web.http import Handler, Request, Response, Routes, Stream

_log = logging.getLogger(__name__)

_PATIENCE_NS: Final = 30 * NS_PER_S  # a run that takes longer counts as a failure while it lasts
_READINGS: Final = 1 << 17  # 16 GPUs at 100 Hz for 80 s: about 30 MB, should nobody take them


class Outlet:
    """Owns one exporter: its thread, if it pushes, and how it does."""

    def __init__(self, exporter: Exporter, clock: Clock, source: Source) -> None:
        self.name = exporter.name
        self.offer: Callable[[str, Reading], None] | None = None
        """Takes a reading, from any thread; None where the exporter wants none."""
        if isinstance(exporter, Tracer):
            self.offer = self._offer
        self._exporter = exporter
        self._clock = clock
        self._source = source
        self._state = ExporterState(exporter.name)
        self._began_ns: int | None = None
        self._hung = False
        self._readings: deque[tuple[str, Reading]] = deque()
        self._missed = 0 if self.offer is not None else None
        self._stopping = threading.Event()
        self._last: Snapshot | None = None
        self._thread: threading.Thread | None = None

    def routes(self, source: Source) -> Routes:
        """What the exporter serves; each request is counted."""
        routes = self._exporter.routes(source)
        return {path: self._counted(handler) for path, handler in routes.items()}

    def state(self) -> ExporterState:
        """How it does now: a run that takes too long is a failure already."""
        state, began_ns = self._state, self._began_ns
        hung = began_ns is not None and self._clock.monotonic_ns() - began_ns > self._patience_ns()
        if hung and not self._hung:
            _log.error("exporter %s hangs; everything else goes on without it", self.name)
        self._hung = hung
        return replace(state, up=state.up and not hung, missed_readings=self._missed)

    def start(self) -> None:
        """Starts the thread of an exporter that pushes."""
        interval_ns = self._exporter.interval_ns
        if interval_ns is not None:
            self._thread = threading.Thread(
                target=self._main,
                args=(interval_ns / NS_PER_S,),
                name=f"push-{self.name}"[:15],
                daemon=True,
            )
            self._thread.start()

    def finish(self, last: Snapshot | None) -> None:
        """Asks the thread to push the final figures, and to end; the first time it is asked.
        Returns at once."""
        if not self._stopping.is_set():
            self._last = last
            self._stopping.set()

    def close(self, patience_s: float) -> bool:
        """Lets go of the exporter, unless it still hangs after so long. Whether it did."""
        if self._thread is not None:
            self._thread.join(patience_s)
            if self._thread.is_alive():
                return False
        else:
            self._attempt(self._exporter.close)
        return True

    def _main(self, interval_s: float) -> None:
        try:
            while not self._stopping.wait(interval_s):
                self._push(self._source())
            self._push(self._last)
        finally:
            self._attempt(self._exporter.close)

    def _push(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self._attempt(lambda: self._hand_over(snapshot))

    def _hand_over(self, snapshot: Snapshot) -> None:
        with self._counting():
            if isinstance(self._exporter, Tracer):
                count = len(self._readings)
                self._exporter.trace([self._readings.popleft() for _ in range(count)])
            self._exporter.publish(snapshot)

    def _attempt(self, call: Callable[[], None]) -> None:
        before = self._state.up
        try:
            call()
        except (OSError, SubmeterError) as error:
            if before:
                _log.error("exporter %s fails: %s; it goes on trying", self.name, error)
        except Exception:  # noqa: BLE001  whatever foreign code raises is no reason to end here
            if before:
                _log.exception("exporter %s fails; it goes on trying", self.name)
        else:
            if not before:
                _log.info("exporter %s works again", self.name)

    def _counted(self, handler: Handler) -> Handler:
        def handle(request: Request) -> Response | Stream:
            with self._counting():
                return handler(request)

        return handle

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Takes the time of a run, and counts it as gone through or failed."""
        self._began_ns = began_ns = self._clock.monotonic_ns()
        went_through = False
        try:
            yield
            went_through = True
        finally:
            state = self._state
            self._state = replace(
                state,
                up=went_through,
                runs=state.runs + went_through,
                failures=state.failures + (not went_through),
                last_run_ns=self._clock.monotonic_ns() - began_ns,
                succeeded_wall_ns=(
                    self._clock.wall_ns() if went_through else state.succeeded_wall_ns
                ),
            )
            self._began_ns = None

    def _offer(self, gpu_uuid: str, reading: Reading) -> None:
        if len(self._readings) < _READINGS:
            self._readings.append((gpu_uuid, reading))
        else:
            self._missed = (self._missed or 0) + 1

    def _patience_ns(self) -> int:
        return max(_PATIENCE_NS, 2 * (self._exporter.interval_ns or 0))


def finish(outlets: Iterable[Outlet], last: Snapshot | None) -> None:
    """Has all push the final figures, at the same time."""
    for outlet in outlets:
        outlet.finish(last)


def close(outlets: Iterable[Outlet], clock: Clock, patience_s: float) -> None:
    """Lets go of all that do so within ``patience_s``, all together."""
    until_ns = clock.monotonic_ns() + round(patience_s * NS_PER_S)
    for outlet in outlets:
        left_ns = max(0, until_ns - clock.monotonic_ns())
        if not outlet.close(left_ns / NS_PER_S):
            _log.error("exporter %s hangs; ending without its last figures", outlet.name)
