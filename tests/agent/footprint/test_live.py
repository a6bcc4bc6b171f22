"""Live carbon intensity from a local server that speaks as Electricity Maps does, and fails."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from submeter.clock import FakeClock
from submeter.errors import InputError
from submeter.footprint import live
from submeter.footprint.factors import MILLION, Factor, Quantity
from submeter.footprint.history import read_history
from submeter.footprint.pricing import Pricer
from submeter.footprint.rates import Factors
from submeter.model import Phase
from submeter.runtime.footprint import LiveIntensity
from submeter.units import NS_PER_S

NOW_S = 1_780_000_000
HOUR = datetime.fromtimestamp(NOW_S - 1_800, UTC).isoformat().replace("+00:00", ".000Z")
GOOD = {"zone": "DE", "carbonIntensity": 302, "datetime": HOUR, "isEstimated": True}
BASE = Factor(Quantity.CARBON, 380 * MILLION, "a statistic")


class Server:
    """Answers with what it is told to."""

    def __init__(self) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler], None] = ok(GOOD)
        self.tokens: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.tokens.append(self.headers.get("auth-token"))
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v3/carbon-intensity/latest?zone=DE"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def ok(said: object) -> Callable[[BaseHTTPRequestHandler], None]:
    return sends(200, said if isinstance(said, bytes) else json.dumps(said).encode())


def sends(code: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_a_good_answer_is_a_factor(server: Server) -> None:
    row = live.ask(live.Place(server.url, "secret"), NOW_S)
    assert (row.micro, row.source) == (302 * MILLION, "127.0.0.1, DE, estimated")
    assert row.measured_s == NOW_S - 1_800
    assert row.until_s == NOW_S - 1_800 + 7_200
    assert server.tokens == ["secret"]


@pytest.mark.fault("F95")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ok(b"<html>"), "no carbon intensity"),
        (ok(b"[" * 100_000), "no carbon intensity"),
        (ok([]), "no carbon intensity"),
        (ok({**GOOD, "carbonIntensity": -5}), "no carbon intensity"),
        (ok({**GOOD, "carbonIntensity": 1e9}), "no carbon intensity"),
        (ok({**GOOD, "carbonIntensity": None}), "no carbon intensity"),
        (ok({**GOOD, "carbonIntensity": float("nan")}), "no carbon intensity"),
        (ok({**GOOD, "datetime": "yesterday"}), "no carbon intensity"),
        (ok({**GOOD, "datetime": "2026-05-28T20:00:00"}), "no offset"),
        (ok({**GOOD, "zone": "FR"}), "asked for DE, answered for FR"),
        (ok({**GOOD, "datetime": "2020-01-01T00:00:00Z"}), "stale: of 2020-01-01"),
        (ok({**GOOD, "datetime": "2999-01-01T00:00:00Z"}), "of a time to come"),
        (sends(429, b"", Retry_After="120"), "HTTP 429"),
        (sends(500, b""), "HTTP 500"),
        (sends(302, b"", Location="http://127.0.0.1:1/"), "HTTP 302"),
    ],
)
def test_what_is_no_good_answer_is_no_factor(
    server: Server, answer: Callable[[BaseHTTPRequestHandler], None], said: str
) -> None:
    server.answer = answer
    with pytest.raises(live.NoFactor, match=said):
        live.ask(live.Place(server.url), NOW_S)


def test_slow_and_down(server: Server) -> None:
    let_go = threading.Event()

    def slow(_handler: BaseHTTPRequestHandler) -> None:
        let_go.wait(20)

    server.answer = slow
    with pytest.raises(live.NoFactor, match="no answer within"):
        live.ask(live.Place(server.url, patience_s=0.2), NOW_S)
    let_go.set()
    with pytest.raises(live.NoFactor, match="can't be reached"):
        live.ask(live.Place("http://127.0.0.1:1/"), NOW_S)


@pytest.mark.fault("F95")
def test_the_last_good_value_is_used_until_it_is_too_old(server: Server, tmp_path: Path) -> None:
    clock = FakeClock(wall_ns=NOW_S * NS_PER_S)
    pricer = Pricer(Factors(((BASE,),)))
    made = LiveIntensity(live.Place(server.url), 300.0, tmp_path, clock, pricer)

    def value(at_s: int) -> int | None:
        found = pricer.factors.at(at_s).value(Quantity.CARBON)
        return None if found is None else found // MILLION

    before = made.up
    assert made.refresh() == 300.0
    assert (before, made.up) == (False, True)
    assert (value(NOW_S - 60), value(NOW_S), value(NOW_S + 5_399)) == (380, 302, 302)
    assert value(NOW_S + 5_400) == 380  # too old: what the configuration says
    server.answer = sends(429, b"", Retry_After="900")
    assert made.refresh() == 900.0
    server.answer = ok({**GOOD, "carbonIntensity": "nonsense"})
    assert made.refresh() == 300.0
    assert made.up
    assert value(NOW_S + 100) == 302
    history = Factors((read_history(tmp_path).rows,))
    assert history.at(NOW_S).value(Quantity.CARBON) == 302 * MILLION
    assert history.at(NOW_S + 5_400).value(Quantity.CARBON) is None
    pricer.add(Phase.TRAINING, 10, NOW_S)
    assert pricer.ages(NOW_S) == (("carbon_g_per_kwh", 1_800),)


def test_an_agent_goes_on_with_what_the_one_before_was_told(server: Server, tmp_path: Path) -> None:
    clock = FakeClock(wall_ns=NOW_S * NS_PER_S)
    place = live.Place(server.url)
    LiveIntensity(place, 300.0, tmp_path, clock, Pricer(Factors())).refresh()
    server.answer = sends(503, b"")
    pricer = Pricer(Factors())
    made = LiveIntensity(place, 300.0, tmp_path, clock, pricer)
    made.start()
    made.stop()
    assert pricer.factors.at(NOW_S).value(Quantity.CARBON) == 302 * MILLION


@pytest.mark.threat("T34")
@pytest.mark.parametrize("url", ["file:///etc/passwd", "api", "http://", "http://[::1", "ftp://x/"])
def test_only_addresses_that_can_be_asked(url: str) -> None:
    with pytest.raises(InputError, match="expected an address"):
        live.place(url, None, 60)
