"""A snapshot in, one OTLP message out: the hardware semantic conventions, and who used the energy.

Every sum is cumulative and has the same start for ever, the moment the ledger began: a message that
is sent twice, or never arrives, changes nothing for the ones after it.

https://opentelemetry.io/docs/specs/semconv/hardware/ (schema 1.44.0) and
https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, NumberDataPoint

from submeter.metrics.collect import gpu_energy, power_mw
from submeter.model import GpuState, Owner, Snapshot
from submeter.text import printable
from submeter.units import NS_PER_S, UJ_PER_J, UNCOUNTED

SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

Attributes = tuple[tuple[str, str], ...]
Point = tuple[Attributes, int | float]

_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def message(snapshot: Snapshot, resource: Mapping[str, str]) -> ExportMetricsServiceRequest:
    """Everything that the snapshot can fill. Joules are exact up to 9 GJ (2^53 µJ)."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add(schema_url=SCHEMA)
    of_resource.resource.attributes.extend(_key_values(_resource(snapshot, resource).items()))
    scope = of_resource.scope_metrics.add(schema_url=SCHEMA)
    scope.scope.name, scope.scope.version = "submeter", snapshot.version
    start_ns = snapshot.since_wall_ns or snapshot.started_wall_ns
    for row in _ROWS:
        points = _merged(row.points(snapshot), adds=row.kind is not _GAUGE)
        if not points:
            continue
        metric = scope.metrics.add(name=row.name, unit=row.unit, description=row.help)
        data: Any = metric.gauge if row.kind is _GAUGE else metric.sum
        if row.kind is not _GAUGE:
            data.aggregation_temporality = _CUMULATIVE
            data.is_monotonic = row.kind is _COUNTER
        for attributes, value in points.items():
            point = data.data_points.add(time_unix_nano=snapshot.wall_ns)
            if row.kind is not _GAUGE:
                point.start_time_unix_nano = start_ns
            _fill(point, attributes, value)
    return request


def _fill(point: NumberDataPoint, attributes: Attributes, value: float) -> None:
    point.attributes.extend(_key_values(attributes))
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value


def _merged(points: Iterable[Point], *, adds: bool) -> dict[Attributes, int | float]:
    """No series twice, should names become equal once they are safe to print."""
    merged: dict[Attributes, int | float] = {}
    for attributes, value in points:
        merged[attributes] = merged.get(attributes, 0) + value if adds else value
    return merged


def _key_values(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(string_value=printable(value))) for key, value in pairs
    ]


def _resource(snapshot: Snapshot, given: Mapping[str, str]) -> dict[str, str]:
    host = socket.gethostname()
    return {
        "service.name": "submeter",
        "service.version": snapshot.version,
        "service.instance.id": host,
        "host.name": host,
        "submeter.backend": snapshot.backend,
        **given,
    }


def _gpu(gpu: GpuState) -> Attributes:
    info = gpu.info
    return (
        ("hw.id", info.uuid), ("hw.type", "gpu"), ("hw.name", f"GPU {info.index}"),
        ("hw.vendor", "NVIDIA"), ("hw.model", info.name), ("hw.driver_version", info.driver),
    )  # fmt: skip


def _gauges(read: Callable[[GpuState], float | None]) -> Callable[[Snapshot], Iterator[Point]]:
    def points(snapshot: Snapshot) -> Iterator[Point]:
        for gpu in snapshot.gpus:
            value = read(gpu) if gpu.up else None
            if value is not None:
                yield _gpu(gpu), value

    return points


def _energy(snapshot: Snapshot) -> Iterator[Point]:
    known = {gpu.info.uuid: _gpu(gpu) for gpu in snapshot.gpus}
    for (_index, uuid), energy_uj in gpu_energy(snapshot):
        yield known.get(uuid, (("hw.id", uuid), ("hw.type", "gpu"))), energy_uj / UJ_PER_J


def _temperatures(snapshot: Snapshot) -> Iterator[Point]:
    for gpu in snapshot.gpus:
        if not gpu.up or gpu.gauges is None:
            continue
        sensors = {"core": gpu.gauges.temperature_core_c, "memory": gpu.gauges.temperature_memory_c}
        for name, value in sensors.items():
            if value is not None:
                uuid = gpu.info.uuid
                yield (
                    ("hw.id", f"{uuid}/{name}"), ("hw.type", "temperature"), ("hw.parent", uuid),
                    ("hw.sensor_location", name),
                ), value  # fmt: skip


def _status(snapshot: Snapshot) -> Iterator[Point]:
    for gpu in snapshot.gpus:
        for state, is_so in (("ok", gpu.up), ("failed", not gpu.up)):
            yield (*_gpu(gpu), ("hw.state", state)), int(is_so)


def _used(snapshot: Snapshot) -> Iterator[Point]:
    """Summed as integers, and only then in joules."""
    sums: dict[Attributes, int] = {}
    for (uuid, mig, component, owner), energy_uj in snapshot.energy_uj.items():
        key = (*_who(uuid, mig, owner), ("submeter.component", str(component)))
        sums[key] = sums.get(key, 0) + energy_uj
    for key, energy_uj in sums.items():
        yield key, energy_uj / UJ_PER_J


def _drawn(snapshot: Snapshot) -> Iterator[Point]:
    up = {gpu.info.uuid for gpu in snapshot.gpus if gpu.up}
    sums: dict[Attributes, int] = {}
    for (uuid, mig, _, owner), value_mw in snapshot.power_mw.items():
        if uuid in up:
            key = _who(uuid, mig, owner)
            sums[key] = sums.get(key, 0) + value_mw
    for key, value_mw in sums.items():
        yield key, value_mw / 1000


def _done(snapshot: Snapshot) -> Iterator[Point]:
    for (owner, unit), amount in snapshot.done.items():
        if unit != UNCOUNTED:
            yield (*_who("", "", owner), ("submeter.unit", unit)), amount


def _uncounted(snapshot: Snapshot) -> Iterator[Point]:
    for (owner, unit), time_ns in snapshot.done.items():
        if unit == UNCOUNTED:
            yield _who("", "", owner), time_ns / NS_PER_S


def _who(uuid: str, mig: str, owner: Owner) -> Attributes:
    """Unused ones are left out. The names are those of the process and k8s conventions."""
    pairs = (
        ("hw.id", uuid), ("submeter.mig", mig), ("submeter.phase", str(owner.phase)),
        ("submeter.workload", owner.workload), ("process.owner", owner.user),
        ("k8s.namespace.name", owner.namespace), ("k8s.pod.name", owner.pod),
        ("k8s.container.name", owner.container), ("submeter.job", owner.job),
    )  # fmt: skip
    return tuple((key, printable(value)) for key, value in pairs if value)


class _Kind(NamedTuple):
    name: str


_GAUGE, _COUNTER, _UP_DOWN = _Kind("gauge"), _Kind("counter"), _Kind("up/down counter")


class _Row(NamedTuple):
    name: str
    kind: _Kind
    unit: str
    help: str
    points: Callable[[Snapshot], Iterator[Point]]


def _watts(gpu: GpuState) -> float | None:
    power = power_mw(gpu)
    return None if power is None else power / 1000


def _share(gpu: GpuState) -> float | None:
    percent = gpu.activity.utilization_percent if gpu.activity else None
    return None if percent is None else percent / 100


_ROWS: Final = (
    _Row("hw.energy", _COUNTER, "J", "Energy of the GPU since the ledger began.", _energy),
    _Row("hw.power", _GAUGE, "W", "Newest value of the power sensor.", _gauges(_watts)),
    _Row("hw.gpu.utilization", _GAUGE, "1", "Share of time with a kernel running.",
         _gauges(_share)),
    _Row("hw.gpu.memory.usage", _UP_DOWN, "By", "Device memory in use.",
         _gauges(lambda gpu: gpu.activity.memory_used_bytes if gpu.activity else None)),
    _Row("hw.gpu.memory.limit", _UP_DOWN, "By", "Device memory there is.",
         _gauges(lambda gpu: gpu.info.memory_total_bytes)),
    _Row("hw.temperature", _GAUGE, "Cel", "Temperature of core and memory.", _temperatures),
    _Row("hw.status", _UP_DOWN, "1", "Whether the GPU can be read.", _status),
    _Row("submeter.energy", _COUNTER, "J",
         "Who used the energy, and for what; sums to hw.energy of the GPU.", _used),
    _Row("submeter.power", _GAUGE, "W", "Attributed power in the last settlement.", _drawn),
    _Row("submeter.work", _COUNTER, "1",
         "What workloads did, as they tell it: tokens, requests, steps.", _done),
    _Row("submeter.work.uncounted", _COUNTER, "s",
         "Time in which a workload that tells its work used energy, and nobody counted.",
         _uncounted),
)  # fmt: skip
