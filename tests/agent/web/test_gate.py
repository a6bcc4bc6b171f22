"""TLS and logins as real clients see them."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path

import bcrypt
import pytest
import trustme

from submeter.errors import InputError
from submeter.web.gate import Gate
from submeter.web.http import Routes, text
from submeter.web.server import Server

PATIENCE_S = 20.0
ROUTES: Routes = {"/": lambda request: text("hello" * 50_000)}
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
TOKEN = "0123456789abcdef0123"


class House:
    """A certificate authority, a folder with a web-config.yml, and the servers that it guards."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(folder / "ca.crt")
        self.stack = stack
        self.new_certificate()

    def new_certificate(self) -> None:
        issued = self.ca.issue_cert("127.0.0.1", "localhost")
        new = self.folder / "new"
        issued.cert_chain_pems[0].write_to_path(self.folder / "server.crt")
        issued.private_key_pem.write_to_path(new)
        new.replace(self.folder / "server.key")

    def write(self, content: str) -> Path:
        path = self.folder / "web-config.yml"
        path.write_text(content)
        return path

    def serve(self, content: str, *, tokens: str = "", host: str = "127.0.0.1") -> int:
        config = self.write(content) if content else None
        token_file = self.folder / "tokens"
        token_file.write_text(tokens)
        workers = self.stack.enter_context(ThreadPoolExecutor(1))
        self.gate = Gate(config, token_file if tokens else None, workers)
        self.gate.open()
        server = Server(ROUTES, host, 0, gate=self.gate)
        self.url = server.bind()
        thread = threading.Thread(target=server.run)
        thread.start()

        def end() -> None:
            server.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

        self.stack.callback(end)
        return int(self.url.rsplit(":", 1)[1].rstrip("/"))

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.crt"))

    def connect(self, port: int) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        return self.client().wrap_socket(sock, server_hostname="127.0.0.1")

    def get(
        self,
        port: int,
        context: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[HTTPResponse, bytes]:
        connection = HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE_S, context=context or self.client()
        )
        try:
            connection.request("GET", "/", headers=dict(headers or {}))
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def status(self, port: int, headers: Mapping[str, str] | None = None) -> int:
        return self.get(port, headers=headers)[0].status


TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
USERS = f"basic_auth_users:\n  alice: {HASH}\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def test_tls(house: House) -> None:
    port = house.serve(TLS + "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n")
    assert house.url.startswith("https://")
    response, body = house.get(port)
    assert response.status == 200
    assert body == b"hello" * 50_000 + b"\n"
    assert response.getheader("X-Frame-Options") == "sameorigin"
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    # A connection is kept, and plain HTTP is no way in.
    connection = HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=house.client())
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read()
    connection.close()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"hello" not in sock.recv(4096)


def test_a_wrong_request_is_told_why_over_tls(house: House) -> None:
    port = house.serve(TLS)
    with house.connect(port) as wrapped:
        wrapped.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while data := wrapped.recv(4096):
            received += data
    assert received.startswith(b"HTTP/1.1 405 ")


@pytest.mark.threat("T18")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_not_spoken(house: House, version: ssl.TLSVersion) -> None:
    port = house.serve(TLS)
    context = house.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.get(port, context)


@pytest.mark.threat("T18")
@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"]
)
def test_weak_ciphers_are_not_spoken(house: House, cipher: str) -> None:
    port = house.serve(TLS)
    context = house.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.get(port, context)


def test_mutual_tls_and_whose_certificate(house: House) -> None:
    sans = "  client_allowed_sans: [prometheus.example]\n"
    port = house.serve(MUTUAL + sans)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.get(port)
    context = house.client()
    house.ca.issue_cert("prometheus.example").configure_cert(context)
    assert house.get(port, context)[0].status == 200
    other = house.client()
    house.ca.issue_cert("other.example").configure_cert(other)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.get(port, other)
    stranger = house.client()
    trustme.CA().issue_cert("prometheus.example").configure_cert(stranger)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.get(port, stranger)


def test_passwords(house: House) -> None:
    port = house.serve(TLS + USERS)
    refused, _ = house.get(port)
    assert refused.status == 401
    assert (refused.getheader("WWW-Authenticate") or "").startswith("Basic realm=")
    assert house.status(port, basic("alice", "wrong")) == 401
    assert house.status(port, basic("bob", "secret")) == 401
    for _ in range(3):
        assert house.status(port, basic("alice", "secret")) == 200


@pytest.mark.threat("T16")
def test_a_password_that_takes_long_keeps_nobody_waiting(house: House) -> None:
    """Others are served while one is compared; a client that goes away meanwhile harms nobody."""
    port = house.serve(TLS + USERS, tokens=TOKEN)
    inside, let_go = threading.Event(), threading.Event()
    house.stack.callback(let_go.set)
    login = house.gate._state.login
    assert login is not None

    def check(_credentials: object) -> bool:
        inside.set()
        return let_go.wait(PATIENCE_S)

    login.check = check  # type: ignore[method-assign,assignment]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(house.status, port, basic("alice", "secret"))
        assert inside.wait(PATIENCE_S)
        assert house.status(port, {"Authorization": f"Bearer {TOKEN}"}) == 200
        with house.connect(port) as gone:
            header = basic("alice", "other")["Authorization"].encode()
            gone.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + header + b"\r\n\r\n")
        let_go.set()
        assert slow.result(PATIENCE_S) == 200


@pytest.mark.threat("T16")
def test_only_so_many_wait_for_their_password(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submeter.web.gate._WAITING", 0)
    port = house.serve(TLS + USERS)
    assert house.status(port, basic("alice", "secret")) == 503


def test_tokens_without_tls(house: House) -> None:
    house.serve("", tokens=f"# ours\n\n{TOKEN}\n")
    assert house.url.startswith("http://")
    assert house.gate.asks_who


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submeter.web.doors._LOOK_S", 0.05)


def serial(house: House, port: int) -> object:
    with house.connect(port) as wrapped:
        certificate = wrapped.getpeercert()
        assert certificate is not None
        return certificate["serialNumber"]


@pytest.mark.fault("F86")
@pytest.mark.usefixtures("_look_often")
def test_a_new_certificate_is_used_and_no_connection_is_lost(house: House) -> None:
    port = house.serve(TLS)
    before = serial(house, port)
    kept = HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=house.client())
    kept.request("GET", "/")
    assert kept.getresponse().read()
    house.new_certificate()
    wait_until(lambda: serial(house, port) != before, "the new certificate")
    kept.request("GET", "/")
    assert kept.getresponse().read()
    kept.close()


@pytest.mark.fault("F88")
@pytest.mark.usefixtures("_look_often")
def test_a_new_user_comes_in_and_a_wrong_file_changes_nothing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    port = house.serve(TLS + USERS)
    assert house.status(port, basic("bob", "secret")) == 401
    house.write(f"{TLS}{USERS}  bob: {HASH}\n")
    wait_until(lambda: house.status(port, basic("bob", "secret")) == 200, "bob comes in")
    house.write("tls_server_config: nonsense\n")
    wait_until(lambda: not house.gate.up, "the mistake is seen")
    assert house.status(port, basic("bob", "secret")) == 200
    assert "web-config.yml:1: tls_server_config must be a mapping" in caplog.text
    assert caplog.text.count("must be a mapping") == 1
    house.write(TLS + USERS)
    wait_until(lambda: house.status(port, basic("bob", "secret")) == 401, "bob is out again")
    assert house.gate.up


@pytest.mark.usefixtures("_look_often")
@pytest.mark.parametrize(("content", "said"), [("", "TLS can be"), (TLS, "nobody would be asked")])
def test_no_change_of_a_file_opens_the_house(
    house: House, caplog: pytest.LogCaptureFixture, content: str, said: str
) -> None:
    port = house.serve(TLS + USERS)
    house.write(content)
    wait_until(lambda: said in caplog.text, "the change is refused")
    assert house.status(port) == 401
    assert not house.gate.up


@pytest.mark.threat("T14", "T25")
def test_other_machines_come_in_only_where_somebody_is_asked(house: House) -> None:
    with pytest.raises(InputError, match=r"refusing to listen on 0\.0\.0\.0"):
        house.serve(TLS, host="0.0.0.0")
    house.serve(TLS + USERS, host="0.0.0.0")


@pytest.mark.fault("F86")
def test_a_certificate_that_can_not_be_used_is_an_error(house: House) -> None:
    (house.folder / "server.key").write_text("nonsense")
    with pytest.raises(
        InputError, match=r"server\.crt and .*server\.key are no certificate and its key"
    ):
        house.serve(TLS)
    (house.folder / "server.key").unlink()
    with pytest.raises(InputError, match=r"server\.key: can't be read, or is not there"):
        house.serve(TLS)


def test_certificate_and_key_inside_the_file(house: House) -> None:
    def block(name: str) -> str:
        lines = (house.folder / name).read_text().splitlines()
        return "|\n" + "".join(f"    {line}\n" for line in lines)

    port = house.serve(
        f"tls_server_config:\n  cert: {block('server.crt')}  key: {block('server.key')}"
    )
    assert house.status(port) == 200


@pytest.mark.threat("T22")
def test_secrets_that_everybody_can_read_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    with ThreadPoolExecutor(1) as workers:
        for mode, said in ((0o640, 0), (0o644, 1)):
            tokens.chmod(mode)
            caplog.clear()
            Gate(None, tokens, workers).open()
            assert caplog.text.count("everybody here can read it") == said
            assert TOKEN not in caplog.text


@pytest.mark.parametrize("token", ["short", "has a blank in it 0123456789", "ümläut-0123456789abc"])
def test_a_token_that_is_none(house: House, token: str) -> None:
    with pytest.raises(InputError, match=r"tokens:2: a bearer token must be at least 16"):
        house.serve("", tokens=f"# first\n{token}\n")


def test_says_which_extra_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submeter.web.gate.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'submeter\[web\]'"):
        house.serve(TLS)


@pytest.mark.threat("T18")
@pytest.mark.slow
def test_sslscan_finds_nothing_weak(house: House) -> None:
    sslscan = shutil.which("sslscan")
    if sslscan is None:
        pytest.skip("no `sslscan` here; apt-get install sslscan")
    port = house.serve(TLS)
    found = subprocess.run(
        [sslscan, "--no-colour", f"127.0.0.1:{port}"], capture_output=True, text=True, check=True
    ).stdout
    for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"{version} +disabled", found), found
    suites = [
        line.split()[4] for line in found.splitlines() if re.match("Accepted|Preferred", line)
    ]
    assert suites
    for suite in suites:
        assert re.fullmatch("(TLS_|ECDHE-).*(GCM|POLY1305).*", suite), found
    for line in ("not vulnerable to heartbleed", "Session renegotiation not supported"):
        assert line in found
    assert "Compression enabled" not in found
