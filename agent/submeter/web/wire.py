"""Bytes in, requests or refusals out; answers in, bytes out. HTTP/1.1 itself is h11's business."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

import h11

from submeter.web.http import PLAIN, Request, Response

_METHODS: Final = (b"GET", b"HEAD")
_ALLOW: Final = (("Allow", "GET, HEAD"),)
_SECURITY: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Refusal(NamedTuple):
    """The status that says what is wrong with a request; 0 where there is nobody to tell."""

    status: int


class Wire:
    """One connection's parser and writer. Knows no transport."""

    def __init__(
        self, header_bytes: int, target_bytes: int, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """``headers``: of every answer, in place of ours of the same name."""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=header_bytes)
        self._target_bytes = target_bytes
        self._headers = tuple({**dict(_SECURITY), **dict(headers)}.items())
        self.head_only = False

    def receive(self, data: bytes) -> None:
        """What the client sent. What it means, `request` says."""
        self._http.receive_data(data)

    def pending(self) -> bool:
        """Whether something has come that is no whole request yet."""
        return bool(self._http.trailing_data[0])

    def request(self) -> Request | Refusal | None:
        """The next request, what is wrong with it, or None until more has come."""
        try:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                return self._checked(event)
        except h11.RemoteProtocolError as error:
            return Refusal(self._blame(error))
        return None if event is h11.NEED_DATA else Refusal(0)

    def whole(self, response: Response) -> tuple[bytes, tuple[bytes, ...]]:
        """Head and body of an answer; the body is not copied."""
        pieces = response.pieces
        headers = (
            ("Content-Type", response.content_type),
            ("Content-Length", str(sum(map(len, pieces)))),
            *response.headers,
        )
        head = self.begin(response.status, headers)
        said = [] if self.head_only else [self._http.send(h11.Data(data=each)) for each in pieces]
        return head, tuple(each for each in (*said, self.end()) if each)

    def refusal(self, status: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Head and body of an answer after which the connection ends. Quotes nothing that came."""
        if not status or self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b"", ()
        body = f"{status} {HTTPStatus(status).phrase}\n".encode()
        allow = _ALLOW if status == HTTPStatus.METHOD_NOT_ALLOWED else ()
        return self.whole(Response(body, PLAIN, status, (("Connection", "close"), *allow)))

    def begin(self, status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
        """The head of an answer."""
        reason = HTTPStatus(status).phrase.encode()
        response = h11.Response(
            status_code=status, reason=reason, headers=[*headers, *self._headers]
        )
        return self._http.send(response) or b""

    def chunk(self, data: bytes) -> bytes:
        """A piece of a stream."""
        return self._http.send(h11.Data(data=data)) or b""

    def end(self) -> bytes:
        """What comes after the last piece."""
        return self._http.send(h11.EndOfMessage()) or b""

    def again(self) -> bool:
        """Prepares for a further request; False if this connection has had its last."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self.head_only = False
        return True

    def _checked(self, event: h11.Request) -> Request | Refusal:
        headers = _headers(event)
        self.head_only = event.method == b"HEAD"
        if event.method not in _METHODS:
            return Refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        if len(event.target) > self._target_bytes:
            return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self._http.next_event()  # EndOfMessage, as there is no body
        path, _, query = _origin_form(event.target.decode("latin-1")).partition("?")
        return Request(path, query, headers)

    def _blame(self, error: h11.RemoteProtocolError) -> int:
        """A request line that doesn't end is an address too long, not a header too large."""
        too_large = error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if too_large and b"\n" not in self._http.trailing_data[0]:
            return HTTPStatus.REQUEST_URI_TOO_LONG
        return error.error_status_hint


def _headers(event: h11.Request) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in event.headers:
        key, more = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {more}" if key in headers else more
    return headers


def _origin_form(target: str) -> str:
    """``http://host/path`` as ``/path``: proxies' form, which every server has to take."""
    if not target.lower().startswith("http://"):
        return target
    _, slash, path = target[len("http://") :].partition("/")
    return slash + path or "/"
