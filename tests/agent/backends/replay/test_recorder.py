"""The recorder: what passes through it is what plays back, bit for bit; secrets don't."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from submeter.backends import Backend, Device, ProcessSource, Tally, load
from submeter.backends.replay import create, opening
from submeter.backends.replay.recorder import RecordingBackend
from submeter.backends.turns import Poll, Turns, one_by_one
from submeter.clock import FakeClock
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed
from submeter.model import (
    Activity,
    EnergySource,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    ProcessFacts,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.trace import Record, create_trace, open_trace
from submeter.trace.records import ErrorRecord, GpuRecord, HoldersRecord, ProcessRecord
from submeter.units import NS_PER_MS, NS_PER_S

INFO = GpuInfo(
    uuid="GPU-0",
    index=0,
    name="board",
    driver="1",
    pci_bus_id="",
    arch="",
    energy_source=EnergySource.COUNTER,
    power_window="",
    refresh_ns=NS_PER_S,
    refresh_measured=True,
)
KEY = ProcessKey("boot", 42, 7)


class Board:
    """A device that answers, or raises what it is told to."""

    def __init__(self, info: GpuInfo = INFO) -> None:
        self.info = info
        self.tally = Tally()
        self.held_ns = 0
        self.polls = 0
        self.error: DeviceLost | DriverUnavailable | ReadFailed | None = None

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def poll(self, now_ns: int) -> None:
        self.polls += 1

    def readings(self, now_ns: int) -> Sequence[Reading]:
        self._answer()
        return [Reading(now_ns, 1, 2, 3, 4, 5, 6)]

    def hold(self, duration_ns: int) -> None:
        self.held_ns = duration_ns

    def activity(self, now_ns: int) -> Activity:
        self._answer()
        return Activity(now_ns, 1, 2)

    def gauges(self, now_ns: int) -> Gauges:
        self._answer()
        return Gauges(now_ns, 1, 2, 3, (("sm", 4),), (("hot", 5),))

    def holders(self, now_ns: int) -> Sequence[Holder] | None:
        self._answer()
        return [Holder(42)]

    def utilisation(self, now_ns: int) -> Sequence[UtilisationSample] | None:
        self._answer()
        return [UtilisationSample(42, now_ns // 1000, 50)]

    def instances(self, now_ns: int) -> Sequence[InstanceActivity] | None:
        self._answer()
        return [InstanceActivity(7, 1, 500_000)]


class Node:
    """A backend of one such board."""

    name = "fake"
    notice = "not real"

    def __init__(self) -> None:
        self.board = Board()
        self.gone: DriverUnavailable | None = None
        self.environ = {"SUBMETER_PHASE": "training", "SECRET_TOKEN": "hunter2"}
        self.processes: ProcessSource = self

    def open(self) -> Sequence[Board]:
        if self.gone is not None:
            raise self.gone
        return [self.board]

    def rescan(self) -> list[Board]:
        return []

    def poller(self, devices: Sequence[Device | None]) -> Poll:
        assert all(device is self.board for device in devices)
        return one_by_one(devices)

    def reopen(self, uuid: str) -> Board:
        assert uuid == self.board.info.uuid
        return self.board

    def close(self) -> None:
        pass

    def identify(self, pid: int) -> ProcessKey | None:
        return KEY if pid == 42 else None

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        argv = ("python", "train.py", "--password=hunter2")
        return ProcessFacts(key, "python", argv, "hunter2", environ=self.environ)


def recorded(path: Path, work: Callable[[Node, RecordingBackend, FakeClock], None]) -> list[Record]:
    node, clock = Node(), FakeClock()
    backend: Backend = node
    writer = create_trace(path)
    recording = RecordingBackend(backend, writer, clock, lambda facts: ("train.py", "training"))
    work(node, recording, clock)
    writer.close(clock.boottime_ns())
    return list(open_trace(path).records())[:-1]


def test_answers_pass_through_and_play_back(tmp_path: Path) -> None:
    clock = FakeClock()
    node = Node()
    writer = create_trace(tmp_path / "t")
    recording = RecordingBackend(node, writer, clock)
    (device,) = recording.open()
    assert (recording.name, recording.notice, device.info) == ("fake", "not real", INFO)
    assert device.tally is node.board.tally
    now_ns = clock.boottime_ns()
    said = (
        list(device.readings(now_ns)),
        device.activity(now_ns),
        device.gauges(now_ns),
        list(device.holders(now_ns) or ()),
        list(device.utilisation(now_ns) or ()),
    )
    writer.close(now_ns)
    (played,) = create(FakeClock(), {"trace": tmp_path / "t"}).open()
    assert played.info == INFO
    assert said == (
        list(played.readings(now_ns)),
        played.activity(now_ns),
        played.gauges(now_ns),
        list(played.holders(now_ns) or ()),
        list(played.utilisation(now_ns) or ()),
    )
    assert "not real" in create(FakeClock(), {"trace": tmp_path / "t"}).notice


@pytest.mark.threat("T1")
def test_no_command_line_and_no_environment_is_stored(tmp_path: Path) -> None:
    def work(node: Node, recording: RecordingBackend, clock: FakeClock) -> None:
        recording.open()
        for _ in range(3):
            assert recording.processes.identify(42) == KEY
            facts = recording.processes.facts(KEY)
            assert facts is not None
            assert facts.argv[1] == "train.py"

    (process,) = recorded(tmp_path / "t", work)
    assert process == ProcessRecord(
        FakeClock().boottime_ns(), KEY, "python", "train.py", "training"
    )
    assert b"hunter2" not in (tmp_path / "t").read_bytes()


def test_who_holds_a_gpu_is_written_before_that_it_does(tmp_path: Path) -> None:
    """Else a replay would not know it when it asks, and its energy would be nobody's."""

    def work(node: Node, recording: RecordingBackend, clock: FakeClock) -> None:
        (device,) = recording.open()
        for _ in range(2):
            device.holders(clock.boottime_ns())

    records = recorded(tmp_path / "t", work)
    assert [type(record) for record in records] == [ProcessRecord, HoldersRecord, HoldersRecord]
    clock = FakeClock()
    played = create(clock, {"trace": tmp_path / "t"})
    (device,) = played.open()
    assert device.holders(clock.boottime_ns()) == (Holder(42),)
    assert played.processes.identify(42) == KEY


@pytest.mark.parametrize(
    "error",
    [
        DeviceLost("fell_off", "it fell off"),
        DriverUnavailable("driver_not_loaded", "it is not loaded"),
        ReadFailed("nothing this time"),
    ],
)
def test_failures_pass_through_and_play_back(
    tmp_path: Path, error: DeviceLost | DriverUnavailable | ReadFailed
) -> None:
    def work(node: Node, recording: RecordingBackend, clock: FakeClock) -> None:
        (device,) = recording.open()
        node.board.error = error
        for call in (device.readings, device.activity, device.gauges, device.holders):
            with pytest.raises(type(error)) as caught:
                call(clock.boottime_ns())
            assert caught.value is error
        with pytest.raises(type(error)):
            device.utilisation(clock.boottime_ns())

    records = recorded(tmp_path / "t", work)
    calls = [record.call for record in records if isinstance(record, ErrorRecord)]
    assert calls == ["readings", "activity", "gauges", "holders", "utilisation"]
    clock = FakeClock()
    (played,) = create(clock, {"trace": tmp_path / "t"}).open()
    with pytest.raises(type(error)) as caught:
        played.readings(clock.boottime_ns())
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "reason", None) == getattr(error, "reason", None)


def test_polling_reaches_the_recorded_device(tmp_path: Path) -> None:
    def work(node: Node, recording: RecordingBackend, clock: FakeClock) -> None:
        (device,) = recording.open()
        poll = recording.poller([device])
        turns = Turns(1, clock.boottime_ns)
        turns.begin(clock.boottime_ns())
        poll(clock.boottime_ns(), turns)
        device.readings(clock.boottime_ns())
        assert node.board.polls == 1

    (reading,) = recorded(tmp_path / "t", work)
    assert getattr(reading, "gpu", None) == 0


def test_gpus_that_change_or_appear_are_recorded(tmp_path: Path) -> None:
    newer = Board(replace(INFO, driver="2"))
    other = Board(replace(INFO, uuid="GPU-1"))

    def work(node: Node, recording: RecordingBackend, clock: FakeClock) -> None:
        node.gone = DriverUnavailable("driver_not_loaded", "no driver")
        with pytest.raises(DriverUnavailable):
            recording.open()  # nothing is written before there is something to write about
        node.gone = None
        recording.open()
        node.gone = DriverUnavailable("driver_not_loaded", "no driver")
        with pytest.raises(DriverUnavailable):
            recording.open()
        node.gone = None
        node.board = newer
        recording.open()
        recording.reopen("GPU-0")
        node.board = other
        (device,) = recording.open()
        device.readings(clock.boottime_ns())

    gone, changed, appeared, reading = recorded(tmp_path / "t", work)
    assert isinstance(gone, ErrorRecord)
    assert (gone.gpu, gone.call, gone.reason) == (None, "open", "driver_not_loaded")
    assert isinstance(changed, GpuRecord)
    assert (changed.gpu, changed.info) == (0, newer.info)
    assert isinstance(appeared, GpuRecord)
    assert (appeared.gpu, appeared.info) == (1, other.info)
    assert getattr(reading, "gpu", None) == 1


def test_recording_a_replay_gives_the_same_trace(tmp_path: Path) -> None:
    """A simulated node recorded, played, and recorded again: the same records."""
    first, second = tmp_path / "first", tmp_path / "second"
    clock = FakeClock()
    _record(load("mock", clock, {}), clock, first)
    start = opening(first)
    clock = FakeClock(start.start_boottime_ns, start.start_wall_ns)
    _record(create(clock, {"trace": first}), clock, second)
    assert sorted(_lines(first)) == sorted(_lines(second))
    assert len(_lines(first)) > 300


def _record(backend: Backend, clock: FakeClock, path: Path) -> None:
    writer = create_trace(path)
    recording = RecordingBackend(backend, writer, clock)
    devices = recording.open()
    for tick in range(41):
        now_ns = clock.boottime_ns()
        for device in devices:
            device.readings(now_ns)
            if tick % 10 == 0:
                device.activity(now_ns)
                device.gauges(now_ns)
                device.holders(now_ns)
                device.utilisation(now_ns)
        clock.advance(100 * NS_PER_MS)
    writer.close(clock.boottime_ns())


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()[1:]  # the notice in the header says that it is a replay
