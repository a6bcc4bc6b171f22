"""A scrape of thousands of series rendered by us and by prometheus-client, side by side.

    python benchmarks/bench_render.py [series]

Prints the median processor time of several runs, in ms: building the families, rendering them, and
what prometheus-client's own generator takes for the same families. Each run has the next moment's
snapshot, of the same accounts, in which every value is another one; and, as a scrape after jobs
have come and gone, one in which a tenth of the accounts is, too.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from statistics import median
from typing import Any

from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from submeter.metrics import Family, Kind, families
from submeter.model import (
    Account,
    Component,
    EnergySource,
    GpuInfo,
    GpuState,
    Owner,
    Phase,
    Reading,
    Snapshot,
)
from submeter.web.packing import gzip
from submeter_exporters._openmetrics import pieces

RUNS = 15
GPUS = 8


def main() -> None:
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    moments = [_snapshot(series, moment) for moment in range(RUNS)]
    others = [_snapshot(series, moment, renewed=series // 10) for moment in range(RUNS)]
    built = [list(families(snapshot)) for snapshot in moments]
    theirs = [_Fixed(map(_their_family, each)) for each in built]
    bodies = [_text(each) for each in built]
    body = b"".join(bodies[0])
    lines = sum(not line.startswith(b"#") for line in body.splitlines())
    print(f"{lines} series, {len(body) / 1024:.0f} KiB of text")
    for what, call, of in (
        ("families(snapshot)", lambda moment: list(families(moment)), moments),
        ("render, text 0.0.4", _text, built),
        ("render, OpenMetrics 1.0.0", lambda made: list(pieces(made, openmetrics=True)), built),
        ("families + render", lambda moment: _text(families(moment)), moments),
        ("the same, a tenth renewed", lambda moment: _text(families(moment)), others),
        ("gzip", gzip, bodies),
        ("prometheus-client, text 0.0.4", exposition.generate_latest, theirs),
        ("prometheus-client, OpenMetrics", openmetrics.generate_latest, theirs),
    ):
        print(f"{what:32}{_milliseconds(call, of):8.2f} ms")


def _text(made: Iterable[Family]) -> list[bytes]:
    return list(pieces(made))


def _milliseconds(call: Callable[[Any], object], of: Sequence[object]) -> float:
    took = []
    for each in of:
        began = time.process_time()
        call(each)
        took.append(time.process_time() - began)
    return 1000 * median(took)


def _snapshot(series: int, moment: int, *, renewed: int = 0) -> Snapshot:
    gpus = tuple(_gpu(index) for index in range(GPUS))
    energy = {
        _account(number + moment * series if number < renewed else number): (
            number * 1_234_567_891 + moment * 312_456_789
        )
        for number in range(series)
    }
    return Snapshot(1 + moment, 0, 0, 0, "0", "mock", gpus=gpus, energy_uj=energy)


@cache
def _account(number: int) -> Account:
    owner = Owner(Phase.TRAINING, f"train-{number // 3}", "alice", "research", f"pod-{number}")
    return Account(_uuid(number % GPUS), "", tuple(Component)[number % 3], owner)


def _gpu(index: int) -> GpuState:
    info = GpuInfo(
        _uuid(index), index, "NVIDIA H100 80GB HBM3", "580.95", "0000:1B:00.0", "hopper",
        EnergySource.COUNTER, "25ms", 25_000_000, refresh_measured=True,
    )  # fmt: skip
    return GpuState(info, True, 1_234_567_891_234, reading=Reading(0, 1, 1, 312_456, 1, 310_000, 1))


def _uuid(index: int) -> str:
    return f"GPU-{index:08d}-1111-2222-3333-444444444444"


class _Fixed(Collector):
    """What generate_latest takes for a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _their_family(family: Family) -> Metric:
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    name = family.name.removesuffix("_total")
    metric = make(name, family.help, labels=family.label_names)
    for labels, value in family.samples:
        metric.add_metric([str(label) for label in labels], value / 10**family.exponent)
    return metric


if __name__ == "__main__":
    main()
