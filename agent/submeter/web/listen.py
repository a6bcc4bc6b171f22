"""A host and port in, listening sockets out; only on this machine unless that was allowed.

Whoever can read these pages sees who uses which GPU for what, so other machines come in only when
somebody has decided so.
"""

import errno
import socket
from contextlib import ExitStack
from typing import Any, Final

from submeter.errors import InputError, ListenFailed

BACKLOG: Final = 4096  # a full queue costs a client a second (SYN is sent again after that)
_SILENT_S: Final = 1
"""Whoever connects and says nothing stays with the kernel for so long, and costs us nothing; whom
we accept has said something, so that one who sits there can be told from one who is slow."""

_UNAVAILABLE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # "localhost" is ::1 too, but not here


def listen(host: str, port: int, *, allow_remote: bool = False) -> list[socket.socket]:
    """Listening sockets on every address of the host; port 0 takes a free one.

    Raises InputError for a host that doesn't exist or isn't this machine's own (loopback), and
    ListenFailed where the port can't be had.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    addresses = _resolve(host, port, where)
    if not allow_remote and not all(_is_loopback(address) for _, address in addresses):
        raise InputError(
            f"refusing to listen on {where}: other machines could read who uses these GPUs, and "
            "nobody is asked who they are; listen on 127.0.0.1, set web.config_file with users or "
            "client certificates, or web.allow_remote = true where a firewall or proxy stands "
            "before it"
        )
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in addresses[:1] if port == 0 else addresses:
            bound = _bind(family, address, where)
            if bound is not None:
                sockets.append(opened.enter_context(bound))
        if not sockets:
            raise ListenFailed(f"can't listen on {where}: this machine has no such address")
        opened.pop_all()
    return sockets


def _resolve(host: str, port: int, where: str) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(
            # as bytes: for text Python loads the tables of international names
            host.encode() if host.isascii() else host,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG,
        )
    except (socket.gaierror, UnicodeError) as error:
        raise InputError(f"can't listen on {where}: no such host ({error})") from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _is_loopback(address: tuple[Any, ...]) -> bool:
    host: str = address[0]
    return host.startswith("127.") or host == "::1"


def _bind(family: socket.AddressFamily, address: Any, where: str) -> socket.socket | None:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _UNAVAILABLE:
            return None
        raise
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENT_S)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno in _UNAVAILABLE:
            return None
        raise ListenFailed(f"can't listen on {where}: {_reason(error)}") from error
    return sock


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program does already; stop it or choose another port with --listen"
    if error.errno == errno.EACCES:
        return "ports below 1024 need privileges; choose another port with --listen"
    return error.strerror or str(error)
