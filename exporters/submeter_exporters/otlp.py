"""Snapshots in, OpenTelemetry metrics pushed to a collector out: OTLP over HTTP or gRPC."""

from collections.abc import Mapping
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from submeter.config.kinds import absolute_path, choice, number, text, texts
from submeter.exporting import (
    Exporter,
    Option,
    OptionError,
    Options,
    Source,
    checked,
    needs,
)
from submeter.model import Snapshot
from submeter.units import NS_PER_S
from submeter.urls import asked_at
from submeter.web.http import Routes

if TYPE_CHECKING:
    from submeter_exporters._otlp_send import Channel

OPTIONS: Final = {
    "endpoint": Option(
        text(), "http://localhost:4318", "URL of the receiver; /v1/metrics is added for HTTP."
    ),
    "protocol": Option(
        choice("http/protobuf", "grpc"), "http/protobuf", "How it is spoken to; grpc: port 4317."
    ),
    "interval_s": Option(number(1, 3600), 15.0, "Time between two messages.", "s"),
    "timeout_s": Option(number(0.1, 300), 10.0, "How long one attempt may take.", "s"),
    "compression": Option(choice("gzip", "none"), "gzip", "Of the messages."),
    "headers": Option(texts(), {}, "Further headers, such as the receiver's tenant."),
    "bearer_token_file": Option(absolute_path(), None, "File with a token to send."),
    "ca_file": Option(absolute_path(), None, "Certificates to check the receiver with."),
    "cert_file": Option(absolute_path(), None, "Our own certificate, if it asks for one."),
    "key_file": Option(absolute_path(), None, "The key of that certificate."),
    "resource": Option(texts(), {}, "Further attributes of the resource."),
}


def create(options: Options) -> Exporter:
    """A push exporter. Raises OptionError, and InputError where its extra is not installed."""
    values = checked("otlp", options, OPTIONS)
    if asked_at(values["endpoint"]) is None:
        raise OptionError(
            "endpoint",
            "exporters.otlp.endpoint must be a URL that begins with http:// or https://, found "
            f"{values['endpoint']}",
        )
    needs("otlp", "otlp", "opentelemetry.proto")
    if values["protocol"] == "grpc":
        needs("otlp", "otlp-grpc", "grpc")
    return Otlp(**values)


class Otlp:
    """Owns the way to one receiver, which is found at the first message."""

    name = "otlp"

    def __init__(
        self,
        protocol: str,
        interval_s: float,
        compression: str,
        resource: Mapping[str, str],
        **target: Any,
    ) -> None:
        self.interval_ns: int | None = round(interval_s * NS_PER_S)
        self._protocol = protocol
        self._resource = resource
        self._target = {**target, "gzip": compression == "gzip"}
        self._channel: Channel | None = None
        self._closing = Event()

    def routes(self, _source: Source) -> Routes:
        """Nothing: it pushes."""
        return {}

    def publish(self, snapshot: Snapshot) -> None:
        """Sends a snapshot. Raises Refused or OSError where the receiver doesn't take it; the next
        one then says everything that this one would have."""
        # Here, in its own thread: these take 10 to 30 MB and a tenth of a second.
        from submeter_exporters._otlp_message import message
        from submeter_exporters._otlp_send import Grpc, Http, Target, deliver

        if self._channel is None:
            make = Grpc if self._protocol == "grpc" else Http
            self._channel = make(Target(**self._target))
        deliver(self._channel, message(snapshot, self._resource), self._closing)

    def close(self) -> None:
        """Closes the connection."""
        self._closing.set()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
