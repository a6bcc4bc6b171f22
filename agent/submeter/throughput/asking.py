"""An address in, the page that is served there out: within seconds, and of a few MiB at most.

No proxy, no redirect, no compression, no credentials. The time is for all of it: a server that
sends a byte now and then is given up on as one that sends nothing.
"""

import socket
from collections.abc import Callable
from typing import Final, NamedTuple

import h11

from submeter.errors import InputError
from submeter.text import printable
from submeter.throughput.pages import NotCounted
from submeter.units import NS_PER_S
from submeter.urls import asked_at

MOST_BYTES: Final = 8 << 20
LOOPBACK: Final = ("127.0.0.1", "::1")
_QUOTED: Final = 120
_OK: Final = 200
_CHUNK: Final = 64 * 1024
_HEADERS: Final = (
    ("Accept", "text/plain"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "submeter"),
    ("Connection", "close"),
)


class Address(NamedTuple):
    """Where a page is. ``hosts``: names of one machine, tried in turn."""

    hosts: tuple[str, ...]
    port: int
    path: str = "/metrics"
    tls: bool = False

    def __str__(self) -> str:
        host = self.hosts[0]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{shown}:{self.port}{self.path}"


def address(url: str) -> Address:
    """The address in a URL. Raises InputError for one that can't be asked."""
    parts = asked_at(url)
    if parts is None or not parts.hostname or parts.username is not None:
        raise InputError(
            f"expected an address without a password, such as http://127.0.0.1:8000/metrics, "
            f"found {url[:_QUOTED]!r}"
        )
    tls = parts.scheme == "https"
    path = parts.path or "/metrics"
    query = f"?{parts.query}" if parts.query else ""
    return Address((parts.hostname,), parts.port or (443 if tls else 80), path + query, tls)


def ask(where: Address, timeout_ns: int, now_ns: Callable[[], int]) -> bytes:
    """The page. Raises NotCounted, with why. ``now_ns``: boot time."""
    until_ns = now_ns() + timeout_ns

    def left_s() -> float:
        seconds = (until_ns - now_ns()) / NS_PER_S
        if seconds <= 0:
            raise TimeoutError
        return seconds

    for host in where.hosts:
        try:
            with socket.create_connection((host, where.port), left_s()) as connected:
                return _page(_secured(connected, where, host), where, host, left_s)
        except ConnectionRefusedError:
            continue
        except TimeoutError as error:
            raise NotCounted("slow", f"no page within {timeout_ns / NS_PER_S:g} s") from error
        except (OSError, h11.ProtocolError, ValueError) as error:
            said = printable(str(error) or repr(error))[:_QUOTED]
            raise NotCounted("unreachable", f"can't be read: {said}") from error
    raise NotCounted("unreachable", "nobody listens there")


def _secured(connected: socket.socket, where: Address, host: str) -> socket.socket:
    if not where.tls:
        return connected
    import ssl  # 3 MB that only those pay who ask with TLS

    return ssl.create_default_context().wrap_socket(connected, server_hostname=host)


def _page(
    connected: socket.socket, where: Address, host: str, left_s: Callable[[], float]
) -> bytes:
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", f"{host}:{where.port}"), *_HEADERS]
    request = h11.Request(method="GET", target=where.path, headers=headers)
    connected.settimeout(left_s())
    connected.sendall((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    content = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            connected.settimeout(left_s())
            http.receive_data(connected.recv(_CHUNK))
        elif isinstance(event, h11.Response) and event.status_code != _OK:
            raise NotCounted("refused", f"HTTP {event.status_code}")
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > MOST_BYTES:
                raise NotCounted("too_long", f"a page of more than {MOST_BYTES >> 20} MiB")
        elif not isinstance(event, h11.Response | h11.InformationalResponse):
            return bytes(content)
