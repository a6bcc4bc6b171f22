"""Bytes made from snapshots, made once per snapshot however many clients ask.

Large ones are made, compressed and sent in pieces. What a text of a megabyte in one piece needs is
mapped by the C library and given back for each scrape, and the kernel hands it out page by page:
where that is dear, as in virtual machines, it takes a third of the scrape.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from weakref import ReferenceType, ref

from submeter.model import Snapshot
from submeter.web.http import Request, Response
from submeter.web.negotiation import accepts_gzip
from submeter.web.packing import gzip

_WORTH_IT = 1024  # below this the packet is as good as empty anyway


class Rendered:
    """One encoding of the newest snapshot, plain or compressed as it was asked for. Use from one
    thread."""

    def __init__(self, encode: Callable[[Snapshot], Iterable[bytes]], content_type: str) -> None:
        """``encode``: the pieces of a snapshot's encoding, at least one."""
        self._encode = encode
        self._content_type = content_type
        self._of: ReferenceType[Snapshot] | None = None  # no reason to keep it
        self._plain: tuple[bytes, ...] = ()
        self._gzipped: bytes | None = None

    def plain(self, snapshot: Snapshot) -> tuple[bytes, ...]:
        """The encoding itself, from the cache if it was asked for before."""
        self._look_at(snapshot)
        if not self._plain:
            self._plain = tuple(self._encode(snapshot))
        return self._plain

    def response(self, request: Request, snapshot: Snapshot, vary: str = "") -> Response:
        """The answer to a request, from the cache if this snapshot was asked for before."""
        headers = (
            ("Cache-Control", "no-store"),
            ("Vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"),
        )
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            zipped = self._zipped(snapshot)
            if zipped is not None:
                encoded = (*headers, ("Content-Encoding", "gzip"))
                return Response(zipped, self._content_type, headers=encoded)
        first, *rest = self.plain(snapshot)
        return Response(first, self._content_type, headers=headers, more=tuple(rest))

    def _zipped(self, snapshot: Snapshot) -> bytes | None:
        """None where it isn't worth it. Each piece is compressed as soon as it is made, as long as
        it is in the processor's caches, and is not kept: few scrape in two ways."""
        self._look_at(snapshot)
        if self._gzipped is None:
            pieces = iter(self._plain or self._encode(snapshot))
            first, second = next(pieces), next(pieces, None)
            if second is not None:
                self._gzipped = gzip(chain((first, second), pieces))
            elif len(first) >= _WORTH_IT:
                self._gzipped = gzip((first,))
            else:
                self._plain = (first,)
        return self._gzipped

    def _look_at(self, snapshot: Snapshot) -> None:
        if self._of is None or snapshot is not self._of():
            self._of = ref(snapshot)
            self._plain, self._gzipped = (), None
