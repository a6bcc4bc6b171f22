"""``submeter record``: a whole trace whatever ends it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.backends import load
from submeter.backends.replay.recorder import RecordingBackend
from submeter.cli import main
from submeter.cli.record import Recorder, label
from submeter.clock import FakeClock
from submeter.errors import DriverUnavailable
from submeter.model import ProcessFacts, ProcessKey, Reading
from submeter.trace import create_trace, open_trace
from submeter.trace.records import ErrorRecord, ReadingRecord
from submeter.units import NS_PER_MS, NS_PER_S


def test_a_minute_of_the_simulated_node(tmp_path: Path) -> None:
    clock = FakeClock()
    backend = load("mock", clock, {})
    writer = create_trace(tmp_path / "t")
    recorder = Recorder(RecordingBackend(backend, writer, clock, label), clock, 250 * NS_PER_MS)
    recorder.start()
    recorder.run_until(clock.boottime_ns() + 60 * NS_PER_S)
    recorder.stop()
    writer.close(clock.boottime_ns())
    trace = open_trace(tmp_path / "t")
    gpus = len(trace.header.gpus)
    assert trace.counts["ReadingRecord"] == pytest.approx(240 * gpus, rel=0.05)
    assert trace.counts["ActivityRecord"] == pytest.approx(60 * gpus, rel=0.05)
    assert trace.counts["GaugesRecord"] == pytest.approx(6 * gpus, abs=gpus)
    assert trace.counts["HoldersRecord"] >= 6 * gpus
    assert trace.counts["UtilisationRecord"] > 0
    assert trace.counts["ProcessRecord"] > 0


def test_the_driver_may_go_and_come_back(tmp_path: Path) -> None:
    clock = FakeClock()
    backend = load("mock", clock, {})
    writer = create_trace(tmp_path / "t")
    recorder = Recorder(RecordingBackend(backend, writer, clock), clock, NS_PER_S)
    healthy, broken = backend.open, DriverUnavailable("driver_not_loaded", "gone")

    def fail(*_: object) -> list[Reading]:
        raise broken

    recorder.start()
    recorder.run_until(clock.boottime_ns() + 5 * NS_PER_S)
    with pytest.MonkeyPatch.context() as patch:
        for device in recorder.devices():
            patch.setattr(device, "readings", fail)
        patch.setattr(backend, "open", fail)
        for _ in range(40):
            recorder.run_until(clock.boottime_ns() + 250 * NS_PER_MS)
    assert backend.open == healthy
    back_ns = clock.boottime_ns()
    for _ in range(80):
        recorder.run_until(clock.boottime_ns() + 250 * NS_PER_MS)
    writer.close(clock.boottime_ns())
    records = list(open_trace(tmp_path / "t").records())
    gone = [r for r in records if isinstance(r, ErrorRecord) and r.gpu is None]
    assert 1 <= len(gone) <= 3  # not asked for at every tick
    assert {r.gpu for r in records if isinstance(r, ReadingRecord) and r.at_ns > back_ns} == set(
        range(len(recorder.devices()))
    )


def test_a_label_is_a_name_and_a_phase() -> None:
    key = ProcessKey("boot", 42, 7)
    facts = ProcessFacts(key, "python", ("python", "train.py", "--password=hunter2"))
    assert label(facts) == ("train.py", "training")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_whole_file(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "t.trace.gz"
    process = subprocess.Popen(
        [sys.executable, "-m", "submeter", "record", str(path), "--backend", "mock"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stderr is not None
    assert "SIMULATED" in process.stderr.readline()  # it is recording now
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert f"records, stopped by {number.name}" in out
    trace = open_trace(path)
    assert trace.truncated_at is None


def test_duration_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.trace"
    arguments = ["record", str(path), "--backend", "mock", "--duration", "0.3", "--rate", "50"]
    assert main(arguments) == 0
    assert open_trace(path).duration_ns == pytest.approx(0.3 * NS_PER_S, rel=0.5)
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "expected 0.01 to 200, or auto"),
        (["--rate", "fast"], "expected 0.01 to 200, or auto"),
        (["--duration", "-1"], "expected seconds, more than 0"),
        (["--duration", "nan"], "expected seconds, more than 0"),
        (["--backend", "replay", "--set", "replay.trace=x"], "can't be recorded"),
        (["--backend", "mock", "--scenario", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_wrong_usage_is_exit_2_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    path = tmp_path / "t.trace"
    assert main(["record", str(path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not path.exists()
