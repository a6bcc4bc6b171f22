"""The route table as a whole, over a real connection."""

import gzip
import json
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Protocol

import pytest

from submeter.errors import InputError
from submeter.exporting import load
from submeter.model import Reading, Snapshot
from submeter.testing.snapshots import GPU_0, node
from submeter.web.app import routes
from submeter.web.broadcast import Broadcast
from submeter.web.http import Routes, text

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


class Served(Protocol):
    host: str
    port: int

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]: ...


Serve = Callable[[Routes], Served]


class Agent:
    """What the runtime is to the web: a newest snapshot, a hub, readiness."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = node()
        self.hub = Broadcast()
        self.unready = ""

    def routes(self) -> Routes:
        exporters = [load("prometheus", {})]
        return routes(
            lambda: self.snapshot, exporters, self.hub, lambda: self.unready, lambda _: text("past")
        )


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def served(agent: Agent, serve: Serve) -> Served:
    return serve(agent.routes())


@pytest.mark.threat("T19")
def test_the_routes_are_these_and_all_documented(agent: Agent) -> None:
    """No debugging, no administration: adding a path is a decision."""
    assets = {"/style.css", "/page.js", "/charts.js", "/past.js", "/icon.svg"}
    api = {"/api/v1/snapshot", "/api/v1/history", "/events"}
    pages = {"/", "/live", "/metrics", "/-/healthy", "/-/ready"} | api
    assert set(agent.routes()) == assets | pages
    documented = DOCS.read_text()
    assert all(f"`{path}`" in documented for path in pages)


@pytest.mark.threat("T20")
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/live", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/charts.js", "text/javascript; charset=utf-8"),
        ("/past.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/api/v1/snapshot", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/-/healthy", "text/plain; charset=utf-8"),
        ("/-/ready", "text/plain; charset=utf-8"),
    ],
)
def test_get_and_head_of_every_page(served: Served, path: str, kind: str) -> None:
    response, body = served.get(path)
    assert (response.status, response.headers["Content-Type"]) == (200, kind)
    assert body
    head, nothing = served.get(path, "HEAD")
    assert head.headers["Content-Length"] == str(len(body))
    assert nothing == b""


@pytest.mark.parametrize("path", ["/", "/live", "/metrics", "/api/v1/snapshot"])
def test_gzip_holds_the_same(served: Served, path: str) -> None:
    _, plain = served.get(path)
    response, zipped = served.get(path, Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in response.headers["Vary"]
    assert gzip.decompress(zipped) == plain
    assert len(zipped) < len(plain) / 2


def test_before_the_first_snapshot(agent: Agent, served: Served) -> None:
    agent.snapshot = None
    for path in ("/live", "/metrics", "/api/v1/snapshot"):
        response, _ = served.get(path)
        assert response.status == 503
    response, body = served.get("/")
    assert response.status == 200
    assert b"measured nothing yet" in body


def test_the_newest_snapshot_is_served(agent: Agent, served: Served) -> None:
    assert json.loads(served.get("/api/v1/snapshot")[1])["sequence"] == 1
    agent.snapshot = node(sequence=2)
    assert json.loads(served.get("/api/v1/snapshot")[1])["sequence"] == 2


def test_health_and_readiness(agent: Agent, served: Served) -> None:
    agent.unready = "no driver: library_missing"
    response, body = served.get("/-/ready")
    assert (response.status, body) == (503, b"no driver: library_missing\n")
    assert served.get("/-/healthy")[0].status == 200
    agent.unready = ""
    assert served.get("/-/ready")[0].status == 200


def test_events_come_as_they_happen(agent: Agent, served: Served) -> None:
    client = HTTPConnection(served.host, served.port, timeout=10)
    client.request("GET", "/events")
    response = client.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.readline() == b"retry: 2000\n"
    assert response.readline() == b"\n"
    reading = Reading(7, 1, None, None, None, None, None)
    threading.Thread(target=agent.hub.publish, args=(GPU_0, reading)).start()
    assert response.readline() == b"event: reading\n"
    assert json.loads(response.readline().removeprefix(b"data: "))["gpu_uuid"] == GPU_0
    response.close()
    client.close()


def test_two_exporters_cannot_have_one_path() -> None:
    twice = [load("prometheus", {}), load("prometheus", {})]
    with pytest.raises(InputError, match="/metrics is taken"):
        routes(node, twice, Broadcast(), str, lambda _: text(""))
