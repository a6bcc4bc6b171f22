"""OTLP into real receivers, over HTTP and gRPC: exact, cumulative, and never twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from submeter.errors import InputError, SubmeterError
from submeter.model import Account, Component, Owner, Phase, Snapshot
from submeter.testing.snapshots import GPU_0, GPU_1, empty, node
from submeter_exporters import otlp

Later = Callable[[Snapshot, int], Snapshot]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submeter_exporters._otlp_send._PAUSE_S", 0.0)
    monkeypatch.setattr("submeter_exporters._otlp_send._LONGEST_PAUSE_S", 0.0)


def metrics(request: ExportMetricsServiceRequest) -> dict[str, Any]:
    return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}


def points(metric: Any) -> dict[tuple[tuple[str, str], ...], Any]:
    data = metric.sum if metric.HasField("sum") else metric.gauge
    found = {
        tuple((each.key, each.value.string_value) for each in point.attributes): point
        for point in data.data_points
    }
    assert len(found) == len(data.data_points), "a series is there twice"
    return found


def microjoules(joules: float) -> int:
    """As whoever prints the double sees it."""
    return int(Decimal(repr(joules)) * 1_000_000)


def by_gpu(metric: Any) -> dict[str, int]:
    sums: dict[str, int] = {}
    for attributes, point in points(metric).items():
        uuid = dict(attributes)["hw.id"]
        sums[uuid] = sums.get(uuid, 0) + microjoules(point.as_double)
    return sums


@pytest.mark.fault("F73")
def test_the_integers_of_the_ledger_arrive(receiver: Any, later: Later) -> None:
    exporter = otlp.create({"endpoint": receiver.url})
    snapshot = node()
    for _ in range(3):
        exporter.publish(snapshot)
        got = metrics(receiver.got[-1])
        expected = {gpu.info.uuid: gpu.energy_uj for gpu in snapshot.gpus}
        assert by_gpu(got["hw.energy"]) == expected
        assert by_gpu(got["submeter.energy"]) == expected
        assert len(points(got["submeter.energy"])) == len(snapshot.energy_uj)
        snapshot = later(snapshot, 15)
    exporter.close()
    assert receiver.headers[0]["path"] == "/v1/metrics"


@pytest.mark.fault("F75", "F76")
def test_sums_are_cumulative_from_the_beginning_of_the_ledger(receiver: Any, later: Later) -> None:
    """Also after a restart of the agent: another start would be a counter that began anew."""
    first = node()
    again = replace(later(first, 600), started_wall_ns=first.wall_ns + 1)
    for snapshot in (first, again):
        otlp.create({"endpoint": receiver.url}).publish(snapshot)
    for request, snapshot in zip(receiver.got, (first, again), strict=True):
        for name in ("hw.energy", "submeter.energy"):
            metric = metrics(request)[name]
            assert metric.sum.is_monotonic
            cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            assert metric.sum.aggregation_temporality == cumulative
            for point in points(metric).values():
                assert point.start_time_unix_nano == first.since_wall_ns
                assert point.time_unix_nano == snapshot.wall_ns


def test_names_units_and_attributes_are_those_of_the_conventions(receiver: Any) -> None:
    otlp.create({"endpoint": receiver.url, "resource": {"host.name": "n1"}}).publish(node())
    got = metrics(receiver.got[0])
    units = {name: metric.unit for name, metric in got.items()}
    assert units == {
        "hw.energy": "J", "hw.power": "W", "hw.gpu.utilization": "1", "hw.gpu.memory.usage": "By",
        "hw.gpu.memory.limit": "By", "hw.temperature": "Cel", "hw.status": "1",
        "submeter.energy": "J", "submeter.power": "W",
        "submeter.work": "1", "submeter.work.uncounted": "s",
    }  # fmt: skip
    for metric in got.values():
        if metric.name.startswith("hw."):
            for attributes in points(metric):
                assert {"hw.id", "hw.type"} <= dict(attributes).keys()
    used = [dict(each) for each in points(got["submeter.energy"])]
    assert any(each.get("k8s.pod.name") == "llama-0" for each in used)
    assert not any("" in each.values() for each in used)
    resource = {
        each.key: each.value.string_value
        for each in receiver.got[0].resource_metrics[0].resource.attributes
    }
    assert resource["service.name"] == "submeter"
    assert resource["host.name"] == "n1"


def test_what_workloads_did_arrives_as_integers(receiver: Any) -> None:
    otlp.create({"endpoint": receiver.url}).publish(node())
    got = metrics(receiver.got[0])
    assert got["submeter.work"].sum.is_monotonic
    done = {
        (each["submeter.workload"], each["submeter.unit"]): point.as_int
        for attributes, point in points(got["submeter.work"]).items()
        for each in (dict(attributes),)
    }
    assert done == {
        (owner.workload, unit): amount
        for (owner, unit), amount in node().done.items()
        if unit != "uncounted_ns"
    }
    (gap,) = points(got["submeter.work.uncounted"]).values()
    assert gap.as_double == 15.0


def test_what_is_down_or_unknown_is_not_0(receiver: Any) -> None:
    otlp.create({"endpoint": receiver.url}).publish(node(second_gpu_up=False))
    got = metrics(receiver.got[0])
    assert GPU_1 not in {dict(each)["hw.id"] for each in points(got["hw.power"])}
    assert GPU_1 in by_gpu(got["hw.energy"])
    states = {
        (dict(each)["hw.id"], dict(each)["hw.state"]): point.as_int
        for each, point in points(got["hw.status"]).items()
    }
    assert states[GPU_1, "failed"] == 1
    assert states[GPU_0, "failed"] == 0
    otlp.create({"endpoint": receiver.url}).publish(empty())
    assert not receiver.got[1].resource_metrics[0].scope_metrics[0].metrics


def test_names_that_become_equal_are_one_series(receiver: Any) -> None:
    odd = {
        Account(GPU_0, "", Component.DYNAMIC, Owner(Phase.OTHER, f"a{letter}")): 7
        for letter in "\x00\x01\ud800"
    }
    otlp.create({"endpoint": receiver.url}).publish(replace(empty(), energy_uj=odd))
    (point,) = points(metrics(receiver.got[0])["submeter.energy"]).values()
    assert microjoules(point.as_double) == 21


@pytest.mark.fault("F76")
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_tries_again_with_the_very_same_message(receiver: Any, status: int) -> None:
    receiver.answers = [status, status]
    receiver.keeps_refused = True  # the worst: it has it, and says it hasn't
    otlp.create({"endpoint": receiver.url}).publish(node())
    assert len(receiver.got) == 3
    assert len({request.SerializeToString(deterministic=True) for request in receiver.got}) == 1


@pytest.mark.fault("F76")
def test_gives_up_after_some_tries_and_goes_on_with_the_next(receiver: Any, later: Later) -> None:
    receiver.answers = [503] * 3
    exporter = otlp.create({"endpoint": receiver.url})
    with pytest.raises(SubmeterError, match="HTTP 503"):
        exporter.publish(node())
    after = later(node(), 15)
    exporter.publish(after)
    expected = {gpu.info.uuid: gpu.energy_uj for gpu in after.gpus}
    assert by_gpu(metrics(receiver.got[0])["hw.energy"]) == expected


def test_what_is_wrong_is_not_sent_again(receiver: Any) -> None:
    receiver.answers = [400]
    with pytest.raises(SubmeterError, match="HTTP 400"):
        otlp.create({"endpoint": receiver.url}).publish(node())
    assert len(receiver.headers) == 1


@pytest.mark.fault("F76")
def test_a_receiver_that_takes_only_part_is_told_of(receiver: Any) -> None:
    partial = ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old")
    receiver.response = ExportMetricsServiceResponse(partial_success=partial).SerializeToString()
    with pytest.raises(SubmeterError, match="refused 3 data points: too old"):
        otlp.create({"endpoint": receiver.url}).publish(node())


def test_nobody_there() -> None:
    exporter = otlp.create({"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(SubmeterError, match="refused"):
        exporter.publish(node())
    exporter.close()


def test_headers_token_and_path(receiver: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    options = {
        "endpoint": f"{receiver.url}/opentelemetry",
        "headers": {"X-Scope-OrgID": "ours"},
        "bearer_token_file": str(token),
        "compression": "none",
    }
    exporter = otlp.create(options)
    exporter.publish(node())
    token.write_text("second")
    exporter.publish(node())
    sent = [{key.lower(): value for key, value in each.items()} for each in receiver.headers]
    assert [each["authorization"] for each in sent] == ["Bearer first", "Bearer second"]
    assert {each["x-scope-orgid"] for each in sent} == {"ours"}
    assert {each["path"] for each in sent} == {"/opentelemetry/v1/metrics"}


@pytest.mark.parametrize(
    "endpoint", ["localhost:4318", "ftp://x", "/metrics", "http://[::1", "http://x:y"]
)
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(InputError, match="must be a URL that begins with"):
        otlp.create({"endpoint": endpoint})


@pytest.mark.parametrize(
    ("protocol", "missing", "extra"),
    [("http/protobuf", "opentelemetry.proto", "otlp"), ("grpc", "grpc", "otlp-grpc")],
)
def test_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, protocol: str, missing: str, extra: str
) -> None:
    monkeypatch.setattr("submeter.exporting._is_installed", lambda module: module != missing)
    with pytest.raises(InputError, match=rf"pip install 'submeter\[{extra}\]'"):
        otlp.create({"protocol": protocol})


class Servicer(service.MetricsServiceServicer):
    """An OTLP receiver over gRPC."""

    def __init__(self) -> None:
        self.got: list[ExportMetricsServiceRequest] = []
        self.errors: list[grpc.StatusCode] = []

    def Export(self, request: Any, context: Any) -> ExportMetricsServiceResponse:  # noqa: N802
        self.got.append(request)
        if self.errors:
            context.abort(self.errors.pop(0), "as the test wants")
        return ExportMetricsServiceResponse()


@pytest.fixture
def servicer() -> Iterator[tuple[Servicer, str]]:
    server = grpc.server(ThreadPoolExecutor(2))
    receiver = Servicer()
    service.add_MetricsServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield receiver, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def test_grpc(servicer: tuple[Servicer, str]) -> None:
    receiver, url = servicer
    receiver.errors = [grpc.StatusCode.UNAVAILABLE]
    exporter = otlp.create({"endpoint": url, "protocol": "grpc"})
    exporter.publish(node())
    first, again = receiver.got
    assert first == again
    assert by_gpu(metrics(again)["submeter.energy"]) == {
        gpu.info.uuid: gpu.energy_uj for gpu in node().gpus
    }
    receiver.errors = [grpc.StatusCode.UNAUTHENTICATED]
    with pytest.raises(SubmeterError, match="gRPC UNAUTHENTICATED"):
        exporter.publish(node())
    assert len(receiver.got) == 3
    exporter.close()
