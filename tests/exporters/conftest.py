"""For the tests of exporters: options that each one works with, and snapshots that go on."""

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from submeter.model import Account, GpuState, Method, Snapshot
from submeter.testing.snapshots import GPU_0, node
from submeter.units import NS_PER_S


@pytest.fixture
def later() -> Callable[[Snapshot, int], Snapshot]:
    """The snapshot some seconds later: the first account of GPU 0 has gained 1 mJ a second."""

    def go_on(snapshot: Snapshot, seconds: int = 1) -> Snapshot:
        gained_uj = 1_000 * seconds
        account = next(each for each in snapshot.energy_uj if each.gpu_uuid == GPU_0)
        energy_uj = dict(snapshot.energy_uj)
        energy_uj[account] += gained_uj
        return replace(
            snapshot,
            sequence=snapshot.sequence + seconds,
            boottime_ns=snapshot.boottime_ns + seconds * NS_PER_S,
            wall_ns=snapshot.wall_ns + seconds * NS_PER_S,
            energy_uj=energy_uj,
            gpus=tuple(_gained(gpu, account, gained_uj) for gpu in snapshot.gpus),
        )

    return go_on


def _gained(gpu: GpuState, account: Account, gained_uj: int) -> GpuState:
    if gpu.info.uuid != account.gpu_uuid:
        return gpu
    by_method = dict(gpu.energy_by_method_uj)
    by_method[Method.EXCLUSIVE] += gained_uj
    return replace(gpu, energy_uj=gpu.energy_uj + gained_uj, energy_by_method_uj=by_method)


@pytest.fixture
def full_node() -> Snapshot:
    """Two GPUs with everything that a snapshot can hold."""
    return node()


class Receiver:
    """An OTLP receiver over HTTP that keeps what it got, and says what the test wants."""

    def __init__(self) -> None:
        self.got: list[ExportMetricsServiceRequest] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers: list[int] = []  # statuses to be given first; then 200
        self.keeps_refused = False  # a message that is answered with an error is kept all the same
        self.response = b""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers["content-encoding"] == "gzip":
                    body = gzip.decompress(body)
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200 or receiver.keeps_refused:
                    receiver.got.append(ExportMetricsServiceRequest.FromString(body))
                receiver.headers.append({**dict(self.headers), "path": self.path})
                self.send_response(status)
                self.send_header("content-length", str(len(receiver.response)))
                self.end_headers()
                self.wfile.write(receiver.response)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running OTLP receiver."""
    started = Receiver()
    thread = threading.Thread(target=started.server.serve_forever, args=(0.01,))
    thread.start()
    yield started
    started.server.shutdown()
    thread.join()
    started.server.server_close()


@pytest.fixture
def working_options(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str], dict[str, object]]:
    """Options that an exporter takes, by its name; none where it needs none."""
    table: dict[str, dict[str, object]] = {
        "textfile": {"directory": str(tmp_path)},
        "jsonl": {"path": str(tmp_path / "submeter.jsonl")},
        "parquet": {"directory": str(tmp_path)},
        "codecarbon": {"path": str(tmp_path / "emissions.csv")},
    }

    def options(name: str) -> dict[str, object]:
        if name == "otlp":
            return {"endpoint": request.getfixturevalue("receiver").url}
        return table.get(name, {})

    return options
