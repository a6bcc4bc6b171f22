"""What is made of a snapshot is made once, and doesn't keep it."""

from collections.abc import Iterator
from gzip import decompress
from weakref import ref

import pytest

from submeter.model import Snapshot
from submeter.testing.snapshots import node
from submeter.web.http import Request
from submeter.web.rendered import Rendered


def test_a_moment_is_made_once_and_let_go_of() -> None:
    made = []

    def encode(moment: Snapshot) -> Iterator[bytes]:
        made.append(moment.sequence)
        yield b"text"

    rendered = Rendered(encode, "text/plain")
    first = node()
    assert rendered.plain(first) == rendered.plain(first) == (b"text",)
    assert len(made) == 1
    there = ref(first)
    del first
    assert there() is None
    assert rendered.plain(node()) == (b"text",)
    assert len(made) == 2


@pytest.mark.parametrize("pieces", [(b"text",), (b"text" * 999,), (b"some ", b"text")])
def test_compressed_it_is_the_same_and_made_once_as_well(pieces: tuple[bytes, ...]) -> None:
    made = []

    def encode(moment: Snapshot) -> Iterator[bytes]:
        made.append(moment.sequence)
        yield from pieces

    rendered = Rendered(encode, "text/plain")
    zipped = Request("/", "", {"accept-encoding": "gzip"})
    for moment in (node(), node()):
        made.clear()
        answers = [rendered.response(zipped, moment) for _ in range(3)]
        assert len(made) == 1
        plain = rendered.response(Request("/", "", {}), moment)
        assert b"".join(plain.pieces) == b"".join(pieces)
        packed = ("Content-Encoding", "gzip") in answers[0].headers
        assert packed == (pieces != (b"text",)), "not worth it for a word"
        for answer in answers:
            body = b"".join(answer.pieces)
            assert (decompress(body) if packed else body) == b"".join(pieces)
