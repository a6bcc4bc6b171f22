"""Trace files: written, read, cut off anywhere, corrupted, compressed, endless."""

import gzip
import os
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.errors import InputError, SubmeterError
from submeter.model import Activity, EnergySource, GpuInfo, Reading
from submeter.trace import Header, create_trace, open_trace
from submeter.trace.lines import read_lines, told
from submeter.trace.records import ActivityRecord, EndRecord, ReadingRecord, Record
from submeter.units import NS_PER_S

Records = Callable[[int], st.SearchStrategy[Record]]

START_NS = 50 * NS_PER_S


def gpu(number: int) -> GpuInfo:
    return GpuInfo(
        uuid=f"GPU-{number}",
        index=number,
        name="Test board",
        driver="1",
        pci_bus_id="",
        arch="",
        energy_source=EnergySource.COUNTER,
        power_window="",
        refresh_ns=100_000_000,
        refresh_measured=True,
    )


def header(gpus: int = 1) -> Header:
    return Header(START_NS, 1_000 * NS_PER_S, tuple(map(gpu, range(gpus))), "0", "mock")


def reading(step: int, number: int = 0) -> ReadingRecord:
    at_ns = START_NS + step * 100_000_000
    return ReadingRecord(number, Reading(at_ns, step * 7, step, 70_000 + step, step, None, None))


def write(path: Path, records: Sequence[Record], start: Header | None = None) -> None:
    """A trace with these records; closed as whole unless they have an end of their own."""
    writer = create_trace(path, overwrite=True)
    writer.begin(start or header())
    for record in records:
        writer.write(record)
    writer.close(records[-1].at_ns if records else START_NS, "done")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data(), suffix=st.sampled_from([".trace", ".trace.gz"]))
def test_reading_and_writing_again_gives_the_same_bytes(
    data: st.DataObject,
    suffix: str,
    headers: st.SearchStrategy[Header],
    any_records: Records,
    tmp_path: Path,
) -> None:
    start = data.draw(headers)
    between = any_records(len(start.gpus)).filter(lambda record: not isinstance(record, EndRecord))
    records = data.draw(st.lists(between, max_size=8))
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write(first, records, start)
    trace = open_trace(first)
    assert trace.truncated_at is None
    *played, end = trace.records()
    assert played == records
    assert isinstance(end, EndRecord)
    writer = create_trace(second, overwrite=True)
    writer.begin(trace.header)
    for record in played:
        writer.write(record)
    writer.close(end.at_ns, end.reason)
    assert second.read_bytes() == first.read_bytes()
    first.unlink()
    second.unlink()


@pytest.mark.parametrize("name", ["t.trace", "t.trace.gz"])
def test_whoever_waits_is_told_how_far_reading_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, [reading(step) for step in range(10_000)])
    shares: list[float] = []
    with told(shares.append):
        open_trace(path)
    assert shares[-1] == 1
    assert any(0.2 < share < 0.8 for share in shares)


def test_a_file_that_the_kernel_says_is_empty_is_read() -> None:
    """Files below /proc have a size of 0 and something in them."""
    shares: list[float] = []
    with told(shares.append):
        lines = list(read_lines(Path("/proc/self/status")))
    assert lines[0].text.startswith("Name:")
    assert all(0 <= share <= 1 for share in shares)


def test_cut_at_any_byte_it_plays_to_the_last_whole_record(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    records = [reading(step) for step in range(5)]
    write(whole, records)
    data = whole.read_bytes()
    first_line = data.index(b"\n") + 1
    for size in range(first_line, len(data)):
        part.write_bytes(data[:size])
        trace = open_trace(part)
        lines = data[:size].count(b"\n")
        assert list(trace.records()) == records[: lines - 1]
        assert trace.truncated_at == lines + 1
        assert f"cut off at line {lines + 1}" in trace.warnings[0]
    for size in range(1, first_line):
        part.write_bytes(data[:size])
        with pytest.raises(InputError, match="part:1: "):
            open_trace(part)


def test_a_cut_gzip_stream_plays_what_can_be_had(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.gz", tmp_path / "part.gz"
    records = [reading(step) for step in range(3_000)]
    write(whole, records)
    data = whole.read_bytes()
    played = []
    for share in (2, 5, 9):
        part.write_bytes(data[: len(data) * share // 10])
        trace = open_trace(part)
        got = list(trace.records())
        assert got == records[: len(got)]
        assert trace.truncated_at == len(got) + 2
        played.append(len(got))
    assert 0 < played[0] < played[1] < played[2] < len(records)
    part.write_bytes(data[:-1])  # all data is there, only the checksum is not
    assert open_trace(part).truncated_at is None


def test_no_decompressed_byte_is_lost_at_the_cut(tmp_path: Path) -> None:
    """Also where it fills the buffer to the last byte."""
    path = tmp_path / "part.gz"
    data = gzip.compress(b"x" * 65_536 + b"y\n" * 4_000)
    for size in range(20, len(data) - 8):
        path.write_bytes(data[:size])
        available = zlib.decompressobj(wbits=31).decompress(data[:size]).decode()
        text = "".join(line.text + "\n" * line.whole for line in read_lines(path))
        assert text == available


def test_gzip_members_one_after_another_are_one_trace(tmp_path: Path) -> None:
    plain, parts = tmp_path / "plain", tmp_path / "parts"
    write(plain, [reading(step) for step in range(9)])
    data = plain.read_bytes()
    parts.write_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:]) + b"\0" * 512)
    assert list(open_trace(parts).records()) == list(open_trace(plain).records())
    assert open_trace(parts).truncated_at is None


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_corrupt_line_in_the_middle_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "bad"
    write(path, [reading(step) for step in range(5)])
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b",", b";", 1)
    data = b"\n".join(lines)
    target = tmp_path / f"bad.trace{suffix}"
    target.write_bytes(gzip.compress(data) if suffix else data)
    with pytest.raises(InputError, match=rf"bad\.trace{suffix}:4: .*found .*expected") as caught:
        open_trace(target)
    assert caught.value.line == 4
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\xff\xfe\x00garbage", "no text"),
        (b"x" * (2 << 20), "more than 1048576 characters"),
        (b'["r",7,1,null,null,1,null,null,null]', "GPU 7, expected one of the 1"),
        (b'["x",1,1,"readings","device_lost","",""]', "GPU 1, expected one of the 1"),
        (b'["e",9,""]\n["r",0,1,null,null,1,null,null,null]', "after the end"),
    ],
)
def test_nonsense_in_the_middle_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "bad.trace"
    write(path, [reading(0)])
    start, first, *rest = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([start, first, line, *rest]))
    with pytest.raises(InputError, match=r"bad\.trace:[34]: ") as caught:
        open_trace(path)
    assert message in str(caught.value)


def test_corrupt_gzip_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.gz"
    write(path, [reading(step) for step in range(2_000)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.gz:\d+: "):
        open_trace(path)


@pytest.mark.threat("T24")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match="expected a regular file"):
            open_trace(path)
    with pytest.raises(InputError, match="No such file"):
        open_trace(tmp_path / "absent")
    with pytest.raises(InputError, match="can't be read"):
        open_trace("nul\0inside")
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="empty:1: found an empty file"):
        open_trace(tmp_path / "empty")


def test_two_gpus_of_one_uuid_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twins"
    write(path, [], Header(1, 1, (gpu(0), gpu(0)), "0", "mock"))
    with pytest.raises(InputError, match="twins:1: found a GPU twice"):
        open_trace(path)


def test_an_existing_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        create_trace(path)
    assert path.read_text() == "precious"
    with pytest.raises(InputError, match="can't be created"):
        create_trace(tmp_path / "no" / "folder")


def test_a_full_disk_is_one_readable_error(tmp_path: Path) -> None:
    writer = create_trace(Path("/dev/full"), overwrite=True)
    with pytest.raises(SubmeterError, match="/dev/full: can't be written: No space left"):  # noqa: PT012
        writer.begin(header())
        for step in range(10_000):
            writer.write(reading(step))
    with pytest.raises(SubmeterError, match="No space left"):
        writer.abandon()


def test_a_killed_recorder_leaves_all_but_the_last_seconds(tmp_path: Path) -> None:
    for name in ("t.trace", "t.trace.gz"):
        writer = create_trace(tmp_path / name)
        writer.begin(header())
        for step in range(101):  # ten seconds
            writer.write(reading(step))
        trace = open_trace(tmp_path / name)
        assert trace.counts["ReadingRecord"] >= 50
        assert trace.truncated_at is not None
        writer.abandon()


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "busy.trace"
    writer = create_trace(path)
    writer.begin(header(4))

    def work(number: int) -> None:
        for step in range(300):
            writer.write(reading(step, number))
            writer.write(ActivityRecord(number, Activity(START_NS + step, step)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close(START_NS)
    writer.write(reading(1))  # a late thread
    writer.close(START_NS)
    trace = open_trace(path)
    assert trace.counts == {"ReadingRecord": 1_200, "ActivityRecord": 1_200, "EndRecord": 1}
    for number in range(4):
        steps = [r for r in trace.records() if isinstance(r, ReadingRecord) and r.gpu == number]
        assert steps == [reading(step, number) for step in range(300)]


def test_a_long_trace_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "long.trace"
    write(path, [reading(step) for step in range(30_000)])
    assert path.stat().st_size > 1_500_000
    tracemalloc.start()
    try:
        open_trace(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 700_000
