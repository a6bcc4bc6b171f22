"""What is a server's URL, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.urls import asked_at


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/metrics",
        "https://user:word@node7/",
        "http://[::1]:9090",
        "https://api.example/v3/latest?zone=DE",
    ],
)
def test_what_can_be_asked(url: str) -> None:
    parts = asked_at(url)
    assert parts is not None
    assert parts.geturl() == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "node7:10046",
        "ftp://node7/",
        "http://",
        "http:///metrics",
        "http://[::1",
        "http://node7:0/",
        "http://node7:65536/",
        "http://node7:x/",
        "http://node 7/",
        "http://nöde7/",
        "http://node7/\r\nHost: other",
    ],
)
def test_what_can_not(url: str) -> None:
    assert asked_at(url) is None


@given(st.text() | st.text(alphabet="http:/[]@.0:x?#% "))
def test_any_text_has_an_answer(url: str) -> None:
    parts = asked_at(url)
    assert parts is None or parts.hostname
