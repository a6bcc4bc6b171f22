"""What a handler is given and what it gives back; no transport, no state."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

PLAIN: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """A GET or HEAD. Header names are lower case; a header that came twice is joined by ", "."""

    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. ``more``: the rest of a large one, in pieces; see `Rendered`."""

    body: bytes
    content_type: str = PLAIN
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    more: tuple[bytes, ...] = ()

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """All that it says."""
        return (self.body, *self.more)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end, or a ``brief`` one that isn't there yet. The generator is closed
    when the client goes."""

    chunks: AsyncGenerator[bytes, None]
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    brief: bool = False


Handler = Callable[[Request], Response | Stream]
Routes = Mapping[str, Handler]
"""Path → handler. Handlers run in the server's thread, one at a time, and must be quick."""


def text(message: str, status: int = 200) -> Response:
    """One line of plain text."""
    return Response(f"{message}\n".encode(), status=status)
