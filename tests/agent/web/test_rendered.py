"""What is made of a snapshot is made once, and doesn't keep it."""

from collections.abc import Iterator
from weakref import ref

from submeter.model import Snapshot
from submeter.testing.snapshots import node
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
