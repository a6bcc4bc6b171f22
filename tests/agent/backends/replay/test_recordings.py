"""Public recordings, played through the meter: the energy of an independent integral, ± 0.5 %."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from submeter.backends.replay import create, opening
from submeter.clock import FakeClock
from submeter.metering import Meter
from submeter.model import EnergySource
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J

TRACES = Path(__file__).parents[5] / "shared" / "traces"
TOLERANCE = 0.005

Rows = Iterator[tuple[str, float, float]]  # which GPU, seconds, watts


class Recording(NamedTuple):
    name: str
    rows: Callable[[Path], Rows]
    gpus: int
    source: EnergySource
    scope: str = "gpu"


def _stamp(text: str, form: str) -> float:
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()


def _nanogpt(path: Path) -> Rows:
    with path.open() as file:
        for row in csv.DictReader(file):
            moment = datetime.fromisoformat(row["timestamp"])
            yield row["gpu_index"], moment.timestamp(), float(row["power_W"])


def _resnet(path: Path) -> Rows:
    for line in path.read_text().split("\n")[1:-1]:  # what follows the last line end is cut off
        cells = line.split(", ")
        yield "0", _stamp(cells[0], "%Y/%m/%d %H:%M:%S.%f"), float(cells[6].split()[0])


def _mobilenet(path: Path) -> Rows:
    with path.open() as file:
        for row in csv.DictReader(file):
            watts = float(row["gpu_power_draw"].removesuffix(" W"))
            yield "0", _stamp(row["timestamp"], "%Y-%m-%d %H:%M:%S.%f"), watts


def _mlenergy(path: Path) -> Rows:
    with path.open() as file:
        for row in csv.DictReader(file):
            series = f"{row['model']}/{row['num_gpus']}/{row['max_num_seqs']}/{row['task']}"
            yield series, float(row["relative_time_s"]), float(row["power_total_W"])


def _ptdaemon(path: Path) -> Rows:
    for line in path.read_text().split():
        if line.startswith("Time,"):
            day = line.removeprefix("Time,")
        elif line:
            clock, _, watts, *_ = line.split(",")
            yield "0", _stamp(f"{day} {clock}", "%m-%d-%Y %H:%M:%S.%f"), float(watts)


def _mllog(path: Path) -> Rows:
    for line in path.read_text().splitlines():
        event = json.loads(line.partition(" ")[2])
        if event["key"] == "power_reading":
            yield "0", event["time_ms"] / 1e3, float(event["value"])


def _squarewave(path: Path) -> Rows:
    for line in path.read_text().splitlines()[1:]:
        cells = line.split(", ")
        yield "0", _stamp(cells[0], "%Y/%m/%d %H:%M:%S.%f"), float(cells[6])


def _external(path: Path) -> Rows:
    with path.open() as file:
        for row in csv.DictReader(file):
            yield "0", int(row["epoch_us"]) / 1e6, float(row["total_W"])


INSTANT, AVERAGE = EnergySource.INSTANT, EnergySource.AVERAGE
RECORDINGS = (
    Recording("train_nanogpt_8x700W-hopper_0.3s.csv", _nanogpt, 8, INSTANT),
    Recording("shared_nanogpt-train+sgemm_mps_8x700W-hopper_0.3s.csv", _nanogpt, 8, INSTANT),
    Recording("train_resnet50_rtx3090_1s.csv", _resnet, 1, AVERAGE),
    Recording("train_mobilenetv2_rtx3090_1s.csv", _mobilenet, 1, AVERAGE),
    Recording("infer_vllm-mlenergy_h100_0.1s.csv", _mlenergy, 10, INSTANT, "sum of GPUs"),
    Recording(
        "node_infer_mlperf_llama2-70b-server_8xh200_1s.spl.txt", _ptdaemon, 1, AVERAGE, "node"
    ),
    Recording("node_train_mlperf_llama2-70b-lora_8xb200_1s.mllog.txt", _mllog, 1, INSTANT, "node"),
    Recording("other_squarewave_a100_nvidia-smi_15ms.csv", _squarewave, 1, INSTANT),
    Recording("other_squarewave_a100_external-meter_1ms.csv", _external, 1, INSTANT),
)


def _joules(rows: Rows) -> dict[str, float]:
    """The trapezoid rule in floating point; points further apart than 2 s and three usual
    spacings are not joined, since nobody knows what was between them."""
    series: dict[str, list[tuple[float, float]]] = {}
    for key, seconds, watts in rows:
        series.setdefault(key, []).append((seconds, watts))
    joules = {}
    for key, points in series.items():
        steps = [b[0] - a[0] for a, b in pairwise(points)]
        longest = max(2.0, 3 * median(steps))
        joules[key] = sum(
            (b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points) if b[0] - a[0] <= longest
        )
    return joules


def _metered_uj(path: Path, step_ns: int) -> list[int]:
    """Per GPU, what the meter books when the recording is played in such steps."""
    first = opening(path)
    clock = FakeClock(first.start_boottime_ns, first.start_wall_ns)
    backend = create(clock, {"trace": path})
    devices = backend.open()
    meters = [
        Meter(d.info.uuid, d.info.energy_source, d.info.power_limit_max_mw, d.info.refresh_ns)
        for d in devices
    ]
    booked = [0] * len(devices)
    while not backend.finished:
        clock.advance(step_ns)
        now_ns = clock.boottime_ns()
        for number, (device, meter) in enumerate(zip(devices, meters, strict=True)):
            for reading in device.readings(now_ns):
                meter.observe(reading)
            booked[number] += sum(interval.energy_uj for interval in meter.close(now_ns))
    return booked


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: str(recording.name))
def test_a_recording_replays_to_its_energy(recording: Recording) -> None:
    path = TRACES / recording.name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    expected = list(_joules(recording.rows(path)).values())
    (info, *_) = infos = [device.info for device in create(FakeClock(), {"trace": path}).open()]
    assert len(infos) == len(expected) == recording.gpus
    assert (info.energy_source, info.scope) == (recording.source, recording.scope)
    booked = _metered_uj(path, NS_PER_S)
    for energy_uj, joules in zip(booked, expected, strict=True):
        assert energy_uj / UJ_PER_J == pytest.approx(joules, rel=TOLERANCE)


@pytest.mark.parametrize("step_ns", [37 * NS_PER_MS, 900 * NS_PER_MS, 7_777 * NS_PER_MS])
def test_the_energy_does_not_depend_on_the_pace(step_ns: int) -> None:
    path = TRACES / "train_resnet50_rtx3090_1s.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    assert _metered_uj(path, step_ns) == _metered_uj(path, NS_PER_S)
