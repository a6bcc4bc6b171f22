"""Every command in README and docs is run as far as one can without a GPU, or listed with where
it is; every `submeter …` in their text has the commands and options that it names."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from submeter import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SUBMETER = [sys.executable, "-m", "submeter"]
PATIENCE_S = 120
ELSEWHERE: Final = {  # what needs root, a service manager, a GPU or many minutes, and who runs it
    r"docs/operators\.md .*": "make test-systemd: tests/e2e/booted/test_operators.py",
    r"docs/runbook\.md systemctl .*": "make test-systemd: tests/e2e/booted/test_service.py",
    r"docs/measurements\.md .*": "needs a GPU: the pages of figures are its output",
    r"benchmarks/README\.md .*": "minutes each: the pages of figures are their output",
    r"docs/(outlook|efficiency)\.md .*": "on a ledger of two days: tests/docs/test_walks.py",
}
CSV = (
    "timestamp, index, uuid, name, power.draw [W]\n"
    "2026/01/01 00:00:00.000, 0, GPU-1, NVIDIA H100, 100.00 W\n"
    "2026/01/01 00:00:01.000, 0, GPU-1, NVIDIA H100, 110.00 W\n"
)

pytestmark = pytest.mark.slow


class Line(NamedTuple):
    """A command and the page it stands on."""

    page: str
    command: str


def _lines() -> Iterator[Line]:
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                command = re.split(r"\s+#\s", line.removeprefix("$ "))[0].strip()
                if command and not command.startswith("#"):
                    yield Line(page.relative_to(ROOT).as_posix(), command)


def _covered(line: Line) -> bool:
    return any(re.fullmatch(pattern, f"{line.page} {line.command}") for pattern in ELSEWHERE)


HERE = [line for line in _lines() if not _covered(line)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for granted: a ledger, a recording, a power log."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "nvidia-smi.csv").write_text(CSV)
    (folder / "mine.toml").write_text('[[gpu]]\nmodel = "H100"\n')
    record = [*SUBMETER, "record", "node.trace.gz", "--backend", "mock", "--duration", "12"]
    subprocess.run(record, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
    play = ["run", "--backend", "replay", "--trace", "node.trace.gz", "--speed", "20"]
    play += ["--exit-at-end", "--state-dir", "state", "--listen", "127.0.0.1:0"]
    subprocess.run(
        [*SUBMETER, *play], cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S
    )
    return folder


@pytest.mark.parametrize("line", HERE, ids=lambda line: f"{line.page}: {line.command}")
def test_it_is_run(line: Line, node: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(node, folder, ignore=shutil.ignore_patterns("*.sock"))
    words = shlex.split(line.command)
    if words[0] == "make":
        subprocess.run([*words, "-n"], cwd=ROOT, check=True, capture_output=True)
    elif words[:2] == ["curl", "-s"]:
        path = words[2].removeprefix("http://127.0.0.1:10046")
        assert path != words[2]
        sought = words[words.index("grep") + 1] if "grep" in words else ""
        _served(["run", "--backend", "mock"], folder, path, sought)
    elif words[0] == "submeter":
        _submeter(words[1:], folder)
    else:
        pytest.fail(f"nobody runs it: {line.command}; run it here, or say in ELSEWHERE who does")


def _submeter(words: list[str], folder: Path) -> None:
    name = words[0]
    if name in ("run", "demo"):
        _served(words, folder, "/-/healthy")
        return
    if name == "record":
        words[words.index("--duration") + 1] = "1"
        words += ["--backend", "mock", "--force"]
    if words[:2] == ["trace", "convert"]:
        words += ["--force"]
    done = subprocess.run(
        [*SUBMETER, *words],
        cwd=folder,
        env={**os.environ, "SUBMETER__STATE_DIR": str(folder / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    allowed = {"doctor": (0, 69), "top": (2,)}.get(name, (0,))
    assert done.returncode in allowed, done.stderr
    if name == "top":  # once its flags are right
        assert "needs a terminal" in done.stderr


def _served(words: list[str], folder: Path, path: str, sought: str = "") -> None:
    more = ["--listen", "127.0.0.1:0"]
    more += ["--state-dir", str(folder / "new")] if words[0] == "run" else []
    command = [*SUBMETER, *words, *more]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        said = ""
        for log in child.stderr:
            said += log
            if "serving" in log:
                break
        found = re.search(r"serving (http://\S+)/ ", said)
        assert found is not None, said
        deadline = time.monotonic() + PATIENCE_S
        content = b""
        while not content or sought.encode() not in content:  # the first second isn't settled yet
            assert time.monotonic() < deadline, content
            with suppress(HTTPError), urlopen(found[1] + path, timeout=PATIENCE_S) as answer:
                content = answer.read()
        child.terminate()
        child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0


def test_what_is_run_elsewhere_is_still_there() -> None:
    everything = [f"{line.page} {line.command}" for line in _lines()]
    for pattern, where in ELSEWHERE.items():
        assert any(re.fullmatch(pattern, each) for each in everything), pattern
        named = re.search(r"tests/\S+\.py", where)
        assert named is None or (ROOT / named[0]).exists(), where


def _options() -> dict[str, set[str]]:
    """By command, and by command and action: the options it has."""
    found: dict[str, set[str]] = {}

    def look(prefix: str, parser: argparse.ArgumentParser) -> None:
        found[prefix] = set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    look(f"{prefix} {name}".strip(), inner)

    look("", cli.build_parser(cli.command_names()))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_text_names_exists(page: Path) -> None:
    options = _options()
    for code in re.findall(r"`submeter ((?!\.)[^`]+)`", page.read_text()):
        words = code.replace("\n", " ").split(" -- ")[0].split()
        if words[0].startswith("--"):
            assert words[0] in options[""], code
            continue
        if words[0].isupper() or "=" in words[0]:
            continue  # COMMAND; what another program prints after "submeter"
        assert words[0] in options, f"{page.name}: no command {words[0]}: {code}"
        action = " ".join(words[:2])
        known = options[words[0]] | options.get(action, set())
        named = re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(words[1:]))
        assert [each for each in named if each not in known] == [], f"{page.name}: {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", text):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{page.name}: {target}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}
