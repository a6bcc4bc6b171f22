"""Names from outside become text that can be printed and encoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.text import REPLACEMENT, UNSAFE, printable

ANY_TEXT = st.text(st.characters())  # surrogates and control characters included


@pytest.mark.threat("T11")
@given(ANY_TEXT)
def test_nothing_unsafe_is_left(text: str) -> None:
    result = printable(text)
    result.encode()
    assert len(result) == len(text)
    assert not any(ord(char) in UNSAFE for char in result)


@given(ANY_TEXT)
def test_what_is_safe_stays(text: str) -> None:
    pairs = zip(text, printable(text), strict=True)
    assert all(
        after == (REPLACEMENT if ord(before) in UNSAFE else before) for before, after in pairs
    )
