"""Snapshots in, `/metrics` out: Prometheus text 0.0.4 or OpenMetrics 1.0.0, as the client likes."""

from collections.abc import Mapping
from typing import Final

from submeter.exporting import Exporter, Option, Options, Source, checked
from submeter.metrics import families
from submeter.model import Snapshot
from submeter.web.http import Request, Response, Routes, text
from submeter.web.negotiation import choices
from submeter.web.rendered import Rendered
from submeter_exporters._openmetrics import OPENMETRICS_TYPE, TEXT_TYPE, pieces

PATH: Final = "/metrics"
OPTIONS: Final[Mapping[str, Option]] = {}

_OPENMETRICS = "application/openmetrics-text"
_VERSIONS = ("", "0.0.1", "1.0.0")  # 0.0.1 is what Prometheus before 2.34 calls the same format
_TEXT_RANGES = ("text/plain", "text/*", "*/*")  # most specific first


def create(options: Options) -> Exporter:
    """A pull exporter; it has no options."""
    checked("prometheus", options, OPTIONS)
    return Prometheus()


class Prometheus:
    """Owns the rendered bytes of the newest snapshot, one set for each format."""

    name = "prometheus"
    interval_ns: int | None = None

    def __init__(self) -> None:
        self._text = Rendered(lambda snapshot: pieces(families(snapshot)), TEXT_TYPE)
        self._openmetrics = Rendered(
            lambda snapshot: pieces(families(snapshot), openmetrics=True), OPENMETRICS_TYPE
        )

    def routes(self, source: Source) -> Routes:
        """`/metrics`; 503 before there is anything to say."""

        def scrape(request: Request) -> Response:
            snapshot = source()
            if snapshot is None:
                return text("nothing has been measured yet", 503)
            rendered = self._openmetrics if prefers_openmetrics(request) else self._text
            return rendered.response(request, snapshot, vary="Accept")

        return {PATH: scrape}

    def publish(self, snapshot: Snapshot) -> None:
        """Nothing to do: whoever wants a snapshot comes for it."""

    def close(self) -> None:
        """Nothing to let go of."""


def prefers_openmetrics(request: Request) -> bool:
    """Whether OpenMetrics is asked for by name, and no less than plain text is liked."""
    accepted = choices(request.headers.get("accept", ""))
    openmetrics = max(
        (
            choice.weight
            for choice in accepted
            if choice.value == _OPENMETRICS and choice.parameters.get("version", "") in _VERSIONS
        ),
        default=0.0,
    )
    weights: dict[str, float] = {}
    for choice in accepted:
        weights[choice.value] = max(choice.weight, weights.get(choice.value, 0.0))
    plain = next((weights[media] for media in _TEXT_RANGES if media in weights), 0.0)
    return openmetrics > 0 and openmetrics >= plain
