"""An agent's address in, its snapshots and history out; or an agent of one's own, as a child."""

import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple
from urllib.error import URLError
from urllib.parse import unquote
from urllib.request import ProxyHandler, Request, build_opener

from submeter.errors import InputError, SubmeterError
from submeter.urls import asked_at

PATIENCE_S: Final = 5.0
_MOST_BYTES: Final = 32 << 20
_SERVING: Final = re.compile(r"serving (http://\S+/) ")
_END_S: Final = 5.0
_LOOK_S: Final = 0.1
_DIRECT: Final = build_opener(ProxyHandler({}))  # a proxy knows no loopback address


class NoAnswer(SubmeterError):
    """The agent can't be asked now, for that ``reason``; ``status`` is HTTP's, 0 without one."""

    def __init__(self, message: str, reason: str = "", status: int = 0) -> None:
        super().__init__(f"{message}: {reason}" if reason else message)
        self.reason = reason
        self.status = status


class Door(NamedTuple):
    """Where an agent is asked, ending in a slash, and the Authorization header it wants, if any."""

    url: str
    authorization: str = ""


def door(url: str, token_file: Path | None = None) -> Door:
    """From ``http://HOST:PORT/``, which may name a user and password, and a file that has a bearer
    token in its first line. Raises InputError for what is none."""
    parts = asked_at(url)
    if parts is None:
        raise InputError(f"--url: expected http://HOST:PORT/, found {url!r}")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/") + "/"
    if token_file is not None:
        return Door(bare, f"Bearer {_first_line(token_file)}")
    if parts.username is None:
        return Door(bare)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Door(bare, f"Basic {b64encode(pair.encode()).decode()}")


def snapshot(at: Door) -> dict[str, Any]:
    """The newest snapshot. Raises NoAnswer."""
    return _json(at, "api/v1/snapshot")


def history(at: Door, name: str) -> dict[str, Any]:
    """What a range was used for. Raises NoAnswer."""
    return _json(at, f"api/v1/history?range={name}")


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


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text().split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"--token-file: {path} can't be read: {error}") from error
    return lines[0].strip()


def _json(at: Door, path: str) -> dict[str, Any]:
    headers = {"Authorization": at.authorization} if at.authorization else {}
    try:
        with _DIRECT.open(Request(at.url + path, headers=headers), timeout=PATIENCE_S) as answer:  # noqa: S310  http or https, as `door` has seen to
            content: dict[str, Any] = json.loads(answer.read(_MOST_BYTES))
    except (URLError, OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "reason", None) or error
        text = getattr(reason, "strerror", None) or str(reason)
        status = getattr(error, "code", 0)
        raise NoAnswer(f"no answer from {at.url}", text, status) from error
    return content
