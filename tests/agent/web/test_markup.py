"""Text on a page."""

from html import escape

from hypothesis import given
from hypothesis import strategies as st

from submeter.text import printable
from submeter.web.markup import safe


@given(st.text())
def test_text_from_outside_is_text(text: str) -> None:
    assert safe(text) == escape(printable(text))


def test_every_character_that_means_something_is_escaped() -> None:
    assert safe("<a href='x\">&") == "&lt;a href=&#x27;x&quot;&gt;&amp;"
