"""An agent's address in, its snapshots and history out; or an agent of one's own, as a child."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from submeter.errors import InputError, SubmeterError

PATIENCE_S: Final = 5.0
_MOST_BYTES: Final = 32 << 20
_SERVING: Final = re.compile(r"serving (http://\S+/) ")
_END_S: Final = 5.0
_LOOK_S: Final = 0.1
_DIRECT: Final = build_opener(ProxyHandler({}))  # a proxy knows no loopback address


class NoAnswer(SubmeterError):
    """The agent can't be asked now, for that ``reason``."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(f"{message}: {reason}" if reason else message)
        self.reason = reason


def checked_url(url: str) -> str:
    """The base address, ending in a slash. Raises InputError for what is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--url: expected http://HOST:PORT/, found {url!r}")
    return url.rstrip("/") + "/"


def snapshot(url: str) -> dict[str, Any]:
    """The newest snapshot. Raises NoAnswer."""
    return _json(url + "api/v1/snapshot")


def history(url: str, name: str) -> dict[str, Any]:
    """What a range was used for. Raises NoAnswer."""
    return _json(f"{url}api/v1/history?range={name}")


@contextmanager
def own_agent(arguments: Sequence[str]) -> Iterator[str]:
    """Runs an agent that keeps nothing and serves this machine only; its address. Raises NoAnswer
    with what it said where it doesn't start."""
    with TemporaryDirectory(prefix="submeter-top-") as directory:
        command = [sys.executable, "-m", "submeter", "run", *arguments]
        command += ["--state-dir", directory, "--listen", "127.0.0.1:0"]
        log = Path(directory, "log")
        with log.open("wb") as stderr:  # no pipe, which would have to be emptied
            child = subprocess.Popen(command, stderr=stderr)  # noqa: S603
        try:
            yield _address(child, log)
        finally:
            child.terminate()
            try:
                child.wait(_END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _address(child: "subprocess.Popen[bytes]", log: Path) -> str:
    """Waits until the agent says where it serves, or ends."""
    ended = False
    while True:
        said = log.read_text(errors="replace")
        found = _SERVING.search(said)
        if found:
            return found[1]
        if ended:
            last = (said.strip() or "it said nothing").splitlines()[-1]
            raise NoAnswer(f"no agent of its own: {last}")
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_S)
            ended = True


def _json(url: str) -> dict[str, Any]:
    try:
        with _DIRECT.open(url, timeout=PATIENCE_S) as answer:
            content: dict[str, Any] = json.loads(answer.read(_MOST_BYTES))
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        text = getattr(reason, "strerror", None) or str(reason)
        raise NoAnswer(f"no answer from {url}", text) from error
    return content
