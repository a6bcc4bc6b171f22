"""What is served where: the page, the API, the events, health, and the routes of exporters."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qs

from submeter.errors import InputError
from submeter.exporting import Source
from submeter.model import Snapshot
from submeter.web import page
from submeter.web.api import snapshot_json
from submeter.web.broadcast import Broadcast
from submeter.web.http import Handler, Request, Response, Routes, Stream, text
from submeter.web.midnight import Day
from submeter.web.negotiation import accepts_gzip
from submeter.web.rendered import Rendered

Ready = Callable[[], str]
"""Why the agent isn't ready; "" when it is."""


class Outlet(Protocol):
    """Something else that has pages: an exporter."""

    name: str

    def routes(self, source: Source) -> Routes:
        """Path → handler."""
        ...


HTML: Final = "text/html; charset=utf-8"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_GZIP: Final = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))

_MOST_BATCH_MS: Final = 1_000  # a ring holds some seconds
_FOLDER: Final = Path(__file__).with_name("assets")
_ASSETS: Final = {
    "/style.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/charts.js": "text/javascript; charset=utf-8",
    "/past.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}


def routes(
    source: Source,
    outlets: Iterable[Outlet],
    hub: Broadcast,
    ready: Ready,
    history: Handler,
    *,
    day: Callable[[Snapshot], Day | None] = lambda _: None,
    host: str = "",
) -> Routes:
    """The route table. ``day``: what was used since midnight; ``host``: what the page calls this
    machine. Raises InputError where two exporters want the same path."""
    live = Rendered(lambda snapshot: (page.fragment(snapshot, day(snapshot), host),), HTML)
    hub.state = lambda: _state(live, source())
    table: dict[str, Handler] = {
        "/": _page(source, lambda snapshot: page.document(snapshot, day(snapshot), host)),
        "/live": _served(source, live),
        "/api/v1/snapshot": _rendered(source, snapshot_json, "application/json"),
        "/api/v1/history": history,
        "/events": _events(hub),
        "/-/healthy": lambda _request: text("alive"),
        "/-/ready": _readiness(ready),
        **{path: _asset(path, kind) for path, kind in _ASSETS.items()},
    }
    for outlet in outlets:
        for path, handler in outlet.routes(source).items():
            if path in table:
                raise InputError(f"exporter {outlet.name}: {path} is taken already")
            table[path] = handler
    return table


def _state(live: Rendered, snapshot: Snapshot | None) -> bytes:
    return b"" if snapshot is None else b"".join(live.plain(snapshot))


def _rendered(source: Source, encode: Callable[[Snapshot], bytes], kind: str) -> Handler:
    return _served(source, Rendered(lambda snapshot: (encode(snapshot),), kind))


def _served(source: Source, rendered: Rendered) -> Handler:
    def handle(request: Request) -> Response:
        snapshot = source()
        if snapshot is None:
            return text("nothing has been measured yet", 503)
        return rendered.response(request, snapshot)

    return handle


def _page(source: Source, encode: Callable[[Snapshot], bytes]) -> Handler:
    whole = _rendered(source, encode, HTML)
    return lambda request: Response(page.document(None), HTML) if not source() else whole(request)


def _events(hub: Broadcast) -> Handler:
    def handle(request: Request) -> Response | Stream:
        asked = parse_qs(request.query)
        form = asked.get("form", ["reading"])[0]
        if form == "page":
            pack = accepts_gzip(request.headers.get("accept-encoding", ""))
            return Stream(hub.pages(pack=pack), _EVENTS, _GZIP if pack else ())
        if form != "reading":
            return text("form must be reading or page", 400)
        given = asked.get("batch_ms", ["0"])[0]
        if not (given.isascii() and given.isdigit() and int(given[:5]) <= _MOST_BATCH_MS):
            return text(f"batch_ms must be a whole number up to {_MOST_BATCH_MS}", 400)
        rest_s = int(given[:5]) / 1000
        return Stream(hub.events(rest_s), _EVENTS)

    return handle


def _readiness(ready: Ready) -> Handler:
    def handle(_request: Request) -> Response:
        reason = ready()
        return text(reason, 503) if reason else text("ready")

    return handle


def _asset(path: str, kind: str) -> Handler:
    body = (_FOLDER / path.removeprefix("/")).read_bytes()
    response = Response(body, kind, headers=(("Cache-Control", "no-cache"),))
    return lambda _request: response
