"""The replay backend: says what was recorded when it was recorded, at any speed."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.backends import load
from submeter.backends.replay import ReplayBackend, create, opening
from submeter.clock import FakeClock
from submeter.errors import DeviceLost, DriverUnavailable, InputError, ReadFailed
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
from submeter.trace import Header, Record, create_trace
from submeter.trace.records import (
    DEVICE_LOST,
    DRIVER_UNAVAILABLE,
    READ_FAILED,
    ActivityRecord,
    ErrorRecord,
    GaugesRecord,
    GpuRecord,
    HoldersRecord,
    InstancesRecord,
    ProcessRecord,
    ReadingRecord,
    UtilisationRecord,
)
from submeter.units import NS_PER_S

START_NS = 500 * NS_PER_S
WALL_NS = 1_700_000_000 * NS_PER_S
KEY = ProcessKey("boot", 42, 7)


def at(seconds: float) -> int:
    return START_NS + int(seconds * NS_PER_S)


def gpu(number: int, name: str = "board") -> GpuInfo:
    return GpuInfo(
        uuid=f"GPU-{number}",
        index=number,
        name=name,
        driver="1",
        pci_bus_id="",
        arch="",
        energy_source=EnergySource.COUNTER,
        power_window="",
        refresh_ns=NS_PER_S,
        refresh_measured=True,
    )


def reading(seconds: float, number: int = 0) -> ReadingRecord:
    return ReadingRecord(
        number, Reading(at(seconds), int(seconds * 9), None, 70_000, 1, None, None)
    )


def lost(seconds: float, kind: str = DEVICE_LOST, call: str = "readings") -> ErrorRecord:
    return ErrorRecord(0, at(seconds), call, kind, "fell_off", "it fell off the bus")


def trace_of(path: Path, *records: Record, gpus: int = 1, end_s: float = 60) -> Path:
    writer = create_trace(path / "t.trace", overwrite=True)
    writer.begin(Header(START_NS, WALL_NS, tuple(map(gpu, range(gpus))), "0", "nvml"))
    for record in records:
        writer.write(record)
    writer.close(at(end_s))
    return path / "t.trace"


def backend_of(path: Path) -> tuple[ReplayBackend, FakeClock]:
    first = opening(path)
    clock = FakeClock(first.start_boottime_ns, first.start_wall_ns)
    return create(clock, {"trace": path, "speed": 1.0}), clock


def test_it_is_a_backend_by_name(tmp_path: Path) -> None:
    path = trace_of(tmp_path, reading(1))
    backend = load("replay", FakeClock(), {"trace": str(path)})
    assert backend.name == "replay"
    wanted = "REPLAYED: a recording, not this node: t.trace, from 2023-11-14 22:13 UTC"
    assert wanted in backend.notice


def test_the_opening_sets_the_clock(tmp_path: Path) -> None:
    first = opening(trace_of(tmp_path, reading(1), end_s=90))
    assert (first.start_boottime_ns, first.start_wall_ns) == (START_NS, WALL_NS)
    assert first.duration_ns == 90 * NS_PER_S
    assert first.truncated_at is None
    assert first.warnings == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "found trace None, expected the path"),
        ({"trace": 3}, "found trace 3, expected the path"),
        ({"trace": "/nowhere/t.trace"}, "/nowhere/t.trace: can't be read: No such file"),
        ({"trace": "x", "tarce": "y"}, "unknown option 'tarce', expected trace, speed"),
    ],
)
def test_wrong_options_are_input_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create(FakeClock(), options)


def test_readings_come_when_they_are_due_and_once(tmp_path: Path) -> None:
    records = [reading(s, g) for s in (1, 2, 3) for g in (0, 1)]
    backend, clock = backend_of(trace_of(tmp_path, *records, gpus=2))
    first, second = backend.open()
    assert (first.info, second.info) == (gpu(0), gpu(1))
    assert list(first.readings(at(0.9))) == []
    assert list(first.readings(at(2.5))) == [reading(1).reading, reading(2).reading]
    assert list(first.readings(at(2.6))) == []
    assert list(second.readings(at(3))) == [reading(s).reading for s in (1, 2, 3)]
    before = backend.finished
    clock.advance(60 * NS_PER_S)
    assert list(first.readings(clock.boottime_ns())) == [reading(3).reading]
    assert (before, backend.finished) == (False, True)
    assert backend.notice.startswith("REPLAYED TO ITS END: a recording, not this node")
    assert list(first.readings(at(999))) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    steps=st.lists(st.tuples(st.integers(0, 1), st.floats(0, 9)), max_size=30),
    times=st.lists(st.floats(0, 50), min_size=1, max_size=20),
)
def test_whatever_the_pace_the_same_readings_come(
    tmp_path: Path, steps: list[tuple[int, float]], times: list[float]
) -> None:
    records = [reading(s, n % 2) for n, s in enumerate(sorted(times))]
    backend, clock = backend_of(trace_of(tmp_path, *records, gpus=2))
    devices = backend.open()
    got: tuple[list[Reading], list[Reading]] = ([], [])
    for which, step in [*steps, (0, 100.0), (1, 0.0)]:
        clock.advance(int(step * NS_PER_S))
        fetched = devices[which].readings(clock.boottime_ns())
        assert all(r.at_ns <= clock.boottime_ns() for r in fetched)
        got[which].extend(fetched)
    for number in (0, 1):
        assert got[number] == [r.reading for r in records if r.gpu == number]
    assert backend.finished


def test_slow_answers_are_the_newest_recorded(tmp_path: Path) -> None:
    old, new = Activity(at(1), 10, 100), Activity(at(5), 20, 200)
    gauges = Gauges(at(2), 40, None, 700_000, (("sm", 5),), (("power_cap", 9),))
    holder = Holder(42, "compute", 1 << 30)
    samples = [UtilisationSample(42, n, 50) for n in range(3)]
    path = trace_of(
        tmp_path,
        ActivityRecord(0, old),
        GaugesRecord(0, gauges),
        HoldersRecord(0, at(2), (holder,)),
        UtilisationRecord(0, at(2), tuple(samples[:2])),
        UtilisationRecord(0, at(4), tuple(samples[2:])),
        InstancesRecord(0, at(4), (InstanceActivity(7, 1, 5),)),
        ActivityRecord(0, new),
        HoldersRecord(0, at(6), None),
        UtilisationRecord(0, at(7), None),
    )
    backend, _ = backend_of(path)
    (device,) = backend.open()
    assert device.activity(at(0)) == Activity(at(0))
    assert device.gauges(at(0)) == Gauges(at(0))
    assert device.holders(at(0)) is None
    assert device.utilisation(at(0)) is None
    assert device.instances(at(0)) is None
    assert device.activity(at(4.9)) == old
    assert device.gauges(at(4.9)) == gauges
    assert _list(device.holders(at(4.9))) == [holder]
    assert _list(device.utilisation(at(4.9))) == samples
    assert _list(device.utilisation(at(4.95))) == []
    assert _list(device.instances(at(4.9))) == [InstanceActivity(7, 1, 5)]
    assert _list(device.instances(at(4.95))) == []
    assert device.activity(at(5)) == new
    assert device.holders(at(8)) is None
    assert device.utilisation(at(8)) is None


def _list(values: Sequence[object] | None) -> list[object]:
    assert values is not None
    return list(values)


def test_processes_are_known_from_when_they_were_recorded(tmp_path: Path) -> None:
    later = ProcessKey("boot", 42, 8)
    path = trace_of(
        tmp_path,
        ProcessRecord(at(1), KEY, "python3", "train.py", "training"),
        ProcessRecord(at(5), later, "bash"),
    )
    backend, _ = backend_of(path)
    (device,) = backend.open()
    assert backend.processes.identify(42) is None
    device.readings(at(1))
    assert backend.processes.identify(42) == KEY
    environ = {"SUBMETER_PHASE": "training", "SUBMETER_WORKLOAD": "train.py"}
    assert backend.processes.facts(KEY) == ProcessFacts(KEY, "python3", environ=environ)
    device.readings(at(5))
    assert backend.processes.identify(42) == later
    assert backend.processes.facts(KEY) is None
    assert backend.processes.facts(later) == ProcessFacts(later, "bash")


def test_a_recorded_loss_is_lost_again_and_found_again(tmp_path: Path) -> None:
    path = trace_of(tmp_path, reading(1), lost(2), lost(3), reading(10), reading(11))
    backend, clock = backend_of(path)
    (device,) = backend.open()
    assert len(device.readings(at(2.5))) == 1
    with pytest.raises(DeviceLost, match="fell off the bus") as caught:
        device.readings(at(2.5))
    assert caught.value.reason == "fell_off"
    with pytest.raises(DeviceLost):
        device.activity(at(3))
    assert device.tally.errors == {("readings", "fell_off"): 2}
    clock.advance(5 * NS_PER_S)
    with pytest.raises(DeviceLost):
        backend.reopen("GPU-0")
    clock.advance(5 * NS_PER_S)
    again = backend.reopen("GPU-0")
    with pytest.raises(DeviceLost, match="not in the recording"):
        backend.reopen("GPU-9")
    assert len(again.readings(at(20))) == 2
    assert again.activity(at(20)) == Activity(at(20))


def test_a_loss_is_not_skipped_by_a_slow_reader(tmp_path: Path) -> None:
    path = trace_of(tmp_path, lost(1), lost(2), reading(3), lost(4), reading(5))
    backend, _ = backend_of(path)
    (device,) = backend.open()
    with pytest.raises(DeviceLost):
        device.readings(at(9))
    assert list(device.readings(at(9))) == [reading(3).reading]
    with pytest.raises(DeviceLost):
        device.readings(at(9))
    assert list(device.readings(at(9))) == [reading(5).reading]


def test_a_failed_read_fails_unless_more_is_due(tmp_path: Path) -> None:
    failed = lost(2, READ_FAILED)
    path = trace_of(
        tmp_path,
        reading(1),
        failed,
        reading(3),
        lost(4, READ_FAILED),
        lost(5, READ_FAILED, "gauges"),
    )
    backend, _ = backend_of(path)
    (device,) = backend.open()
    assert len(device.readings(at(3))) == 2
    with pytest.raises(ReadFailed, match="fell off the bus"):
        device.readings(at(4))
    assert list(device.readings(at(4))) == []
    with pytest.raises(ReadFailed):
        device.gauges(at(5))


def test_a_driver_that_was_gone_is_gone(tmp_path: Path) -> None:
    gone = ErrorRecord(None, at(5), "open", DRIVER_UNAVAILABLE, "driver_not_loaded", "no driver")
    path = trace_of(
        tmp_path, reading(1), lost(4, DRIVER_UNAVAILABLE), gone, GpuRecord(0, at(9), gpu(0, "new"))
    )
    backend, clock = backend_of(path)
    (device,) = backend.open()
    device.readings(at(4))
    with pytest.raises(DriverUnavailable):
        device.readings(at(4))
    backend.close()
    clock.advance(6 * NS_PER_S)
    with pytest.raises(DriverUnavailable, match="no driver") as caught:
        backend.open()
    assert caught.value.reason == "driver_not_loaded"
    clock.advance(4 * NS_PER_S)
    (device,) = backend.open()
    assert device.info.name == "new"


def test_closing_and_opening_neither_repeats_nor_skips(tmp_path: Path) -> None:
    backend, clock = backend_of(trace_of(tmp_path, *(reading(s) for s in range(1, 9))))
    got: list[Reading] = []
    for _ in range(9):
        (device,) = backend.open()
        got.extend(device.readings(clock.boottime_ns()))
        backend.close()
        backend.close()
        clock.advance(NS_PER_S)
    assert got == [reading(s).reading for s in range(1, 9)]


def test_a_cut_recording_says_so_on_every_page(tmp_path: Path) -> None:
    path = trace_of(tmp_path, reading(1), reading(2))
    path.write_bytes(path.read_bytes()[:-20])
    backend, _ = backend_of(path)
    assert "cut off at line 4" in backend.notice
    (device,) = backend.open()
    assert len(device.readings(at(60))) == 2
    assert backend.finished


def test_a_recording_that_changes_while_it_plays_is_no_crash(tmp_path: Path) -> None:
    path = trace_of(tmp_path, *(reading(s / 100) for s in range(3_000)))
    backend, _ = backend_of(path)
    (device,) = backend.open()
    device.readings(at(1))
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"garbage")
    with pytest.raises(DriverUnavailable, match="the recording has changed"):
        device.readings(at(99))


def test_a_log_without_processes_has_no_split(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("timestamp, power.draw [W]\n2023/07/14 10:12:46.483, 56.12\n")
    backend, clock = backend_of(path)
    (device,) = backend.open()
    now_ns = clock.boottime_ns()
    assert device.holders(now_ns) is None
    assert device.utilisation(now_ns) is None
    assert device.activity(now_ns) == Activity(now_ns)
    assert [r.instant_mw for r in device.readings(now_ns)] == [56_120]
