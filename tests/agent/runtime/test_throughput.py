"""The thread that asks servers, against local ones that answer as real ones do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from submeter.clock import FakeClock
from submeter.config import Config
from submeter.config.schema import Throughput
from submeter.errors import InputError
from submeter.ledger import Ledger
from submeter.model import Owner, Phase, ProcessKey, ProcessView, Verdict
from submeter.runtime.throughput import LOOK_NS, WorkWatch, configured
from submeter.testing.serving import PageServer
from submeter.throughput.asking import LOOPBACK, Address
from submeter.throughput.finding import Found
from submeter.throughput.source import Source
from submeter.throughput.workbook import Place, Workbook
from submeter.units import NS_PER_S

PAGES = Path(__file__).parents[1] / "throughput" / "pages"
KEY = ProcessKey("boot", 7, 110_000)
OWNER = Owner(Phase.INFERENCE, "chat", "ann")
VIEW = ProcessView(KEY, OWNER, Verdict(Phase.INFERENCE, 1.0, (), "recognised"))


@pytest.fixture
def server() -> Iterator[PageServer]:
    made = PageServer()
    yield made
    made.close()


class Stage:
    """A watch on a clock that is moved by hand, and the books it fills."""

    def __init__(self, config: Config, look: Callable[[list[ProcessKey]], list[Found]]) -> None:
        self.clock = FakeClock(boottime_ns=1_000 * NS_PER_S)
        self.ledger = Ledger()
        self.book = Workbook(self.ledger, self.clock.boottime_ns())
        self.views = [VIEW]
        self.looked = 0

        def counted(holders: list[ProcessKey]) -> list[Found]:
            self.looked += 1
            return look(holders)

        self.watch = WorkWatch(config, self.clock, lambda: self.views, self.book, counted)

    def round(self, seconds: int = 15) -> dict[str, int]:
        """Time passes, everybody is asked, all is booked: how much was done so far, by unit."""
        self.clock.advance(seconds * NS_PER_S)
        self.watch.run()
        self.book.book(lambda: {KEY: Place("GPU-1", OWNER)}, self.clock.boottime_ns())
        return {unit: amount for (_, unit), amount in self.ledger.done().items()}


def listening_at(*ports: int) -> Callable[[list[ProcessKey]], list[Found]]:
    def look(holders: list[ProcessKey]) -> list[Found]:
        return [
            Found(
                Source(f"boot:7:110000:{port}", tuple(holders), "", 1_100 * NS_PER_S, str(port)),
                Address(LOOPBACK, port),
                KEY,
            )
            for port in ports
        ]

    return look


def test_a_discovered_server_is_counted_from_its_start(server: PageServer) -> None:
    stage = Stage(Config(), listening_at(server.port))
    server.page = (PAGES / "sglang.prom").read_bytes()
    stage.clock.advance(101 * NS_PER_S)
    assert stage.round() == {
        "prompt_tokens": 8_128_902,
        "generation_tokens": 7_557_572,
        "requests": 25_012,
    }
    server.page = server.page.replace(b"7.557572e+06", b"7.557600e+06")
    assert stage.round()["generation_tokens"] == 7_557_600
    assert stage.looked == 1


def test_a_failed_question_loses_nothing_and_is_seen(
    server: PageServer, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(Config(), listening_at(server.port))
    server.page = b"vllm:generation_tokens_total 10\n"
    stage.round()
    server.page = b"vllm:generation_tokens_total NaN\n"
    stage.round()
    stage.round()
    assert stage.book.servers()[0][1:] == ("vllm", "chat", False, "nonsense")
    assert caplog.text.count("does not tell how much it does") == 1
    server.page = b"vllm:generation_tokens_total 40\n"
    assert stage.round()["generation_tokens"] == 40
    assert stage.book.servers()[0].up


def test_a_port_that_tells_nothing_is_asked_ever_less(server: PageServer) -> None:
    stage = Stage(Config(), listening_at(server.port))
    server.page = b"<html>"
    for _ in range(3):
        assert stage.round() == {}
    assert stage.book.servers() == ()  # who says nothing is no trouble


def test_it_looks_again_when_others_hold_the_gpus(server: PageServer) -> None:
    server.page = b"vllm:generation_tokens_total 10\n"
    stage = Stage(Config(), listening_at(server.port))
    stage.round()
    stage.round()
    assert stage.looked == 1
    stage.views = []
    stage.round()
    assert stage.book.servers() == ()
    assert stage.ledger.done()[OWNER, "uncounted_ns"] > 0
    stage.views = [VIEW]
    stage.round()
    assert stage.looked == 2
    stage.round(LOOK_NS // NS_PER_S + 1)
    assert stage.looked == 3


def test_a_configured_server_that_restarts_is_another_one(server: PageServer) -> None:
    config = Config(throughput=Throughput(servers={"chat": f"http://127.0.0.1:{server.port}/"}))
    stage = Stage(config, lambda _holders: [])
    wall_s = stage.clock.wall_ns() // NS_PER_S
    page = "process_start_time_seconds {}\nvllm:generation_tokens_total {}\n"
    server.page = page.format(wall_s - 500, 1_000).encode()  # before this agent was there
    assert stage.round() == {"uncounted_ns": 15 * NS_PER_S}
    server.page = page.format(wall_s - 500, 1_250).encode()
    assert stage.round()["generation_tokens"] == 250
    server.page = page.format(wall_s + 35, 2_000).encode()  # more than before, and yet anew
    done = stage.round()
    assert done["generation_tokens"] == 2_250
    assert done["uncounted_ns"] == 30 * NS_PER_S
    assert len(stage.book.servers()) == 1


def test_nobody_is_looked_for_where_that_is_not_wanted(server: PageServer) -> None:
    server.page = b"vllm:generation_tokens_total 10\n"
    config = Config(throughput=Throughput(discover=False))
    stage = Stage(config, listening_at(server.port))
    assert stage.round() == {}
    assert (stage.looked, stage.watch.needed) == (0, False)


def test_an_address_that_is_none_is_an_error_at_the_start() -> None:
    config = Config(throughput=Throughput(servers={"chat": "http://a:b"}))
    with pytest.raises(InputError, match="expected an address"):
        list(configured(config))
