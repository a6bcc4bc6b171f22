"""OTLP messages in, a receiver that has them out: over HTTP with the standard library, or gRPC.

What a receiver may have got is sent again only as the very same message, which cumulative sums
make harmless. Codes: https://opentelemetry.io/docs/specs/otlp/
"""

import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Event
from typing import Final, Protocol
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from submeter.errors import SubmeterError

_TRIES: Final = 3
_PAUSE_S: Final = 0.5  # doubled each time
_LONGEST_PAUSE_S: Final = 5.0
_AGAIN: Final = (429, 502, 503, 504)
_GRPC_AGAIN: Final = (
    "CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS",
    "RESOURCE_EXHAUSTED",
)  # fmt: skip
_PATH: Final = "/v1/metrics"
_MOST_BYTES: Final = 1 << 16  # of an answer


class Refused(SubmeterError):
    """The receiver has not taken the message."""


class Later(Exception):
    """The receiver may take the same message in a while."""

    def __init__(self, message: str, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go, and how."""

    endpoint: str
    timeout_s: float = 10.0
    gzip: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def metadata(self) -> dict[str, str]:
        """Headers with the token, which is read each time, as whoever renews it replaces the file.

        Raises OSError.
        """
        headers = {key.lower(): value for key, value in self.headers.items()}
        if self.bearer_token_file is not None:
            headers["authorization"] = f"Bearer {self.bearer_token_file.read_text().strip()}"
        return headers


class Channel(Protocol):
    """A way to the receiver."""

    def send(self, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
        """Sends once. Raises Later, Refused or OSError."""
        ...

    def close(self) -> None:
        """Lets go of the connection."""
        ...


def deliver(channel: Channel, request: ExportMetricsServiceRequest, waiting: Event) -> None:
    """Sends until the receiver has it, a few times at most. ``waiting`` set: without pauses.

    Raises Refused or OSError when it hasn't.
    """
    pause_s = _PAUSE_S
    for left in range(_TRIES - 1, -1, -1):
        try:
            response = channel.send(request)
        except (Later, OSError) as error:
            if not left:
                raise Refused(str(error)) from error
            asked_s = error.pause_s if isinstance(error, Later) else 0.0
            waiting.wait(min(max(pause_s, asked_s), _LONGEST_PAUSE_S))
            pause_s *= 2
        else:
            _check(response)
            return


def _check(response: ExportMetricsServiceResponse) -> None:
    rejected = response.partial_success.rejected_data_points
    if rejected:
        reason = response.partial_success.error_message
        raise Refused(f"the receiver refused {rejected} data points: {reason}")


class Http:
    """Sends over HTTP, a connection for each message."""

    def __init__(self, target: Target) -> None:
        self._target = target
        parts = urlsplit(target.endpoint)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        base = parts.path.rstrip("/")
        self._path = base if base.endswith(_PATH) else base + _PATH

    def send(self, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
        """Sends once. Raises Later, Refused or OSError."""
        body = request.SerializeToString()
        headers = {**self._target.metadata(), "content-type": "application/x-protobuf"}
        if self._target.gzip:
            body = zlib.compress(body, 1, 31)
            headers["content-encoding"] = "gzip"
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            content = answer.read(_MOST_BYTES)
            if answer.status in _AGAIN:
                after = answer.getheader("retry-after", "")
                pause_s = float(after) if after.isascii() and after.isdigit() else 0.0
                raise Later(f"HTTP {answer.status} {answer.reason}", pause_s)
        except HTTPException as error:
            raise Later(f"no HTTP answer: {error!r}") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise Refused(f"HTTP {answer.status} {answer.reason} of {self._target.endpoint}")
        try:
            response = ExportMetricsServiceResponse()
            response.ParseFromString(content)
        except DecodeError:  # some receivers answer "OK"
            return ExportMetricsServiceResponse()
        return response

    def close(self) -> None:
        """Nothing is kept open."""

    def _connection(self) -> HTTPConnection:
        timeout_s = self._target.timeout_s
        if not self._is_tls:
            return HTTPConnection(self._host, self._port, timeout=timeout_s)
        context = ssl.create_default_context(cafile=self._target.ca_file)
        if self._target.cert_file is not None:
            context.load_cert_chain(self._target.cert_file, self._target.key_file)
        return HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)


class Grpc:
    """Sends over one gRPC channel, which looks after its connection itself."""

    def __init__(self, target: Target) -> None:
        import grpc
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
            MetricsServiceStub,
        )

        self._grpc = grpc
        self._target = target
        parts = urlsplit(target.endpoint)
        address = parts.netloc or target.endpoint
        compression = grpc.Compression.Gzip if target.gzip else grpc.Compression.NoCompression
        if parts.scheme == "https":
            self._channel = grpc.secure_channel(address, self._credentials(), None, compression)
        else:
            self._channel = grpc.insecure_channel(address, None, compression)
        self._stub = MetricsServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def send(self, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
        """Sends once. Raises Later, Refused or OSError."""
        metadata = tuple(self._target.metadata().items())
        try:
            response: ExportMetricsServiceResponse = self._stub.Export(
                request, timeout=self._target.timeout_s, metadata=metadata
            )
        except self._grpc.RpcError as error:
            code = error.code().name
            message = f"gRPC {code}: {error.details()}"
            raise (Later(message) if code in _GRPC_AGAIN else Refused(message)) from error
        return response

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _credentials(self) -> object:
        target = self._target
        files = (target.ca_file, target.key_file, target.cert_file)
        contents = [None if file is None else file.read_bytes() for file in files]
        return self._grpc.ssl_channel_credentials(*contents)
