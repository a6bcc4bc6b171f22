"""Files that others write: bounded, and nothing where there is nothing."""

import os
from pathlib import Path

import pytest

from submeter.workloads.files import content, entries


def test_names_and_content_are_bounded(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"abcdef")
    assert sorted(entries(tmp_path, 9)) == ["0", "1", "2", "3", "4"]
    assert len(entries(tmp_path, 3)) == 3
    assert content(tmp_path / "0", 4) == b"abcd"


def test_what_cant_be_read_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file"):
        assert entries(wrong, 9) == []
    for wrong in (tmp_path / "none", tmp_path):
        assert content(wrong, 9) == b""


@pytest.mark.threat("T24")
def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert content(tmp_path / "pipe", 9) == b""
