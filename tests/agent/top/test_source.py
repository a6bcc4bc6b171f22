"""Where an agent is asked, from what somebody typed."""

from pathlib import Path

import pytest

from submeter.errors import InputError
from submeter.top.source import Door, door


def test_a_password_goes_into_the_header_and_not_into_the_address() -> None:
    assert door("http://eve:s%40fe@node7:10046") == Door(
        "http://node7:10046/", "Basic ZXZlOnNAZmU="
    )


def test_a_token_comes_from_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc\nmore\n")
    assert door("https://node7/", file) == Door("https://node7/", "Bearer abc")


@pytest.mark.parametrize("url", ["node7:10046", "http://[::1", "http://node7:99999/", ""])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(InputError, match="--url: expected http://HOST:PORT/, found"):
        door(url)
