"""Whatever is put where a configuration file should be: an error that names it, never a hang."""

import os
from pathlib import Path

import pytest

from submeter.config import load
from submeter.config.layers import MAX_FILE_BYTES
from submeter.errors import InputError


def message_of(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        load(path, (), {"HOME": "/home/somebody"})
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert message_of(missing) == f"{missing}: can't be read: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    assert message_of(tmp_path) == f"{tmp_path}: expected a regular file"


@pytest.mark.threat("T24")
def test_a_fifo_that_nobody_writes_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert message_of(fifo) == f"{fifo}: expected a regular file"


@pytest.mark.threat("T24")
def test_an_endless_device() -> None:
    assert message_of("/dev/zero") == "/dev/zero: expected a regular file"


def test_a_name_that_no_file_can_have() -> None:
    assert message_of("a\0b") == "a\0b: can't be read: no file has a NUL in its name"


@pytest.mark.fault("F87")
def test_size_is_limited_and_the_limit_itself_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "large.toml"
    file.write_bytes(b"#" * MAX_FILE_BYTES)
    load(file, (), {"HOME": "/home/somebody"})
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert message_of(file) == f"{file}: expected at most 262144 bytes, found more"


def test_what_is_no_text_names_line_and_byte(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b"max_series = 100\n# caf\xe9\n")
    assert message_of(file) == f"{file}:2: expected UTF-8 text, found byte 0xe9"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf[web]\r\nallow_remote = true\r\nmax_series = 1\r\n")
    assert message_of(file).startswith(f"{file}:3: unknown key web.max_series")


@pytest.mark.fault("F87")
@pytest.mark.parametrize("depth", [200, 5_000, 100_000])
def test_nesting_ends_in_a_message(tmp_path: Path, depth: int) -> None:
    file = tmp_path / "deep.toml"
    file.write_text(f"exporters.a.b = {'[' * depth}{']' * depth}\n")
    assert "nested too deeply" in message_of(file)


def test_a_number_of_too_many_digits(tmp_path: Path) -> None:
    file = tmp_path / "long.toml"
    file.write_text(f"max_series = 1{'0' * 5_000}\n")
    assert message_of(file) == f"{file}: not usable: a number has too many digits"
