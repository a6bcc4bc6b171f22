"""Asking servers that answer, and those that do everything else."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from submeter.clock import SystemClock
from submeter.errors import InputError
from submeter.throughput.asking import LOOPBACK, MOST_BYTES, Address, address, ask
from submeter.throughput.pages import NotCounted
from submeter.units import NS_PER_MS, NS_PER_S

NOW = SystemClock().boottime_ns


def test_the_page_comes_back(server: Any, pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # no proxy knows this node's ports
    server.page = (pages / "vllm.prom").read_bytes()
    assert ask(Address(LOOPBACK, server.port), 5 * NS_PER_S, NOW) == server.page
    assert server.asked[0].startswith(b"GET /metrics HTTP/1.1\r\n")
    assert b"uthorization" not in server.asked[0]


def test_a_page_in_chunks(server: Any) -> None:
    server.sends(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert ask(Address(LOOPBACK, server.port), 5 * NS_PER_S, NOW) == b"abcde"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n", "refused"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "unreachable"),
        (b"", "unreachable"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nshort", "unreachable"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, "unreachable"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" + b"#" * (MOST_BYTES + 1),
            "too_long",
        ),
    ],
)
def test_what_is_no_page(server: Any, data: bytes, reason: str) -> None:
    server.sends(data)
    with pytest.raises(NotCounted) as caught:
        ask(Address(LOOPBACK, server.port), 5 * NS_PER_S, NOW)
    assert caught.value.reason == reason


def test_a_byte_now_and_then_is_given_up_on(server: Any) -> None:
    enough = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not enough.wait(0.02):
            connection.sendall(b"a")

    server.handler = drip
    try:
        with pytest.raises(NotCounted) as caught:
            ask(Address(LOOPBACK, server.port), 300 * NS_PER_MS, NOW)
    finally:
        enough.set()
    assert caught.value.reason == "slow"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NotCounted) as caught:
        ask(Address(LOOPBACK, port), NS_PER_S, NOW)
    assert caught.value.reason == "unreachable"


def test_addresses() -> None:
    assert str(address("http://10.0.3.4:8000/metrics")) == "http://10.0.3.4:8000/metrics"
    assert address("https://llm.example") == Address(("llm.example",), 443, "/metrics", True)
    assert address("http://[::1]:8000/m?x=1") == Address(("::1",), 8000, "/m?x=1")


@pytest.mark.parametrize(
    "url",
    ["", "llm:8000", "ftp://a/", "http://", "http://a:99999/", "http://u:secret@a/", "http://a b/"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InputError, match="expected an address"):
        address(url)
