"""Power logs as users have them: every shape of nvidia-smi CSV, PTDaemon, MLPerf."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.errors import InputError
from submeter.model import EnergySource, Gauges, Reading
from submeter.trace import Trace, open_trace
from submeter.trace.imported import ORIGIN_NS
from submeter.trace.records import ActivityRecord, GaugesRecord, ReadingRecord
from submeter.units import NS_PER_MS, NS_PER_S


class Point(NamedTuple):
    """A reading in short: seconds since the start."""

    gpu: int
    s: float
    mw: int | None


def opened(tmp_path: Path, text: str | bytes, name: str = "log.csv") -> Trace:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_trace(path)


def readings(trace: Trace) -> list[Reading]:
    return [r.reading for r in trace.records() if isinstance(r, ReadingRecord)]


def points(trace: Trace) -> list[Point]:
    return [
        Point(
            r.gpu,
            (r.at_ns - ORIGIN_NS) / NS_PER_S,
            r.reading.instant_mw if r.reading.average_mw is None else r.reading.average_mw,
        )
        for r in trace.records()
        if isinstance(r, ReadingRecord)
    ]


TWO = """timestamp, index, power.draw [W]
2023/07/14 10:12:46.000, 0, 100.00 W
2023/07/14 10:12:46.002, 1, 200.00 W
2023/07/14 10:12:47.000, 0, 110.00 W
2023/07/14 10:12:47.002, 1, 210.00 W
"""
TWO_POINTS = [
    Point(0, 0.0, 100_000),
    Point(1, 0.002, 200_000),
    Point(0, 1.0, 110_000),
    Point(1, 1.002, 210_000),
]


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        TWO.replace("\n", "\r\n"),
        "\ufeff" + TWO,
        TWO.replace(" W\n", "\n"),
        TWO.replace("power.draw [W]", "power.draw"),
        TWO.replace(", ", ","),
        TWO.replace(", ", "\t"),
        TWO.replace(", ", "; ").replace("0.00 W", "0,00 W"),
        TWO.replace(", ", '","').replace("\n", '"\n"').join('"\n').removesuffix('"\n').strip("\n"),
        TWO.replace("index", "gpu_index"),
        TWO.replace("index", "pci.bus_id").replace(" 0,", " 0:01,").replace(" 1,", " 0:02,"),
        TWO.replace("index", "uuid").replace(" 0,", " GPU-a,").replace(" 1,", " GPU-b,"),
        TWO.replace(" index,", "").replace(" 0,", "").replace(" 1,", ""),
        "\n\n# a comment\n" + TWO + "\n",
    ],
    ids=["plain", "crlf", "bom", "header-units", "cell-units", "tight", "tabs", "semicolons",
         "quoted", "renamed", "bus-id", "uuid", "by-turns", "blank-lines"],
)  # fmt: skip
def test_all_dress_of_one_log_is_the_same_log(tmp_path: Path, text: str) -> None:
    if text.startswith('"'):
        text += '"\n' if not text.endswith('"') else "\n"
    assert points(opened(tmp_path, text)) == TWO_POINTS
    assert points(opened(tmp_path, gzip.compress(text.encode()), "log.csv.gz")) == TWO_POINTS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_powershell_writes_utf_16(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    assert points(opened(tmp_path, (mark + TWO).encode(encoding))) == TWO_POINTS


def test_what_a_gpu_is_comes_from_the_log(tmp_path: Path) -> None:
    trace = opened(
        tmp_path,
        "name, driver_version, uuid, pci.bus_id, timestamp, power.draw [W], memory.total [MiB], "
        "power.max_limit [W], utilization.gpu [%], memory.used [MiB], temperature.gpu, "
        "temperature.memory, clocks.current.sm [MHz], clocks.mem [MHz], enforced.power.limit [W]\n"
        "NVIDIA H100 80GB HBM3, 550.54, GPU-7, 00000000:17:00.0, 2024/01/02 03:04:05.678, 300.5 W, "
        "81559 MiB, 700.00 W, 97 %, 1000 MiB, 55, [N/A], 1980 MHz, 2619 MHz, 650.00 W\n",
    )
    (gpu,) = trace.header.gpus
    assert (gpu.uuid, gpu.name, gpu.driver) == ("GPU-7", "NVIDIA H100 80GB HBM3", "550.54")
    assert (gpu.pci_bus_id, gpu.arch, gpu.scope) == ("00000000:17:00.0", "hopper", "gpu")
    assert (gpu.energy_source, gpu.power_window) == (EnergySource.AVERAGE, "1s")
    assert gpu.memory_total_bytes == 81_559 << 20
    assert gpu.power_limit_max_mw == 700_000
    assert {missing.capability for missing in gpu.missing} == {"processes", "energy_counter"}
    assert trace.header.start_wall_ns == 1_704_164_645_678 * NS_PER_MS
    assert trace.header.created == "2024-01-02T03:04:05Z"
    reading, activity, gauges = trace.records()
    assert reading == ReadingRecord(0, Reading(ORIGIN_NS, None, None, None, None, 300_500, None))
    assert isinstance(activity, ActivityRecord)
    assert (activity.activity.utilization_percent, activity.activity.memory_used_bytes) == (
        97,
        1000 << 20,
    )
    clocks = (("sm", 1_980_000_000), ("memory", 2_619_000_000))
    assert gauges == GaugesRecord(0, Gauges(ORIGIN_NS, 55, None, 650_000, clocks))


@pytest.mark.parametrize(
    ("name", "instant", "average"),
    [
        ("NVIDIA A100-SXM4-80GB", 1_000, None),  # GA100: power.draw is instantaneous
        ("Tesla V100-SXM2-16GB", 1_000, None),
        ("Tesla T4", 1_000, None),
        ("NVIDIA GeForce RTX 3090", None, 1_000),
        ("NVIDIA A10G", None, 1_000),
        ("NVIDIA RTX A6000", None, 1_000),
        ("NVIDIA L40S", None, 1_000),
        ("NVIDIA GeForce RTX 4090", None, 1_000),
        ("NVIDIA H200", None, 1_000),
        ("NVIDIA GH200 480GB", None, 1_000),
        ("NVIDIA B200", None, 1_000),
        ("Mystery board", 1_000, None),
    ],
)
def test_what_power_draw_means_depends_on_the_board(
    tmp_path: Path, name: str, instant: int | None, average: int | None
) -> None:
    trace = opened(
        tmp_path, f"timestamp,name,power.draw [W]\n2024/01/02 03:04:05.678,{name},1.00 W\n"
    )
    (reading,) = readings(trace)
    assert (reading.instant_mw, reading.average_mw) == (instant, average)
    source = EnergySource.INSTANT if average is None else EnergySource.AVERAGE
    assert trace.header.gpus[0].energy_source is source
    assert any("isn't known" in text for text in trace.warnings) == (name == "Mystery board")


def test_clearer_columns_win_over_power_draw(tmp_path: Path) -> None:
    trace = opened(
        tmp_path,
        "timestamp, power.draw [W], power.draw.average [W], power.draw.instant [W]\n"
        "2024/01/02 03:04:05.000, 5.00, 6.00, 7.00\n"
        "2024/01/02 03:04:06.000, 5.00, [N/A], 8.00\n",
    )
    assert [(r.instant_mw, r.average_mw) for r in readings(trace)] == [(7000, 6000), (8000, None)]
    assert trace.header.gpus[0].energy_source is EnergySource.AVERAGE


def test_an_average_that_is_never_there_is_no_source(tmp_path: Path) -> None:
    trace = opened(
        tmp_path,
        "timestamp, power.draw.average [W], power.draw.instant [W]\n"
        "2024/01/02 03:04:05.000, [N/A], 8.00\n",
    )
    assert trace.header.gpus[0].energy_source is EnergySource.INSTANT


def test_an_energy_counter_is_kept(tmp_path: Path) -> None:
    trace = opened(tmp_path, "timestamp,power_w,energy_mj\n0.0,1,500\n0.5,1,1000\n1.0,1,\n")
    assert [r.energy_uj for r in readings(trace)] == [500_000, 1_000_000, None]
    assert trace.header.gpus[0].energy_source is EnergySource.COUNTER
    assert trace.header.start_wall_ns == 0
    assert trace.header.created == ""


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    trace = opened(tmp_path, TWO.replace("110.00 W", "[Unknown Error]").replace("210.00 W", "N/A"))
    assert [point.mw for point in points(trace)] == [100_000, 200_000, None, None]


def test_refresh_is_the_median_spacing(tmp_path: Path) -> None:
    rows = "".join(f"{s},1\n" for s in (0, 0.1, 0.2, 0.31, 0.41, 9.0))
    (gpu,) = opened(tmp_path, "elapsed_s,power_w\n" + rows).header.gpus
    assert gpu.refresh_ns == 100 * NS_PER_MS
    assert gpu.refresh_measured


def test_a_partial_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    for cut in range(1, len("2023/07/14 10:12:47.002, 1, 210.00 W") + 1):
        trace = opened(tmp_path, TWO[: -1 - cut] if cut else TWO, f"log-{cut}.csv")
        whole = points(trace)
        assert whole == TWO_POINTS[:3]
        partial = TWO[: -1 - cut].endswith("\n")
        assert trace.truncated_at == (None if partial else 5)


def test_a_compressed_log_that_stops_between_two_rows_is_cut_off(tmp_path: Path) -> None:
    engine = zlib.compressobj(wbits=31)
    data = engine.compress(TWO.encode()) + engine.flush(zlib.Z_SYNC_FLUSH)
    trace = opened(tmp_path, data, "log.csv.gz")
    assert points(trace) == TWO_POINTS
    assert trace.truncated_at == 6
    assert opened(tmp_path, data + engine.flush(), "whole.csv.gz").truncated_at is None


def test_a_cut_compressed_log_gives_every_row_that_can_be_had(tmp_path: Path) -> None:
    rows = "".join(f"{step / 10:.1f},500\n" for step in range(30_000))
    data = gzip.compress(("elapsed_s,power_w\n" + rows).encode())
    for size in (len(data) // 3, len(data) // 2, len(data) - 9):
        part = data[:size]
        whole_rows = zlib.decompressobj(wbits=31).decompress(part).count(b"\n") - 1
        trace = opened(tmp_path, part, f"{size}.csv.gz")
        assert trace.counts["ReadingRecord"] == whole_rows
        assert trace.truncated_at == whole_rows + 2


def test_a_restarted_logger_repeats_its_header(tmp_path: Path) -> None:
    head, *rows = TWO.splitlines()
    again = "timestamp, power.draw [W], index"  # with other columns, even
    later = [r.replace("10:12", "10:13").split(", ") for r in rows]
    swapped = [f"{time}, {power}, {index}" for time, index, power in later]
    trace = opened(tmp_path, "\n".join([head, *rows, head, again, *swapped]) + "\n")
    moved = [Point(gpu, s + 60, mw) for gpu, s, mw in TWO_POINTS]
    assert points(trace) == TWO_POINTS + moved
    assert any("restarted (2 times, first line 6)" in text for text in trace.warnings)


def test_messages_of_nvidia_smi_between_rows_are_no_rows(tmp_path: Path) -> None:
    message = (
        "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the "
        "system to recover this GPU\n"
    )
    trace = opened(tmp_path, TWO + message)
    assert points(trace) == TWO_POINTS
    assert any("Unable to determine" in text for text in trace.warnings)


def test_summer_time_ends_without_a_jump(tmp_path: Path) -> None:
    rows = ["02:59:58", "02:59:59", "02:00:00", "02:00:01"]
    text = "timestamp, index, power.draw [W]\n" + "".join(
        f"2023/10/29 {time}.000, {gpu}, 1.00 W\n" for time in rows for gpu in (0, 1)
    )
    trace = opened(tmp_path, text)
    assert [p.s for p in points(trace) if p.gpu == 0] == [0, 1, 2, 3]
    assert [p.s for p in points(trace) if p.gpu == 1] == [0, 1, 2, 3]
    assert any("went back one hour" in warning for warning in trace.warnings)


def test_any_other_step_back_goes_on_one_sample_later(tmp_path: Path) -> None:
    text = "timestamp,power_w\n" + "".join(
        f"2023/10/29 02:00:{s:02}.000,1\n" for s in (10, 12, 14, 1, 3)
    )
    trace = opened(tmp_path, text)
    assert [p.s for p in points(trace)] == [0, 2, 4, 6, 8]
    assert any("goes backwards" in warning and "line 5" in warning for warning in trace.warnings)


def test_jitter_of_the_logger_stands_still(tmp_path: Path) -> None:
    text = "elapsed_ms,power_w\n0,1\n100,1\n99,1\n200,1\n"
    assert [p.s for p in points(opened(tmp_path, text))] == [0, 0.1, 0.1, 0.2]


def test_logs_joined_gpu_by_gpu_are_played_together(tmp_path: Path) -> None:
    head, *rows = TWO.splitlines()
    apart = [f"2023/07/14 10:12:{s:02}.000, {gpu}, 5.00 W" for gpu in (0, 1) for s in range(40)]
    trace = opened(tmp_path, "\n".join([head, *apart]) + "\n")
    times = [record.at_ns for record in trace.records()]
    assert times == sorted(times)
    assert {point.gpu for point in points(trace)[:2]} == {0, 1}
    assert rows


def test_impossible_values_are_none_and_said(tmp_path: Path) -> None:
    trace = opened(tmp_path, "elapsed_s,power_w,temperature_c\n0,-1,-3\n1,9e9,4\n2,5,5\n")
    assert [point.mw for point in points(trace)] == [None, None, 5_000]
    assert any("impossible values of draw" in warning for warning in trace.warnings)


def test_series_in_one_file_are_devices_of_their_own(tmp_path: Path) -> None:
    trace = opened(
        tmp_path,
        "model,num_gpus,max_num_seqs,task,relative_time_s,power_total_W\n"
        "A,4,8,chat,0.0,2400.0\nA,4,8,chat,0.1,2500.0\nB,1,8,chat,0.0,400.0\n",
    )
    assert [gpu.scope for gpu in trace.header.gpus] == ["sum of GPUs"] * 2
    assert trace.header.gpus[0].name == "model=A num_gpus=4 max_num_seqs=8 task=chat"
    assert trace.header.gpus[0].power_limit_max_mw == 2_500_000
    assert points(trace) == [
        Point(0, 0.0, 2_400_000),
        Point(0, 0.1, 2_500_000),
        Point(1, 0.0, 400_000),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: found an empty file"),
        ("2023/07/14 10:12:46.483, 0, 56.12 W\n", ":1: found the row .*`noheader`"),
        ("hello world\n", ":1: found 'hello world', expected a trace, or a log whose header"),
        ("timestamp, utilization.gpu\n", ":1: found 'timestamp, utilization.gpu', expected"),
        ("timestamp, power.draw [W]\n", "found no row with a power"),
        ("timestamp, power.draw [W]\n2023/07/14 10:12:46, [N/A]\n", "found no row with a power"),
        (TWO + "2023/07/14 10:12:48.000, 0\n", ":6: found 2 values, expected 3 as in the header"),
        (TWO + "2023/07/14 10:12:48.000, 0, 1,5 W\n", ":6: found 4 values.*a decimal comma"),
        (TWO + "2023/07/14 10:12:48.000, 0, P0\n", ":6: column 3: found 'P0', expected"),
        (TWO + "2023/07/14 10:12:48.000, 0, 5 MiX\n", ":6: column 3: found the unit 'MiX'"),
        (TWO + "14/07/2023 10:12, 0, 5 W\n", ":6: found '14/07/2023 10:12', expected a date"),
        (TWO + '2023/07/14 10:12:48.000, 0, "5 W\n', ":6: found a badly quoted row"),
    ],
)
def test_a_wrong_log_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"log\.csv.*" + message):
        opened(tmp_path, text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from([*TWO.splitlines(), "", ",", '"', "a,b,c", "2023"])).map("\n".join)
)
def test_no_text_raises_anything_but_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.csv"
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        trace = open_trace(path)
    except InputError:
        return
    assert sum(1 for _ in trace.records()) >= trace.counts["ReadingRecord"] > 0


PTD = (
    "Time,07-17-2024 20:49:56.945,Watts,2511.100000,Volts,239.15,Amps,3.6,PF,0.96,Mark,x,Ch1,"
    "Watts,849.2\nTime,07-17-2024 20:49:57.945,Watts,-1.000000,Volts,0\n\n"
)


def test_ptdaemon_logs_are_a_node_at_the_wall(tmp_path: Path) -> None:
    trace = opened(tmp_path, PTD, "spl.txt")
    (gpu,) = trace.header.gpus
    assert (gpu.scope, gpu.energy_source, gpu.power_window) == ("node", EnergySource.AVERAGE, "1s")
    assert points(trace) == [Point(0, 0, 2_511_100), Point(0, 1, None)]
    assert trace.header.created == "2024-07-17T20:49:56Z"
    for line in ("Time,13-17-2024 20:49:58.945,Watts,1\n", "Time,nonsense,Watts,1\n"):
        with pytest.raises(InputError, match=r"bad\.txt:4: "):
            opened(tmp_path, PTD + line, "bad.txt")


MLLOG = "".join(
    f"{line}\n"
    for line in (
        "some other output",
        ':::MLLOG {"time_ms": 1000000000000, "key": "conversion_eff", "value": 0.94}',
        ':::MLLOG {"time_ms": 1000000001000, "key": "power_reading", "value": 8244.0,'
        ' "metadata": {"host": "a"}}',
        ':::MLLOG {"time_ms": 1000000002000, "key": "power_reading", "value": null,'
        ' "metadata": {"host": "a"}}',
        ':::MLLOG {"time_ms": 1000000001500, "key": "power_reading", "value": 7000.5,'
        ' "metadata": {"host": "b"}}',
    )
)


def test_mlperf_logs_are_one_node_a_host(tmp_path: Path) -> None:
    trace = opened(tmp_path, MLLOG, "node_0.txt")
    assert [gpu.scope for gpu in trace.header.gpus] == ["node", "node"]
    assert points(trace) == [
        Point(0, 0, 8_244_000),
        Point(0, 1, None),
        Point(1, 0.5, 7_000_500),
    ]
    assert any("0.94: not applied" in warning for warning in trace.warnings)
    for line in (
        ":::MLLOG {]\n",
        ":::MLLOG []\n",
        ':::MLLOG {"key": "power_reading", "time_ms": "x", "value": 1}\n',
        ':::MLLOG {"key": "power_reading", "time_ms": 1, "value": "x"}\n',
        ':::MLLOG {"key": "power_reading", "time_ms": 1, "value": Infinity}\n',
    ):
        with pytest.raises(InputError, match=r"bad\.txt:6: found .*expected"):
            opened(tmp_path, MLLOG + line, "bad.txt")
