"""How the C library keeps memory: the agent's wish reaches it, and one without it is no matter."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from submeter.runtime import memory


def test_the_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[object, ...]] = []
    library = SimpleNamespace(
        mallopt=lambda *values: said.append(("mallopt", *values)),
        malloc_trim=lambda *values: said.append(("malloc_trim", *values)),
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)
    memory.keep_together()
    memory.give_back()
    m_arena_max, m_mmap_threshold, m_trim_threshold = -8, -3, -1  # malloc.h
    assert said == [
        ("mallopt", m_arena_max, 2),
        ("mallopt", m_mmap_threshold, 131_072),
        ("mallopt", m_trim_threshold, 262_144),
        ("malloc_trim", 0),
    ]


def test_another_library_has_no_such_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    memory.keep_together()
    memory.give_back()


def test_plain_http_is_served_without_openssl() -> None:
    """asyncio has none, and everybody else has all the same."""
    code = (
        "import sys\n"
        "from submeter.runtime import memory\n"
        "memory.do_without_tls()\n"
        "import submeter.runtime.service\n"
        "assert not {'ssl', '_ssl'} & {*sys.modules}, 'somebody imports ssl'\n"
        "memory.do_without_tls()\n"
        "import asyncio.sslproto, ssl\n"
        "assert asyncio.sslproto.ssl is None and ssl.OPENSSL_VERSION\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
