"""Whatever bytes come, the parser gives requests or refusals and never fails."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.web.http import Request, text
from submeter.web.wire import Refusal, Wire

LINE = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"HEAD /x?y HTTP/1.0\r\n", b"POST / HTTP/1.1\r\n", b"Host: x\r\n",
        b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b" folded\r\n", b"\r\n", b"\n", b"\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02",
    ]
)  # fmt: skip
GARBAGE = st.lists(st.binary(max_size=40) | LINE, max_size=12)


@pytest.mark.fault("F80")
@given(GARBAGE)
@settings(max_examples=400)
def test_garbage_never_breaks_it(pieces: list[bytes]) -> None:
    wire = Wire(header_bytes=512, target_bytes=64)
    for piece in pieces:
        wire.receive(piece)
        found = wire.request()
        if isinstance(found, Refusal):
            head, body = wire.refusal(found.status)
            assert not head or head.startswith(b"HTTP/1.1 ")
            assert len(b"".join(body)) < 100
            return
        if found is not None:
            head, _body = wire.whole(text("fine"))
            assert head.startswith(b"HTTP/1.1 200 ")
            if not wire.again():
                return


@given(st.integers(1, 60))
def test_pieces_of_any_size_make_the_same_request(size: int) -> None:
    data = b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\n\r\n"
    wire = Wire(header_bytes=512, target_bytes=64)
    found: list[Request] = []
    for start in range(0, len(data), size):
        wire.receive(data[start : start + size])
        request = wire.request()
        if isinstance(request, Request):
            found.append(request)
    assert found == [Request("/metrics", "x=1", {"host": "x", "accept": "a, b"})]
