"""The live page in a real Chromium, over its DevTools protocol; skipped where there is none."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_S = 60.0
HOSTILE = "<img src=x onerror=document.title='owned'>"
SCENARIO = f"""
[[gpu]]
model = "H100"
count = 2
[[process]]
name = "x"
gpu = 0
pid = 4100
argv = ["python", "train.py"]
user = '''{HOSTILE}'''
character = "tensor"
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: chromium)"),
]


class Tab:
    """One page, spoken to over a web socket: RFC 6455 as far as a test needs it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._sock = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
        key = b64encode(os.urandom(16)).decode()
        self._sock.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._file = self._sock.makefile("rb")
        while self._file.readline().strip():
            pass
        self._count = 0
        self.asked_for: list[str] = []

    def call(self, method: str, **parameters: object) -> Any:
        self._count += 1
        data = json.dumps({"id": self._count, "method": method, "params": parameters}).encode()
        size = len(data)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._sock.sendall(head + b"\0\0\0\0" + data)  # masked by nothing
        while True:
            answer = self._message()
            if answer.get("method") == "Network.requestWillBeSent":
                self.asked_for.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, expression: str) -> Any:
        """What an expression is, awaited."""
        told = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        self.value(
            "new Promise((done, fail) => { const end = Date.now() + 50000; const look = () => "
            f"({condition}) ? done(true) : Date.now() > end ? fail(new Error('never')) : "
            "setTimeout(look, 50); look(); })"
        )

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def _message(self) -> dict[str, Any]:
        data = b""
        while True:
            first, second = self._file.read(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
            data += self._file.read(size)
            if first & 0x80:
                message: dict[str, Any] = json.loads(data)
                return message


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """The address of an agent on a small simulated node."""
    (tmp_path / "s.toml").write_text(SCENARIO)
    command = [sys.executable, "-m", "submeter", "demo", "--scenario", str(tmp_path / "s.toml")]
    command += ["--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if found := re.search(r"serving (http://\S+/) ", line):
                break
        yield found[1] if found else ""
        child.terminate()


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    """A tab of a browser with a profile of its own."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'p'}"]
    with subprocess.Popen([*command, "about:blank"], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        port = 0
        for line in child.stderr:
            if found := re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", line):
                port = int(found[1])
                break
        with urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE_S) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        tab = Tab(pages[0]["webSocketDebuggerUrl"])
        try:
            yield tab
        finally:
            tab.close()
            child.terminate()
            child.communicate(timeout=PATIENCE_S)


def sized(tab: Tab, width: int) -> None:
    size = {"width": width, "height": 2_400, "deviceScaleFactor": 1, "mobile": False}
    tab.call("Emulation.setDeviceMetricsOverride", **size)


def test_the_page_lives(agent: str, tab: Tab) -> None:
    tab.call("Network.enable")
    sized(tab, 1280)
    tab.call("Page.navigate", url=agent)
    tab.wait("document.querySelectorAll('.card.gpu').length === 2")
    # figures are renewed, and what is open stays open
    tab.value("document.querySelector('#gpu0 details').open = true")
    tab.value("window.before = document.querySelector('time').textContent")
    tab.wait("document.querySelector('time').textContent !== window.before")
    assert tab.value("document.querySelector('#gpu0 details').open")
    # the past has come, and its parts are its sum
    tab.wait("document.querySelectorAll('#past-table tbody tr').length > 0")
    parts, total = tab.value(
        "(() => { const cell = (row) => parseFloat(row.cells[1].textContent.replace(/,/g, '')); "
        "const rows = [...document.querySelectorAll('#past-table tbody tr')]; "
        "return [rows.map(cell), cell(document.querySelector('#past-table tfoot tr'))]; })()"
    )
    assert round(sum(parts), 3) == total
    # power is drawn as it comes
    tab.wait(
        "(() => { const c = document.querySelector('#gpu0 canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let n = 0; "
        "for (let i = 0; i < d.length; i += 4) if (d[i + 2] > 120 && d[i] < 80 && d[i + 3] > 200) "
        "n += 1; return n > 5; })()"
    )
    # a hostile name is text, and nothing left this machine
    assert HOSTILE in tab.value("document.querySelector('#gpu0').textContent")
    assert tab.value("document.title") == "submeter"
    assert tab.asked_for
    assert all(url.startswith(agent) for url in tab.asked_for)


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_nothing_is_wider_than_the_screen(agent: str, tab: Tab, width: int) -> None:
    sized(tab, width)
    tab.call("Page.navigate", url=agent)
    tab.wait("document.querySelectorAll('#past-table tbody tr').length > 0")
    assert tab.value("document.documentElement.scrollWidth") <= width
