"""Files that say who may come in, in; that answer for each connection and request out.

The files are read again when they change. A change that is wrong is said and has no effect: what
was right before stays in force.
"""

import asyncio
import logging
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from submeter.errors import InputError
from submeter.web.http import Request, Response, text
from submeter.web.login import Credentials, Login
from submeter.web.webconfig import Tls, WebConfig, parse

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)

_WAITING: Final = 16  # passwords being compared or waiting for it; each takes tens of ms
_TOKEN_LENGTH: Final = 16  # shorter ones are guessed


class _State(NamedTuple):
    """What the files said."""

    config: WebConfig
    context: "ssl.SSLContext | None"
    login: Login | None
    seen: tuple[object, ...]

    @property
    def asks_who(self) -> bool:
        """Whether nobody comes in unasked."""
        settings = self.config.tls
        return self.login is not None or (settings is not None and settings.demands_certificate)


class Gate:
    """Owns who may come in. `open` first; everything else belongs to the server's thread."""

    def __init__(self, config: Path | None, tokens: Path | None, workers: Executor) -> None:
        """``config``: a web-config.yml. ``tokens``: a file of bearer tokens, one a line.
        ``workers``: compares passwords, aside from the server's thread."""
        self.up = True
        self._config = config
        self._tokens = tokens
        self._workers = workers
        self._waiting = 0
        self._looked: tuple[object, ...] = ()
        self._state = _State(WebConfig(), None, None, ())

    def open(self) -> None:
        """Reads the files. Raises InputError for what is wrong in them."""
        needs_yaml = self._config is not None
        for module, needed in (("yaml", needs_yaml), ("bcrypt", needs_yaml)):
            if needed and find_spec(module) is None:
                raise InputError(
                    f"web.config_file needs {module}, which is not installed: "
                    "pip install 'submeter[web]'"
                )
        self._state = self._read()

    @property
    def context(self) -> "ssl.SSLContext | None":
        """What TLS is spoken with; None: it isn't spoken."""
        return self._state.context

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers of every answer, in place of our own of the same name."""
        return self._state.config.headers

    @property
    def asks_who(self) -> bool:
        """Whether nobody comes in unasked: by password, token or certificate."""
        return self._state.asks_who

    def changed(self) -> bool:
        """Reads the files again if they have changed, and are no longer being written; whether
        TLS is another one now. To be called every few seconds."""
        seen = tuple(self._signatures(self._state.config))
        was_settled, self._looked = seen == self._looked, seen
        if seen == self._state.seen or not was_settled:
            return False
        before = self._state
        try:
            self._state = _no_looser(before, self._read())
        except InputError as error:
            self._state = before._replace(seen=seen)
            self.up = False
            _log.error("%s; what was in force before stays", error)
            return False
        self.up = True
        _log.info("who may come in, and the certificate, were read again")
        return True

    def may_connect(self, transport: asyncio.Transport) -> bool:
        """Whether that client's certificate is one of those let in, where that is asked."""
        settings = self._state.config.tls
        if settings is None:
            return True
        from submeter.web import tls

        return tls.is_allowed(settings, transport.get_extra_info("peercert"))

    def ask(self, request: Request, then: Callable[[Response | None], None]) -> None:
        """Calls ``then`` with None where the request may go on, else with the refusal. At once,
        or later in the same thread where a password has to be compared."""
        login = self._state.login
        if login is None:
            then(None)
            return
        answer = login.ask(request.headers.get("authorization", ""))
        if isinstance(answer, bool):
            then(None if answer else _refusal(login))
        elif self._waiting >= _WAITING:
            then(text("too many are waiting to be let in", 503))
        else:
            self._compare(login, answer, then)

    def _compare(
        self, login: Login, credentials: Credentials, then: Callable[[Response | None], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._waiting += 1
        future = loop.run_in_executor(self._workers, login.check, credentials)

        def done(future: asyncio.Future[bool]) -> None:
            self._waiting -= 1
            if future.cancelled():
                return
            right = future.result()
            if right:
                login.remember(credentials)
            then(None if right else _refusal(login))

        future.add_done_callback(done)

    def _read(self) -> _State:
        # What the files were before they are read: a change meanwhile is then seen the next time.
        config = WebConfig() if self._config is None else parse(self._config)
        seen = tuple(self._signatures(config))
        if self._config is not None:
            config = parse(self._config)
        tokens = () if self._tokens is None else tuple(_tokens(self._tokens))
        context = None if config.tls is None else _context(config.tls)
        login = Login(config.users or {}, tokens) if config.users or tokens else None
        _tell_if_open(self._tokens, None if config.tls is None else config.tls.key.file)
        return _State(config, context, login, seen)

    def _signatures(self, config: WebConfig) -> Iterator[object]:
        named = () if config.tls is None else tuple(config.tls.files())
        for path in (self._config, self._tokens, *named):
            if path is not None:
                try:
                    status = path.stat()
                except OSError as error:
                    yield error.errno
                else:
                    yield status.st_mtime_ns, status.st_size, status.st_ino


def _no_looser(before: _State, now: _State) -> _State:
    """An empty or half-written file must not open the house."""
    if (before.context is None) != (now.context is None):
        raise InputError("TLS can be switched on or off at a restart only")
    if before.asks_who and not now.asks_who:
        raise InputError("nobody would be asked who they are any more: restart if that is meant")
    return now


def _refusal(login: Login) -> Response:
    return Response(
        b"401 Unauthorized\n", status=401, headers=(("WWW-Authenticate", login.challenge),)
    )


def _context(settings: Tls) -> "ssl.SSLContext":
    from submeter.web import tls  # 4 MB that only those pay who want TLS

    return tls.context(settings)


def _tell_if_open(*secrets: Path | None) -> None:
    """Not refused: secrets that a container is given are often readable by all who are in it."""
    for path in secrets:
        if path is not None and path.stat().st_mode & stat.S_IROTH:
            _log.warning("%s holds a secret, and everybody here can read it: chmod o= it", path)


def _tokens(path: Path) -> Iterator[bytes]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't be read: {error}", source=str(path)) from error
    for number, line in enumerate(lines, 1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if len(token) < _TOKEN_LENGTH or not token.isascii() or " " in token:
            raise InputError(
                f"a bearer token must be at least {_TOKEN_LENGTH} characters without blanks: "
                "try `openssl rand -hex 32`",
                source=str(path),
                line=number,
            )
        yield token.encode()
