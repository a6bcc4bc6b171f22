"""Columns: aligned as they look, folded where they don't fit, and no character is lost."""

from unicodedata import east_asian_width

from hypothesis import given
from hypothesis import strategies as st

from submeter.columns import columns, folded

TEXT = st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=60)


def test_figures_stand_to_the_right() -> None:
    assert columns([["a", "watts"], ["bb", "7"]], (1,)) == ["a   watts", "bb      7"]


def test_wide_characters_take_two_cells() -> None:
    assert columns([["訓練", "x"], ["ab", "y"]]) == ["訓練  x", "ab    y"]


def test_what_does_not_fit_is_folded_between_words() -> None:
    rows = [["gpu", "why"], ["0", "its name says that it trains; has option lora"]]
    assert columns(rows, (), 30) == [
        "gpu  why",
        "0    its name says that it",
        "     trains; has option lora",
    ]


def test_figures_are_never_folded() -> None:
    (line,) = columns([["1,234,567.8", "2,345,678.9"]], (0, 1), 10)
    assert line == "1,234,567.8  2,345,678.9"


def test_a_word_too_long_for_a_line_is_broken() -> None:
    assert folded("ab cdefghij", 4) == ["ab", "cdef", "ghij"]
    assert folded("", 4) == [""]


@given(TEXT, st.integers(2, 30))
def test_folding_keeps_every_character_and_the_width(text: str, width: int) -> None:
    lines = folded(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    wide = [sum(1 + (east_asian_width(mark) in "WF") for mark in line) for line in lines]
    assert max(wide) <= width


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.integers(40, 90))
def test_columns_fit(rows: list[tuple[str, str]], width: int) -> None:
    assert all(len(line) <= width for line in columns(rows, (), width))
