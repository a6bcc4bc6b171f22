"""Lines that the compiled library writes are those that the interpreter would."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from submeter import lines
from submeter.lines import Lines, starts
from submeter.ticking import compiling
from submeter.units import decimal

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-(10**7), 10**7)


@pytest.fixture(scope="session")
def written(ticking_functions: object, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """From the source as it is now."""
    found = lines.compiled(compiling.build(tmp_path_factory.mktemp("lines")).parent)
    assert found is not None
    return found


@given(rows=st.lists(st.tuples(TEXTS, VALUES), max_size=6), exponent=st.integers(0, 18))
@example(rows=[("a ", 0), ("", 10), ("b ", -10), ("c", 10**18)], exponent=18)
@example(rows=[(f"series{{n={n}}} ", n * 1000) for n in range(1000)], exponent=6)
def test_they_are_what_the_interpreter_writes(
    rows: list[tuple[str, int]], exponent: int, written: Lines
) -> None:
    begin = starts([text for text, _ in rows])
    made = written.of(begin, [value for _, value in rows], exponent)
    assert made is not None
    pieces = list(made)
    wanted = "".join(f"{text}{decimal(value, exponent)}\n" for text, value in rows)
    assert b"".join(pieces) == wanted.encode()
    assert all(pieces)


@pytest.mark.parametrize("value", [1.5, float("nan"), 1 << 63, -(1 << 63) - 1])
def test_what_is_no_number_of_64_bits_is_left_to_the_interpreter(
    value: float, written: Lines
) -> None:
    assert written.of(starts(["a ", "b "]), [1, value], 0) is None


def test_so_is_an_exponent_beyond_64_bits(written: Lines) -> None:
    assert written.of(starts(["a "]), [1], 19) is None


def test_each_line_has_a_value(written: Lines) -> None:
    with pytest.raises(ValueError, match="1 values for 2 lines"):
        written.of(starts(["a ", "b "]), [1], 0)


def test_pieces_are_small(written: Lines) -> None:
    begin = starts([f"series{{n={n}}} " for n in range(5000)])
    made = list(written.of(begin, range(5000), 3) or ())
    assert len(made) > 1
    assert max(map(len, made)) < 128 * 1024


def test_without_the_library_there_is_none(tmp_path: Path) -> None:
    assert lines.compiled(tmp_path) is None
