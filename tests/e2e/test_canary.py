"""Secrets are planted wherever an agent meets some; every output is searched for all of them."""

import base64
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import bcrypt
import pytest

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = pytest.mark.slow

NAMES = (
    *("argv", "environ", "token", "wrong-token", "password", "wrong-password", "cookie"),
    *("query", "header", "receiver", "label", "label-field"),
)
PLANTED = {name: f"CANARY/{name}+{n * 7919:06d}=" for n, name in enumerate(NAMES, start=11)}
"""Each with characters that look otherwise in base64 and in an address."""


class Sink(BaseHTTPRequestHandler):
    """A receiver of OTLP that keeps what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        received: list[bytes] = self.server.received  # type: ignore[attr-defined]
        received.append(gzip.decompress(body) if packed else body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def sink() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.received = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def job() -> Iterator[int]:
    """A process with secrets on its command line and in its environment."""
    words = [f"--password={PLANTED['argv']}", "--api-key", PLANTED["argv"]]
    environ = {name: PLANTED["environ"] for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "RANK")}
    popen = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", "train.py", *words],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
    )
    yield popen.pid
    popen.kill()
    popen.communicate()


def faces(secret: str) -> set[bytes]:
    """How a secret may look: as it is, in an address, and inside base64 at any offset."""
    found = {secret.encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for offset in range(3):
        padded = base64.b64encode(b"x" * offset + secret.encode())
        found.add(padded[4 if offset else 0 : -4])  # but for what mixes with its neighbours
    return found


def leaks(outputs: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {place}"
        for place, content in outputs.items()
        for name, secret in PLANTED.items()
        if any(face in content for face in faces(secret))
    ]


def test_a_leak_would_be_seen() -> None:
    secret = PLANTED["argv"]
    hidden = {
        "plain": f"x{secret}y".encode(),
        "address": f"?q={quote(secret, safe='')}".encode(),
        **{
            f"base64 {n}": base64.b64encode(b"user:"[:n] + secret.encode() + b"zz")
            for n in range(5)
        },
    }
    assert leaks(hidden) == [f"argv in {place}" for place in hidden]
    assert leaks({"nothing": b"CANARY/ argv"}) == []


@pytest.mark.threat("T1", "T2")
def test_no_secret_reaches_any_output(  # noqa: PLR0917  fixtures
    agent: Callable[..., Any],
    standin: "Standin",
    job: int,
    sink: ThreadingHTTPServer,
    wait_for: Callable[..., Any],
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "tokens").write_text(PLANTED["token"] + "\n")
    hashed = bcrypt.hashpw(PLANTED["password"].encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "web-config.yml").write_text(f"basic_auth_users: {{alice: {hashed}}}\n")
    for name in ("tokens", "web-config.yml"):
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "submeter.toml"
    config.write_text(f"""
        [web]
        bearer_tokens_file = "{tmp_path}/tokens"
        config_file = "{tmp_path}/web-config.yml"
        [exporters.otlp]
        endpoint = "http://127.0.0.1:{sink.server_port}"
        headers = {{ x-secret = "{PLANTED["receiver"]}" }}
        interval_s = 1
        [exporters.jsonl]
        path = "{out}/submeter.jsonl"
        [exporters.textfile]
        directory = "{out}"
        interval_s = 1
        keep = true
        [exporters.parquet]
        directory = "{out}"
        interval_s = 1
    """)
    standin.write(["gpu 0 arch=hopper", "load 0 constant mw=200000", f"process 0 pid={job} sm=40"])
    process = agent("--config", str(config), env=standin.env, healthy=knows_its_clients)
    good = {"Authorization": f"Bearer {PLANTED['token']}"}
    outputs: dict[str, bytes] = {}

    def ask(path: str, headers: dict[str, str], place: str = "") -> bytes:
        request = urllib.request.Request(process.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                body: bytes = answer.read() + str(answer.headers).encode()
        except urllib.error.HTTPError as error:
            with error:
                body = error.read() + str(error.headers).encode()
        outputs[f"answer to {place or path}"] = body
        return body

    wait_for(lambda: b'workload="' in ask("/metrics", good), "the job")
    basic = base64.b64encode(f"alice:{PLANTED['password']}".encode()).decode()
    wrong = base64.b64encode(f"alice:{PLANTED['wrong-password']}".encode()).decode()
    ask("/metrics", {"Authorization": f"Basic {basic}"}, "the password")
    ask("/metrics", {"Authorization": f"Basic {wrong}"}, "a wrong password")
    ask("/metrics", {"Authorization": f"Bearer {PLANTED['wrong-token']}"}, "a wrong token")
    ask("/metrics", good | {"Cookie": PLANTED["cookie"], "X-Key": PLANTED["header"]}, "headers")
    ask(f"/nothing?q={quote(PLANTED['query'], safe='')}", good, "a query")
    for path in ("/", "/api/v1/snapshot", "/-/ready", "/-/healthy"):
        ask(path, good)
    outputs["answers of the socket"] = labelled(tmp_path / "state" / "submeter.sock")
    received: list[bytes] = sink.received  # type: ignore[attr-defined]
    wait_for(lambda: received, "something at the receiver of OTLP")
    outputs["doctor"] = said("doctor", "--config", str(config), env=standin.env)
    process.stop()
    outputs["log"] = process.log.read_bytes()
    outputs["OTLP"] = b"".join(received)
    state = str(tmp_path / "state")
    for form in ("table", "json", "csv", "html"):
        outputs[f"report {form}"] = said("report", "--format", form, "--state-dir", state)
    outputs["verify"] = said("verify", "--state-dir", state)
    for file in [*(tmp_path / "state").rglob("*"), *out.rglob("*")]:
        if file.is_file():
            outputs[file.name] = file.read_bytes()
    assert {"log", "OTLP", "submeter.jsonl", "submeter.prom"} <= outputs.keys()
    assert any(name.endswith(".parquet") for name in outputs)
    found = leaks(outputs)
    record_property("searched", len(outputs))
    record_property("leaks", len(found))
    assert found == []


def knows_its_clients(url: str) -> bool:
    """An agent that asks who one is says so, to those whom it doesn't know."""
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 401
    return False


def labelled(address: Path) -> bytes:
    """What the agent answers to labels that it refuses."""
    answers = b""
    for line in (
        {"phase": PLANTED["label"], "reply": True},
        {PLANTED["label-field"]: "x", "reply": True},
        {"workload": [PLANTED["label"]], "reply": True},
    ):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(5)
            peer.connect(str(address))
            peer.sendall(json.dumps(line).encode() + b"\n")
            answers += peer.recv(4096)
    return answers


def said(*command: str, env: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "submeter", *command], env=env, capture_output=True, check=False
    )
    return done.stdout + done.stderr
