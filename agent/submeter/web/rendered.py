"""Bytes made from snapshots, made once per snapshot however many clients ask.

Large ones are made, compressed and sent in pieces. What a text of a megabyte in one piece needs is
mapped by the C library and given back for each scrape, and the kernel hands it out page by page:
where that is dear, as in virtual machines, it takes a third of the scrape.
"""

from collections.abc import Callable, Iterable
from weakref import ReferenceType, ref

from submeter.model import Snapshot
from submeter.web.http import Request, Response
from submeter.web.negotiation import accepts_gzip
from submeter.web.packing import gzip

_WORTH_IT = 1024  # below this the packet is as good as empty anyway


class Rendered:
    """One encoding of the newest snapshot and its compressed form. Use from one thread."""

    def __init__(self, encode: Callable[[Snapshot], Iterable[bytes]], content_type: str) -> None:
        """``encode``: the pieces of a snapshot's encoding, at least one."""
        self._encode = encode
        self._content_type = content_type
        self._of: ReferenceType[Snapshot] | None = None  # no reason to keep it
        self._plain: tuple[bytes, ...] = ()
        self._gzipped: bytes | None = None

    def plain(self, snapshot: Snapshot) -> tuple[bytes, ...]:
        """The encoding itself, from the cache if this snapshot was asked for before."""
        if self._of is None or snapshot is not self._of():
            self._plain = tuple(self._encode(snapshot))
            self._gzipped = None
            self._of = ref(snapshot)
        return self._plain

    def response(self, request: Request, snapshot: Snapshot, vary: str = "") -> Response:
        """The answer to a request, from the cache if this snapshot was asked for before."""
        first, *rest = self.plain(snapshot)
        accepted = accepts_gzip(request.headers.get("accept-encoding", ""))
        headers = (
            ("Cache-Control", "no-store"),
            ("Vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"),
        )
        if not accepted or (not rest and len(first) < _WORTH_IT):
            return Response(first, self._content_type, headers=headers, more=tuple(rest))
        if self._gzipped is None:
            self._gzipped = gzip(self._plain)
        zipped = (*headers, ("Content-Encoding", "gzip"))
        return Response(self._gzipped, self._content_type, headers=zipped)
