"""Commands as people see them: in a real terminal, in tmux, piped, without colour."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("textual")

from submeter.testing.terminal import Terminal
from submeter.top.source import own_agent

pytestmark = pytest.mark.slow

SUBMETER = [sys.executable, "-m", "submeter"]
TOP = [*SUBMETER, "top", "--backend", "mock", "--scenario", "tour"]
PATIENCE_S = 200.0  # and a machine that does much else


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """A terminal with a command in it."""
    opened: list[Terminal] = []

    def start(*command: str, size: tuple[int, int] = (80, 24), **environ: str) -> Terminal:
        one = Terminal(*size)
        opened.append(one)
        keep = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        one.run(command, {**keep, **environ})
        return one

    yield start
    for one in opened:
        one.close()


def colours(terminal: Terminal) -> set[str]:
    return {cell.fg for row in terminal.rows() for cell in row if cell.data.strip()}


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_top_stand_alone(terminal: Callable[..., Terminal], size: tuple[int, int]) -> None:
    one = terminal(*TOP, size=size)
    shown = one.wait_for(lambda text: "98 %" in text and "Wh" in text, PATIENCE_S)
    assert "SIMULATED" in shown
    assert "8 of 8 GPUs" in shown
    assert shown.splitlines()[-1].strip().startswith("q quit")
    one.press("d")
    shown = one.wait_for("pid 41000 on GPU 0-3", PATIENCE_S)
    assert "its name says “pretrain”" in " ".join(shown.split())
    one.press("q")
    assert one.end() == 0


def test_top_of_an_agent_elsewhere_that_asks_who_one_is(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    with own_agent(["--backend", "mock", "--set", f"web.bearer_tokens_file={token}"]) as url:
        one = terminal(*SUBMETER, "top", "--url", url)
        assert one.end() == 1
        assert "--token-file" in one.text()
        one = terminal(*SUBMETER, "top", "--url", url, "--token-file", str(token))
        one.wait_for("finetune.py", PATIENCE_S)
        one.resize(50, 20)
        one.wait_for(lambda text: max(map(len, text.splitlines())) <= 50, PATIENCE_S)
        one.press("q")
        assert one.end() == 0


def test_without_colour_nothing_is_coloured(terminal: Callable[..., Terminal]) -> None:
    grey = terminal(*TOP, NO_COLOR="1", COLORTERM="truecolor")
    grey.wait_for("pretrain.py", PATIENCE_S)
    hexes = [colour for colour in colours(grey) if len(colour) == 6]
    assert all(one[:2] == one[2:4] == one[4:] for one in hexes), hexes
    plain = terminal(*SUBMETER, "doctor", "--backend", "mock", NO_COLOR="1")
    plain.wait_for("can be metered", PATIENCE_S)
    assert colours(plain) == {"default"}
    bright = terminal(*SUBMETER, "doctor", "--backend", "mock")
    bright.wait_for("can be metered", PATIENCE_S)
    assert "green" in colours(bright)


def test_where_top_can_not_be_shown_it_is_said(terminal: Callable[..., Terminal]) -> None:
    dumb = terminal(*TOP, TERM="dumb")
    assert dumb.end() == 2
    assert "submeter report" in dumb.text()
    alone = terminal(*SUBMETER, "top", "--url", "http://127.0.0.1:9/")
    assert alone.end() == 1
    assert "Connection refused" in alone.text()
    assert "submeter run" in alone.text()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here; apt-get install tmux")
def test_top_in_tmux() -> None:
    tmux = ["tmux", "-L", f"submeter-{uuid.uuid4().hex}", "-f", os.devnull]

    def screen() -> str:
        seen = [*tmux, "capture-pane", "-p"]
        return subprocess.run(seen, capture_output=True, text=True, check=True).stdout

    def wait_for(what: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while what not in screen():
            assert time.monotonic() < deadline, screen()
            time.sleep(0.1)
        return screen()

    start = ["new-session", "-d", "-x", "80", "-y", "24", "sh"]
    # readline, where a test runner has loaded it, exports a size that would win over the window's
    environ = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}
    subprocess.run([*tmux, *start], check=True, env=environ)
    try:
        keys = [*tmux, "send-keys"]
        subprocess.run([*keys, " ".join(TOP), "Enter"], check=True)
        assert all(len(line) <= 80 for line in wait_for("98 %").splitlines())
        subprocess.run([*tmux, "resize-window", "-x", "200", "-y", "60"], check=True)
        wait_for("throttled")
        subprocess.run([*keys, "h"], check=True)
        wait_for("Since ")
        subprocess.run([*keys, "q"], check=True)
        wait_for("$" if os.geteuid() else "#")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def test_demo_tells_its_story_and_at_the_end_who_used_what(
    terminal: Callable[..., Terminal],
) -> None:
    one = terminal(*SUBMETER, "demo", "--listen", "127.0.0.1:0", size=(80, 50))
    shown = one.wait_for("metering 8 GPU(s)", PATIENCE_S)
    assert "the training job crashes" in shown
    one.watch(3.0)
    one.press("\x03\x03")  # whoever is impatient loses nothing
    assert one.end() == 0
    assert "pretrain.py" in one.text()
    assert "100.0 %" in one.text()


def test_piped_it_is_quiet_and_plain(tmp_path: Path) -> None:
    record = [*SUBMETER, "record", "x.trace", "--backend", "mock", "--duration", "1"]
    done = subprocess.run(record, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"x.trace: {done.stdout.split()[1]} records, complete\n"
    assert done.stderr.count("\n") == 1  # that they are simulated
    assert "\x1b" not in done.stdout + done.stderr
    for words in (["trace", "info", "x.trace"], ["project"], ["config", "show"], ["--help"]):
        done = subprocess.run(
            [*SUBMETER, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "\x1b" not in done.stdout
        assert done.stderr == ""


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}])
def test_in_a_locale_without_our_characters(locale: dict[str, str], tmp_path: Path) -> None:
    environ = {**os.environ, **locale}
    for words in (["project"], ["config", "show"], ["exec", "--", "true"], ["run", "--help"]):
        done = subprocess.run(
            [*SUBMETER, *words], cwd=tmp_path, env=environ, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
