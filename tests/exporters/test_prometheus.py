"""The scrape: the right format for each client, made once per snapshot."""

import gzip
from collections.abc import Iterator
from dataclasses import replace

import pytest

from submeter.exporting import Source
from submeter.metrics import Family, families
from submeter.model import Account, Component, Owner, Phase, Snapshot
from submeter.testing.snapshots import GPU_0, node
from submeter.web.http import Request, Response
from submeter_exporters import prometheus
from submeter_exporters._openmetrics import OPENMETRICS_TYPE, TEXT_TYPE, render

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def scrape(source: Source, accept: str = "", encoding: str = "") -> Response:
    handler = prometheus.create({}).routes(source)["/metrics"]
    answer = handler(Request("/metrics", headers={"accept": accept, "accept-encoding": encoding}))
    assert isinstance(answer, Response)
    return answer


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT_TYPE),
        ("*/*", TEXT_TYPE),
        (BROWSER, TEXT_TYPE),
        ("application/json", TEXT_TYPE),
        ("text/plain;version=0.0.4", TEXT_TYPE),
        (PROMETHEUS_2_42, OPENMETRICS_TYPE),
        (PROMETHEUS_3, OPENMETRICS_TYPE),
        ("application/openmetrics-text", OPENMETRICS_TYPE),
        ("application/openmetrics-text;version=0.0.1", OPENMETRICS_TYPE),
        ("application/openmetrics-text;version=2.0.0", TEXT_TYPE),
        ("application/openmetrics-text;q=0", TEXT_TYPE),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.6", TEXT_TYPE),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.4,*/*", OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0.5,*/*", TEXT_TYPE),
        ("application/openmetrics-text;q=x, text/plain;q=nan", TEXT_TYPE),
    ],
)
def test_the_format_is_what_the_client_prefers(accept: str, expected: str) -> None:
    answer = scrape(node, accept)
    assert answer.content_type == expected
    assert answer.body.endswith(b"# EOF\n") == (expected == OPENMETRICS_TYPE)
    assert ("Vary", "Accept, Accept-Encoding") in answer.headers


@pytest.mark.fault("F85")
def test_a_snapshot_is_rendered_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []

    def counted(snapshot: Snapshot) -> Iterator[Family]:
        rendered.append(snapshot.sequence)
        return families(snapshot)

    monkeypatch.setattr(prometheus, "families", counted)
    current = node(sequence=1)
    handler = prometheus.create({}).routes(lambda: current)["/metrics"]
    plain = Request("/metrics")
    zipped = Request("/metrics", headers={"accept-encoding": "gzip"})
    first = [handler(plain), handler(zipped), handler(plain), handler(zipped)]
    assert rendered == [1]
    bodies = [answer.body for answer in first if isinstance(answer, Response)]
    assert bodies[0] is bodies[2]
    assert bodies[1] is bodies[3]
    assert gzip.decompress(bodies[1]) == bodies[0]
    current = node(sequence=2)
    handler(plain)
    assert rendered == [1, 2]


def test_a_large_scrape_is_the_same_in_pieces_and_zipped() -> None:
    few = node()
    energy_uj = {
        Account(GPU_0, "", Component.DYNAMIC, Owner(Phase.OTHER, f"job-{number}")): number
        for number in range(3_000)
    }
    many = replace(few, energy_uj=energy_uj)
    plain, zipped = scrape(lambda: many), scrape(lambda: many, encoding="gzip")
    assert len(plain.pieces) > 1
    assert gzip.decompress(zipped.body) == b"".join(plain.pieces) == render(families(many))


def test_before_the_first_snapshot() -> None:
    assert scrape(lambda: None).status == 503
