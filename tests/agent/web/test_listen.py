"""Where the server listens, and where it refuses to."""

import socket

import pytest

from submeter.errors import InputError, ListenFailed
from submeter.web.listen import listen


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1"])
def test_this_machine_is_fine(host: str) -> None:
    sockets = listen(host, 0)
    assert sockets[0].getsockname()[1] > 0
    close(sockets)


@pytest.mark.threat("T14")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_permission(host: str) -> None:
    with pytest.raises(InputError, match=r"refusing to listen on .*web\.allow_remote"):
        listen(host, 0)


def test_other_machines_with_permission() -> None:
    close(listen("0.0.0.0", 0, allow_remote=True))


@pytest.mark.fault("F79")
def test_a_port_in_use_is_told_with_its_address() -> None:
    (taken,) = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(ListenFailed, match=rf"127\.0\.0\.1:{port}: another program"):
        listen("127.0.0.1", port)
    taken.close()
    close(listen("127.0.0.1", port))


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(ListenFailed, match="no such address"):
        listen("192.0.2.1", 10046, allow_remote=True)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300, ""])
def test_hosts_that_do_not_exist(host: str) -> None:
    with pytest.raises(InputError, match="no such host"):
        listen(host, 10046)
