"""What comes out of gzip is what went in, whichever library does it."""

import gzip as standard
import importlib
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.web import packing
from submeter.web.packing import gzip

LINE = b'submeter_energy_joules_total{gpu="0",phase="training",workload="job-%d"} %d.%06d\n'


@pytest.fixture(params=["isal", "zlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name: str = request.param
    if name == "zlib":
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)  # importing it fails
    else:
        pytest.importorskip("isal")
    packing._begin.cache_clear()
    yield name
    packing._begin.cache_clear()


def test_pieces_come_out_as_they_went_in(library: str) -> None:
    pieces = [b"".join(LINE % (n, p, n * p) for n in range(500)) for p in range(20)]
    packed = gzip(pieces)
    assert standard.decompress(packed) == b"".join(pieces)
    assert packed == gzip(pieces)
    assert len(packed) < 0.2 * sum(map(len, pieces))


@given(pieces=st.lists(st.binary(max_size=3000), max_size=6))
def test_so_do_any(pieces: list[bytes]) -> None:
    assert standard.decompress(gzip(pieces)) == b"".join(pieces)


def test_it_is_the_library_meant(library: str) -> None:
    module = importlib.import_module("zlib" if library == "zlib" else "isal.isal_zlib")
    assert packing._begin() is module.compressobj
