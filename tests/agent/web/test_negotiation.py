"""Accept headers as clients send them, and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.web.negotiation import accepts_gzip, choices


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP, deflate, br, zstd", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *;q=1", False),
        ("*", True),
        ("*;q=0", False),
        ("br;q=1.0, gzip;q=0.2", True),
        ("gzip;q=nonsense", False),
    ],
)
def test_gzip(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


def test_parameters_and_weights() -> None:
    header = 'application/openmetrics-text; version="1.0.0" ;q=0.75,text/plain;q=7,,;'
    assert [tuple(choice) for choice in choices(header)] == [
        ("application/openmetrics-text", {"version": "1.0.0"}, 0.75),
        ("text/plain", {}, 1.0),
        ("", {"": ""}, 1.0),
    ]


@given(st.text())
def test_any_header_gives_sensible_weights(header: str) -> None:
    assert all(0 <= choice.weight <= 1 for choice in choices(header))
    accepts_gzip(header)


def test_endless_headers_are_cut_short() -> None:
    assert len(choices("a," * 10_000)) <= 64
