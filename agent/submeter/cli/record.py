"""``submeter record``: what a backend's sensors say in, a trace out, until told to stop."""

import argparse
import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from submeter.backends import Device
from submeter.backends.replay.recorder import RecordingBackend
from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import Progress, printable
from submeter.clock import Clock, SystemClock
from submeter.errors import EXIT_OK, DriverUnavailable, InputError, SubmeterError
from submeter.model import ProcessFacts
from submeter.runtime.assembly import backend_of
from submeter.sampling.jobs import Job, run_until
from submeter.sampling.node import Node
from submeter.trace import create_trace
from submeter.units import NS_PER_MS, NS_PER_S
from submeter.workloads import recognise
from submeter.workloads.naming import owner

HELP = "record what the sensors say, to be played back"
ABOUT = """
Records what the sensors say, each value once, until --duration is over or a signal ends it. The
trace can be played back bit for bit: submeter run --backend replay --trace FILE.
"""

_SLICE_NS = 250 * NS_PER_MS  # how soon a signal is noticed
_SURVEY_NS = 10 * NS_PER_S
_RETRY_NS = 5 * NS_PER_S
_MAX_RATE_HZ = 200


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="compressed if it ends in .gz")
    parser.add_argument(
        "--duration", type=_seconds, metavar="S", help="stop after that many seconds"
    )
    parser.add_argument(
        "--rate",
        type=_period_ns,
        metavar="HZ|auto",
        help="readings a second; auto (the default): locked to each sensor's refresh",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    add_common(parser, "--backend", "--scenario")
    examples(
        parser,
        "submeter record node.trace.gz",
        "submeter record burst.trace --duration 60 --rate 100",
    )


def run(arguments: argparse.Namespace) -> int:
    config = settings(arguments)
    if config.backend == "replay":
        raise InputError("--backend replay: a recording can't be recorded; see `submeter trace`")
    clock = SystemClock()
    backend = backend_of(config, clock)
    writer = create_trace(arguments.file, overwrite=arguments.force)
    try:
        recorder = Recorder(
            RecordingBackend(backend, writer, clock, label), clock, arguments.rate or None
        )
        with _told_to_stop() as told:
            recorder.start()
            if backend.notice:
                print(f"submeter: {printable(backend.notice)}", file=sys.stderr)
            reason = _run_for(recorder, clock, arguments.duration, told)
        recorder.stop()
        writer.close(clock.boottime_ns(), reason)
    except SubmeterError:
        if not writer.records:
            arguments.file.unlink(missing_ok=True)
        raise
    finally:
        writer.abandon()
    print(f"{printable(str(arguments.file))}: {writer.records} records, {reason}")
    return EXIT_OK


class Recorder:
    """Reads a recording backend as the agent does, in one thread, and books nothing."""

    def __init__(self, backend: RecordingBackend, clock: Clock, period_ns: int | None) -> None:
        self._backend = backend
        self._clock = clock
        self._node = Node(
            backend,
            clock,
            period_ns=period_ns,
            settle_ns=NS_PER_S,
            on_driver_error=self._driver_went,
        )
        self._jobs: list[Job] = []
        self._driver_gone = False
        self._retry_ns = 0

    def start(self) -> None:
        """Opens the backend. Raises DriverUnavailable where there is nothing to record."""
        self._node.open()
        fast, slow = self._node.jobs()
        now_ns = self._clock.boottime_ns()
        survey = Job("processes", (), NS_PER_S, now_ns + NS_PER_S, self._look_at_processes)
        self._jobs = [*slow, *fast, survey]

    def run_until(self, until_ns: int) -> None:
        """Records until then. Looks for the driver again when it went."""
        run_until(self._clock, self._jobs, until_ns)
        if self._driver_gone and until_ns >= self._retry_ns:
            self._find_driver(until_ns)

    def devices(self) -> list[Device]:
        """Every GPU there is."""
        return [watch.device for watch in self._node.watches()]

    def stop(self) -> None:
        """Lets go of the driver."""
        self._node.close()

    def _look_at_processes(self, _now_ns: int) -> None:
        for watch in self._node.watches():
            watch.closed.clear()  # nobody books them here
            watch.batches.clear()
            for held in watch.held or ():
                if held.key is not None:
                    self._backend.processes.facts(held.key)

    def _driver_went(self, _error: DriverUnavailable) -> None:
        self._driver_gone = True

    def _find_driver(self, now_ns: int) -> None:
        self._retry_ns = now_ns + _RETRY_NS
        self._node.close()
        try:
            self.start()
        except DriverUnavailable:
            return
        self._driver_gone = False


def label(facts: ProcessFacts) -> tuple[str, str]:
    """The workload and phase that a process is booked under."""
    who = owner(facts, recognise(facts))
    return who.workload, who.phase


def _run_for(recorder: Recorder, clock: Clock, duration_ns: int | None, told: Sequence[str]) -> str:
    start_ns = clock.boottime_ns()
    end_ns = None if duration_ns is None else start_ns + duration_ns
    total_s = None if duration_ns is None else duration_ns // NS_PER_S
    with Progress("recording, seconds" if total_s is None else "recording", total_s) as progress:
        while not told:
            now_ns = clock.boottime_ns()
            if end_ns is not None and now_ns >= end_ns:
                return "complete"
            recorder.run_until(min(now_ns + _SLICE_NS, end_ns or now_ns + _SLICE_NS))
            progress.update((now_ns - start_ns) // NS_PER_S)
    return f"stopped by {told[0]}"


@contextmanager
def _told_to_stop() -> Iterator[list[str]]:
    """Collects the names of signals that ask to stop, instead of dying of them in mid-record."""
    told: list[str] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        told.append(signal.Signals(number).name)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _seconds(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 10 * 365 * 86_400:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected seconds, more than 0")
    return round(seconds * NS_PER_S)


def _period_ns(text: str) -> int:
    """0 for auto."""
    if text == "auto":
        return 0
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = math.nan
    if not 0.01 <= rate_hz <= _MAX_RATE_HZ:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected 0.01 to {_MAX_RATE_HZ}, or auto"
        )
    return round(NS_PER_S / rate_hz)
