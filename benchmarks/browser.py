"""A headless Chromium out, spoken to over its DevTools protocol: for tests, benchmarks, pictures.

A web socket (RFC 6455) as far as that needs one; nothing to install but the browser.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_S: Final = 60.0
_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none"),
    *("--remote-debugging-port=0", "--password-store=basic", "--disable-dev-shm-usage"),
)
_LISTENING: Final = re.compile(r"listening on ws://127\.0\.0\.1:(\d+)/")


class Tab:
    """One page. Events that come while it waits for an answer are in `events`."""

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
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: object) -> Any:
        """What a method of the protocol answers. Fails with what it says instead."""
        self._count += 1
        self._send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            answer = self._message()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

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

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event, also of those that came already, of which something is true."""
        for event in self.events:
            if condition(event):
                return event
        while True:
            event = self._message()
            self.events.append(event)
            if condition(event):
                return event

    def look(self, width: int, height: int, *, dark: bool = False, ratio: float = 1.0) -> None:
        """Makes the window so large, light or dark, and without animations."""
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self) -> bytes:
        """The window as a PNG."""
        return b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key pressed and let go."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowRight": 39, "ArrowLeft": 37}
        what: dict[str, object] = {"key": key, "code": "Space" if key == " " else key}
        what |= {"windowsVirtualKeyCode": codes[key], "modifiers": 8 if shift else 0}
        text = {"Enter": "\r", " ": " "}.get(key)
        down = {**what, "text": text} if text else what
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def close(self) -> None:
        """Lets go of the page; it stays open in the browser."""
        self._file.close()
        self._sock.close()

    def _send(self, text: str) -> None:
        data = text.encode()
        size = len(data)
        if size < 126:
            head = bytes([0x81, 0x80 | size])
        elif size < 1 << 16:
            head = b"\x81\xfe" + size.to_bytes(2, "big")
        else:
            head = b"\x81\xff" + size.to_bytes(8, "big")
        self._sock.sendall(head + b"\0\0\0\0" + data)  # masked by nothing

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


class Browser:
    """A running browser."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/json"

    def tab(self) -> Tab:
        """A new page."""
        request = Request(f"{self._url}/new?about:blank", method="PUT")
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return Tab(json.load(answer)["webSocketDebuggerUrl"])


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """A Chromium with a profile of its own; ended at the end. Needs `CHROMIUM`."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [CHROMIUM, *_FLAGS, *flags, f"--user-data-dir={folder}", "about:blank"]
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            child = subprocess.Popen(command, stdout=stderr, stderr=subprocess.PIPE, text=True)
        try:
            yield Browser(_port(child))
        finally:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=PATIENCE_S)
            child.kill()


def _port(child: "subprocess.Popen[str]") -> int:
    assert child.stderr is not None
    for line in child.stderr:
        if found := _LISTENING.search(line):
            return int(found[1])
    raise RuntimeError("the browser ended before it listened")
