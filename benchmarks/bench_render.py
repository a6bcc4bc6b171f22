"""A scrape of thousands of series rendered by us and by prometheus-client, side by side.

    python benchmarks/bench_render.py [series]

Prints the median of several runs, in ms: building the families, rendering them, and what
prometheus-client's own generator takes for the same families.
"""

import sys
import timeit
import zlib
from collections.abc import Callable, Iterable, Iterator
from statistics import median

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
from submeter_exporters._openmetrics import render

RUNS = 15
GPUS = 8


def main() -> None:
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    snapshot = _snapshot(series)
    built = list(families(snapshot))
    theirs = _Fixed(
        [_their_family(family) for family in built if family.kind is not Kind.HISTOGRAM]
    )
    body = render(built)
    lines = len(body.splitlines()) - 2 * len(built)
    print(f"{lines} series, {len(body) / 1024:.0f} KiB of text")
    for what, call in (
        ("families(snapshot)", lambda: list(families(snapshot))),
        ("render, text 0.0.4", lambda: render(built)),
        ("render, OpenMetrics 1.0.0", lambda: render(built, openmetrics=True)),
        ("families + render", lambda: render(families(snapshot))),
        ("gzip level 1", lambda: zlib.compress(body, 1, 31)),
        ("prometheus-client, text 0.0.4", lambda: exposition.generate_latest(theirs)),
        ("prometheus-client, OpenMetrics", lambda: openmetrics.generate_latest(theirs)),  # type: ignore[no-untyped-call]
    ):
        print(f"{what:32}{_milliseconds(call):8.2f} ms")


def _milliseconds(call: Callable[[], object]) -> float:
    return 1000 * median(timeit.repeat(call, number=1, repeat=RUNS))


def _snapshot(series: int) -> Snapshot:
    gpus = tuple(_gpu(index) for index in range(GPUS))
    components = tuple(Component)
    energy = {
        Account(
            gpus[number % GPUS].info.uuid,
            "",
            components[number % 3],
            Owner(Phase.TRAINING, f"train-{number // 3}", "alice", "research", f"pod-{number}"),
        ): number * 1_234_567_891
        for number in range(series)
    }
    return Snapshot(1, 0, 0, 0, "0", "mock", gpus=gpus, energy_uj=energy)


def _gpu(index: int) -> GpuState:
    uuid = f"GPU-{index:08d}-1111-2222-3333-444444444444"
    info = GpuInfo(
        uuid, index, "NVIDIA H100 80GB HBM3", "580.95", "0000:1B:00.0", "hopper",
        EnergySource.COUNTER, "25ms", 25_000_000, refresh_measured=True,
    )  # fmt: skip
    return GpuState(info, True, 1_234_567_891_234, reading=Reading(0, 1, 1, 312_456, 1, 310_000, 1))


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
