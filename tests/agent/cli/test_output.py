"""What goes to a terminal, and what to a pipe."""

import io
import json
from pathlib import Path

import pytest

from submeter.cli.output import (
    PATIENCE_S,
    Progress,
    paint,
    print_json,
    print_table,
    printable,
    table_text,
    wants_colour,
)
from submeter.clock import FakeClock
from submeter.units import NS_PER_S


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),  # no-color.org: only if not empty
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (closed(), {"TERM": "xterm"}, False),
        (None, {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    stream: io.StringIO | None, environ: dict[str, str], colour: bool
) -> None:
    assert wants_colour(stream, environ) is colour


def test_paint() -> None:
    assert paint("up", "green", colour=True) == "\x1b[32mup\x1b[0m"
    assert paint("up", "green", colour=False) == "up"


def test_a_table_is_aligned_and_keeps_hostile_cells_in_their_place() -> None:
    rows = [("a\x1b[2J\nb", 1), ("é", 12345)]
    assert table_text(("name", "watts"), rows, right=[1]).split("\n") == [
        "name         watts",
        "a\\x1b[2J\\nb      1",
        "é            12345",
    ]


def test_a_table_without_rows_is_its_headings() -> None:
    assert table_text(("name", "watts"), []) == "name  watts"


def test_a_piped_table_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [(1, 2)])
    assert capsys.readouterr().out == "a  b\n1  2\n"


def test_printable_leaves_what_is_printable() -> None:
    assert printable("µJ – ok") == "µJ – ok"
    assert printable("\x9b31m\u202e\t") == "\\x9b31m\\u202e\\t"


def test_json_knows_paths(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"path": Path("/a"), "n": 1})
    assert json.loads(capsys.readouterr().out) == {"path": "/a", "n": 1}


def test_progress_on_a_terminal_is_drawn_when_it_changes_and_wiped_at_the_end() -> None:
    terminal = Terminal()
    with Progress("reading", 1_000, terminal) as progress:
        for done in range(1_001):
            progress.update(done)
        before = terminal.getvalue()
    assert before.count("\r") == 101  # 0…100 %
    assert before.endswith(f"reading {'█' * 30} 100 %")
    assert terminal.getvalue() == before + "\r\x1b[K"


def test_progress_without_a_known_end_counts() -> None:
    terminal = Terminal()
    with Progress("reading", None, terminal) as progress:
        progress.update(5)
    assert "reading 5" in terminal.getvalue()


def test_progress_in_a_pipe_is_quiet() -> None:
    pipe = io.StringIO()
    with Progress("reading", 10, pipe) as progress:
        progress.update(5)
    assert pipe.getvalue() == ""


def test_progress_of_what_is_soon_done_is_not_drawn() -> None:
    terminal, clock = Terminal(), FakeClock()
    with Progress("reading", 10, terminal, after_s=PATIENCE_S, clock=clock) as progress:
        progress.update(5)
        clock.advance(PATIENCE_S * NS_PER_S - 1)
        progress.update(6)
        assert terminal.getvalue() == ""
        clock.advance(1)
        progress.update(7)
        assert terminal.getvalue().endswith(" 70 %")
    assert terminal.getvalue().endswith("\r\x1b[K")
