"""What a real NVIDIA GPU's energy and power sensors do, measured; for docs/measurements.md.

    python benchmarks/measure_gpu.py                      about 12 minutes, one GPU
    python benchmarks/measure_gpu.py --seconds 20 --json found.json
    python benchmarks/measure_gpu.py --loads gemm,square-100 --torch-python /opt/torch/bin/python

Latency of the NVML calls that metering makes or could make; step and period of the energy counter
and of both powers; what a field's timestamp is the time of; the driver's own power samples; and
the counter beside the integrals of both powers over a minute of each load. Only reads: no setting
is touched. Needs nvidia-ml-py, and for loads PyTorch with CUDA; without it, the GPU is measured
as it is found. Nothing else should run on the GPU meanwhile.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pynvml
from gpu_figures import Energies, Signal, Spread, cadence, energies, signal, spread
from gpu_loads import LOADS
from gpu_sensors import BATCHES, SIGNALS, Call, Reading, Sensors, is_standin

AS_FOUND: Final = "as found"
LOADED: Final = "gemm"  # the load under which latencies are taken a second time
_POLL_MS: Final = 2.0  # far below the shortest known refresh, 20 ms
_METER_MS: Final = 10.0
_SETTLE_S: Final = 3.0  # a 1-s average has forgotten what was before, and clocks have settled
_PACED_MS: Final = 20.0  # metering calls now and then: caches are cold, the driver has slept
_ANSWERS: Final = (0, 6)  # NVML_SUCCESS, NVML_ERROR_NOT_FOUND: nothing newer than asked for
_EXIT_NO_GPU: Final = 69


@dataclass(frozen=True)
class Latency:
    """One call: µs when made now and then, and when made one after the other."""

    call: str
    paced_us: Spread | None
    packed_us: Spread | None
    said_us: str  # latencyUsec, fields only
    refused: int  # NVML's return code; 0: answered


@dataclass(frozen=True)
class Found:
    """Everything found under one load."""

    load: str
    mean_watts: float | None
    celsius: tuple[int | None, int | None]
    signals: tuple[Signal, ...]
    energies: Energies
    read_us: Spread | None
    latencies: tuple[Latency, ...]
    samples: Spread | None  # gaps in ms between the driver's own power samples
    samples_s: float


def main() -> int:
    arguments = _arguments()
    try:
        sensors = Sensors(arguments.gpu)
    except pynvml.NVMLError as error:
        print(f"measure_gpu: no GPU {arguments.gpu} to measure: {error}", file=sys.stderr)
        return _EXIT_NO_GPU
    try:
        facts = {
            "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            **sensors.facts(),
            "host": f"Linux {platform.release()}, {os.cpu_count()} CPUs, "
            f"Python {platform.python_version()}",
        }
        if is_standin():
            facts["GPU"] += " (SCRIPTED STAND-IN LIBRARY: nothing here was measured on a GPU)"
        found = list(_measure(sensors, arguments))
    finally:
        sensors.close()
    for line in report(facts, found):
        print(line)
    if arguments.json:
        whole = {"facts": facts, "found": [asdict(each) for each in found]}
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 0


def report(facts: dict[str, str], found: Sequence[Found]) -> Iterator[str]:
    """Markdown for docs/measurements.md."""
    yield "; ".join(f"{name}: {value}" for name, value in facts.items()) + "."
    for each in found:
        if each.latencies:
            yield f"\n### Latency of calls, µs ({each.load})\n"
            yield "| call | every 20 ms: p50 | p99 | back to back: p50 | p99 | latencyUsec |"
            yield "|---|---:|---:|---:|---:|---:|"
            yield from map(_latency_row, each.latencies)
    yield "\n### How signals move\n"
    yield (
        "| load | signal | changes | ms between: p10 | p50 | p90 | step: p10 | p50 "
        "| timestamp is the | its age ms: p50 | p99 |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|---|---:|---:|"
    for each in found:
        for one in each.signals:
            yield _signal_row(each.load, one)
    yield "\n### Counter and integrals\n"
    yield (
        "| load | s | mean W | °C | counter J | ∫average at 1 Hz ÷ counter "
        "| ∫instant at 10 Hz ÷ counter | ∫instant at 100 Hz ÷ counter |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    yield from map(_energy_row, found)
    yield "\n### The driver's own power samples (nvmlDeviceGetSamples)\n"
    yield "| load | samples | cover s | ms between: p10 | p50 | p90 |"
    yield "|---|---:|---:|---:|---:|---:|"
    for each in found:
        count = each.samples.count + 1 if each.samples else 0
        gaps = _cells(each.samples, "p10", "p50", "p90")
        yield f"| {each.load} | {count} | {each.samples_s:.1f} | {gaps} |"


def _measure(sensors: Sensors, arguments: argparse.Namespace) -> Iterator[Found]:
    yield _found(AS_FOUND, sensors, arguments.seconds, latencies=True)
    for name in arguments.loads:
        with _load(name, sensors.uuid, arguments) as runs:
            if runs:
                time.sleep(min(_SETTLE_S, arguments.seconds))
                yield _found(name, sensors, arguments.seconds, latencies=name == LOADED)
        if not runs:
            return


def _found(load: str, sensors: Sensors, seconds: float, *, latencies: bool) -> Found:
    _say(f"{load}: {seconds:g} s of energy")
    before = sensors.temperature()
    metered = sensors.poll(seconds, _METER_MS)
    after = sensors.temperature()
    samples = sensors.power_samples(0)
    _say(f"{load}: signals")
    fast = sensors.poll(min(10.0, seconds), _POLL_MS)
    figures = energies(metered)
    gaps, covered_s = cadence(samples)
    return Found(
        load,
        figures.counter_j / figures.seconds if figures.counter_j else _mean_watts(metered),
        (before, after),
        tuple(signal(name, fast) for name in SIGNALS),
        figures,
        spread([reading.took_ns / 1e3 for reading in metered]),
        tuple(_latencies(sensors, load, min(4.0, seconds / 15))) if latencies else (),
        gaps,
        covered_s,
    )


def _latencies(sensors: Sensors, load: str, seconds: float) -> Iterator[Latency]:
    for name, call in sensors.calls().items():
        _say(f"{load}: latency of {name}")
        code = call()
        if code not in _ANSWERS:
            yield Latency(name, None, None, "", code)
            continue
        said = ""
        for size, fields in BATCHES.items():
            if name == ("field 83 alone" if size == 1 else f"batch of {size} fields"):
                answers = sensors.latencies_us(fields)
                said = ", ".join(f"{field}: {us}" for field, us in answers.items())
        yield Latency(
            name, _times(call, seconds, _PACED_MS), _times(call, seconds / 8, 0.0), said, 0
        )


def _times(call: Call, seconds: float, every_ms: float) -> Spread | None:
    took, end_ns = [], time.monotonic_ns() + int(seconds * 1e9)
    while time.monotonic_ns() < end_ns:
        start_ns = time.monotonic_ns()
        call()
        took.append((time.monotonic_ns() - start_ns) / 1e3)
        if every_ms:
            time.sleep(every_ms / 1e3)
    return spread(took)


@contextmanager
def _load(name: str, uuid: str, arguments: argparse.Namespace) -> Iterator[bool]:
    """Runs it in a process of its own; false, and said, where it can't run."""
    command = [
        *(arguments.torch_python, str(Path(__file__).with_name("gpu_loads.py")), name),
        *("--device", arguments.device, "--seconds", str(arguments.seconds + 300)),
    ]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": uuid}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        _say(f"{name}: starting")
        runs = process.stdout.readline() == b"ready\n"
        if not runs:
            _say(f"loads do not run here (exit {process.wait()}): measured only what was found")
        yield runs
    finally:
        process.terminate()
        process.wait()


def _mean_watts(readings: Sequence[Reading]) -> float | None:
    values = [seen.value for reading in readings if (seen := reading.seen["instant"]).value]
    return sum(value for value in values if value) / len(values) / 1e3 if values else None


def _latency_row(one: Latency) -> str:
    if one.refused:
        return f"| {one.call} | refused: NVML error {one.refused} | | | | |"
    cells = f"{_cells(one.paced_us, 'p50', 'p99')} | {_cells(one.packed_us, 'p50', 'p99')}"
    return f"| {one.call} | {cells} | {one.said_us} |"


def _signal_row(load: str, one: Signal) -> str:
    count = one.gap_ms.count + 1 if one.gap_ms else 0
    return (
        f"| {load} | {one.name} | {count} | {_cells(one.gap_ms, 'p10', 'p50', 'p90')} "
        f"| {_cells(one.step, 'p10', 'p50')} | {one.stamp} "
        f"| {_cells(one.stamp_age_ms, 'p50', 'p99')} |"
    )


def _energy_row(each: Found) -> str:
    figures = each.energies
    ways = (figures.average_1hz_j, figures.instant_10hz_j, figures.instant_all_j)
    ratios = " | ".join(_number(figures.ratio(joules), 4) for joules in ways)
    return (
        f"| {each.load} | {figures.seconds:g} | {_number(each.mean_watts, 1)} "
        f"| {each.celsius[0]}–{each.celsius[1]} | {_number(figures.counter_j, 1)} | {ratios} |"
    )


def _cells(one: Spread | None, *names: str) -> str:
    return " | ".join("–" if one is None else f"{getattr(one, name):.4g}" for name in names)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _say(text: str) -> None:
    print(f"measure_gpu: {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        unknown = [name for name in found if name not in LOADS]
        if unknown:
            raise argparse.ArgumentTypeError(f"found {unknown[0]!r}, expected {', '.join(LOADS)}")
        return found

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", type=int, default=0, help="NVML's number of it (0)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load (60)")
    parser.add_argument("--loads", type=names, default=list(LOADS), help="by comma; '' for none")
    parser.add_argument("--torch-python", default=sys.executable, help="the Python with PyTorch")
    parser.add_argument("--device", default="cuda:0", help="PyTorch's; cpu to try this script out")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures there")
    arguments = parser.parse_args()
    if arguments.seconds < 2:
        parser.error("--seconds: at least 2, since a 1-s average has to be compared")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
