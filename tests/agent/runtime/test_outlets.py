"""An exporter that fails, hangs or is slow: it is said of it, and nobody else notices."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from submeter.clock import FakeClock, SystemClock
from submeter.errors import SubmeterError
from submeter.exporting import Source
from submeter.model import Reading, Snapshot
from submeter.runtime.outlets import Outlet, close, finish
from submeter.testing.snapshots import node
from submeter.units import NS_PER_MS, NS_PER_S
from submeter.web.http import Request, Response, Routes, text

PATIENCE_S = 10.0


@dataclass
class Scripted:
    """An exporter that does what the test says."""

    name: str = "scripted"
    interval_ns: int | None = NS_PER_MS
    push: Callable[[Snapshot], None] = lambda snapshot: None
    pushed: list[Snapshot] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)
    closed: int = 0

    def routes(self, _source: Source) -> Routes:
        def answer(request: Request) -> Response:
            if request.query == "bad":
                raise ValueError("a defect")
            return text("fine")

        return {"/scripted": answer}

    def publish(self, snapshot: Snapshot) -> None:
        self.push(snapshot)
        with self.news:
            self.pushed.append(snapshot)
            self.news.notify_all()

    def close(self) -> None:
        self.closed += 1

    def wait(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.pushed) >= count, PATIENCE_S)


@pytest.fixture
def started() -> Iterator[Callable[[Scripted], Outlet]]:
    outlets: list[Outlet] = []

    def start(exporter: Scripted) -> Outlet:
        outlet = Outlet(exporter, SystemClock(), node)
        outlets.append(outlet)
        outlet.start()
        return outlet

    yield start
    finish(outlets, None)
    close(outlets, SystemClock(), PATIENCE_S)


def test_pushes_what_is_new_and_the_last_at_the_end(started: Callable[[Scripted], Outlet]) -> None:
    exporter = Scripted()
    outlet = started(exporter)
    exporter.wait(3)
    last = node(sequence=99)
    outlet.finish(last)
    outlet.finish(None)  # said once more when everything is closed: nothing changes
    assert outlet.close(PATIENCE_S)
    assert exporter.pushed[-1] is last
    assert exporter.closed == 1
    state = outlet.state()
    assert (state.up, state.runs, state.failures) == (True, len(exporter.pushed), 0)
    assert state.succeeded_wall_ns is not None
    assert state.last_run_ns > 0


@pytest.mark.parametrize("error", [OSError("no route"), SubmeterError("full"), ValueError("ours")])
def test_goes_on_after_any_failure(
    started: Callable[[Scripted], Outlet], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    failing = threading.Event()
    failing.set()
    tries = threading.Semaphore(0)

    def push(_snapshot: Snapshot) -> None:
        tries.release()
        if failing.is_set():
            raise error

    caplog.set_level(logging.INFO)
    exporter = Scripted(push=push)
    outlet = started(exporter)
    for _ in range(3):
        assert tries.acquire(timeout=PATIENCE_S)
    state = outlet.state()
    assert not state.up
    assert state.failures >= 2
    assert state.succeeded_wall_ns is None
    failing.clear()
    exporter.wait(2)
    assert outlet.state().up
    said = [record.message for record in caplog.records]
    assert sum("scripted fails" in each for each in said) == 1
    assert sum("works again" in each for each in said) == 1


def test_one_that_hangs_is_down_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    inside, let_go = threading.Event(), threading.Event()

    def push(_snapshot: Snapshot) -> None:
        inside.set()
        let_go.wait()

    clock = FakeClock()
    outlet = Outlet(Scripted(push=push), clock, node)
    outlet.start()
    try:
        assert inside.wait(PATIENCE_S)
        assert outlet.state().up
        clock.advance(31 * NS_PER_S)
        assert not outlet.state().up
        outlet.state()
        assert sum("hangs" in record.message for record in caplog.records) == 1
        outlet.finish(node())
        assert not outlet.close(0.01)
    finally:
        let_go.set()
        assert outlet.close(PATIENCE_S)


def test_requests_are_counted_and_their_errors_go_on() -> None:
    outlet = Outlet(Scripted(interval_ns=None), FakeClock(), node)
    handler = outlet.routes(node)["/scripted"]
    assert handler(Request("/scripted"))
    assert (outlet.state().runs, outlet.state().failures) == (1, 0)
    with pytest.raises(ValueError, match="a defect"):
        handler(Request("/scripted", "bad"))
    assert (outlet.state().runs, outlet.state().failures, outlet.state().up) == (1, 1, False)
    handler(Request("/scripted"))
    assert outlet.state().up


class Tracing(Scripted):
    """One that wants every reading."""

    taken: list[tuple[str, Reading]]

    def trace(self, readings: Sequence[tuple[str, Reading]]) -> None:
        self.taken.extend(readings)


def test_every_reading_is_handed_over_once(started: Callable[[Scripted], Outlet]) -> None:
    exporter = Tracing()
    exporter.taken = []
    outlet = started(exporter)
    assert outlet.offer is not None
    readings = [Reading(at_ns, at_ns, 0, 1, 0, 1, 0) for at_ns in range(5_000)]
    for reading in readings:
        outlet.offer("GPU-x", reading)
    outlet.finish(node())
    assert outlet.close(PATIENCE_S)
    assert exporter.taken == [("GPU-x", reading) for reading in readings]


def test_readings_that_nobody_takes_are_bounded_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("submeter.runtime.outlets._READINGS", 10)
    exporter = Tracing()
    exporter.taken = []
    outlet = Outlet(exporter, FakeClock(), node)
    assert outlet.offer is not None
    for at_ns in range(25):
        outlet.offer("GPU-x", Reading(at_ns, at_ns, 0, 1, 0, 1, 0))
    assert outlet.state().missed_readings == 15


def test_snapshots_only_where_nothing_more_is_wanted() -> None:
    assert Outlet(Scripted(), FakeClock(), node).offer is None
