"""The frame around every command: found by its name, errors as one line, exit codes, --help."""

import argparse
import os
import re
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from submeter import __version__, cli
from submeter.cli._reference import markdown
from submeter.errors import DeviceLost, DriverUnavailable, InputError, StateUnusable, SubmeterError

Install = Callable[[Callable[[argparse.Namespace], int]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes ``submeter fake`` the only command, which does what it is told."""

    def with_run(run: Callable[[argparse.Namespace], int]) -> None:
        module = types.ModuleType("submeter.cli.fake")
        vars(module).update(
            HELP="stands in for a command",
            configure=lambda parser: parser.add_argument("--times", type=int),
            run=run,
        )
        monkeypatch.setitem(sys.modules, "submeter.cli.fake", module)
        monkeypatch.setattr(cli, "command_names", lambda: ["fake"])

    return with_run


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


def submeter(*arguments: str, **more: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "submeter", *arguments]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, **{"capture_output": True, "text": True, "timeout": 60, "check": False, **more}
    )


def test_a_command_is_given_its_arguments_and_its_exit_code_is_passed_on(install: Install) -> None:
    install(lambda arguments: int(arguments.times))
    assert cli.main(["fake", "--times", "7"]) == 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("not right", source="a.toml", line=3), 2),
        (StateUnusable("another agent holds it"), 73),
        (DeviceLost("gpu_lost", "the GPU is gone"), 75),
        (SubmeterError("it failed"), 1),
    ],
)
def test_an_error_on_purpose_is_one_line_and_its_own_exit_code(
    install: Install, capsys: pytest.CaptureFixture[str], error: SubmeterError, code: int
) -> None:
    install(raising(error))
    assert cli.main(["fake"]) == code
    assert capsys.readouterr() == ("", f"submeter: {error}\n")


def test_without_a_gpu_it_is_said_who_knows_more(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(raising(DriverUnavailable("no_gpu", "there is no GPU")))
    assert cli.main(["fake"]) == 69
    assert capsys.readouterr().err == (
        "submeter: there is no GPU; `submeter doctor` says what to do\n"
    )


@pytest.mark.threat("T11")
def test_hostile_text_stays_on_its_line(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(raising(InputError("found \x1b[31m\nsubmeter: all is well\r é")))
    cli.main(["fake"])
    expected = "submeter: found \\x1b[31m\\nsubmeter: all is well\\r é\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("gpu"), "unexpected KeyError: 'gpu' (SUBMETER_DEBUG=1 shows where)"),
        (FileNotFoundError(2, "No such file", "x.trace"), "x.trace: No such file"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_an_unexpected_error_is_one_line_without_traceback(
    install: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    line: str,
) -> None:
    monkeypatch.delenv("SUBMETER_DEBUG", raising=False)
    install(raising(error))
    assert cli.main(["fake"]) == 1
    (shown,) = capsys.readouterr().err.splitlines()
    assert shown.startswith(f"submeter: {line}")


def test_the_traceback_is_shown_on_request(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMETER_DEBUG", "1")
    install(raising(KeyError("gpu")))
    assert cli.main(["fake"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "in run" in shown


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_interrupts_and_readers_that_leave_are_quiet(
    install: Install, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    install(raising(error))
    assert cli.main(["fake"]) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "which command? `submeter demo` shows what it does, `submeter --help` all"),
        (["nonsense"], "there is no command 'nonsense'; `submeter --help` lists what there is"),
        (["reprot"], "there is no command 'reprot'; did you mean report?"),
        (["--nonsense"], "the following arguments are required: COMMAND; see `submeter --help`"),
        (["demo", "--lsten", "x"], "unrecognized arguments: --lsten x; did you mean --listen?"),
        (["config", "--nonsense"], "the following arguments are required: ACTION"),
        (["config", "check"], "the following arguments are required: F"),
        (
            ["config", "check", "f", "--nonsense"],
            "unrecognized arguments: --nonsense; see `submeter config check --help`",
        ),
        (["config", "show", "--set", "x"], "--set: expected KEY=VALUE"),
        (["output"], "there is no command 'output'; `submeter --help` lists"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], line: str
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"submeter: {line}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"submeter {__version__}\n"


def parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[int, argparse.ArgumentParser]]:
    """The parsers of all commands (level 1) and of their actions (level 2)."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield 1, one
                yield from ((level + 1, inner) for level, inner in parsers(one))


def test_every_help_ends_with_examples_that_the_command_understands() -> None:
    whole = cli.build_parser(cli.command_names())
    for _level, parser in parsers(whole):
        epilog = parser.epilog or ""
        assert re.match(r"examples?:\n  \S", epilog), parser.prog
        for line in re.findall(r"^  .*?submeter (.*)$", epilog, re.MULTILINE):
            words = re.split(r" (?:&&|>|\||#) ?", line)[0].split()
            whole.parse_args(words)  # raises where the example is wrong


def test_the_page_of_commands_is_what_they_say_of_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = Path(__file__).parents[3] / "docs" / "commands.md"
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert page.read_text() == markdown(), "make docs"


def test_every_command_is_listed_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    listed = capsys.readouterr().out
    for code, meaning in cli.EXIT_STATUSES:
        assert f"  {code:<3} {meaning}\n" in listed
    for name in ("config", "demo", "doctor", "run"):
        assert re.search(rf"^    {name} +\S", listed, re.MULTILINE), name


def test_help_and_small_commands_load_nothing_large() -> None:
    script = (
        "import sys; from submeter.cli import main; main(sys.argv[1:]); "
        "print(*sorted({'pynvml', 'psutil', 'sqlite3', 'http.server', 'asyncio'} & {*sys.modules}))"
    )
    for arguments in (["--help"], ["config", "docs"]):
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "", arguments


# As a process: what the interpreter does around `main` counts as well.


def test_as_a_process_errors_are_one_line_and_an_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("max_serie = 5\n")
    done = submeter("config", "check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"submeter: {file}:1: unknown key max_serie; did you mean max_series?\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_sees_no_complaint(unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        done = submeter(
            "config",
            "docs",
            capture_output=False,
            stdout=nobody,
            stderr=subprocess.PIPE,
            env=environ,
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_once(unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = submeter(
            "config", "docs", capture_output=False, stdout=full, stderr=subprocess.PIPE, env=environ
        )
    assert done.returncode == 1
    assert re.fullmatch(r"submeter: .*No space left on device.*\n", done.stderr)


@pytest.mark.fault("F92")
@pytest.mark.parametrize(("closed", "code"), [("2>&-", 2), ("2>/dev/full", 2), (">&-", 2)])
def test_without_anybody_to_tell_the_exit_code_tells(closed: str, code: int) -> None:
    command = f'"{sys.executable}" -m submeter config check /nowhere.toml {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stdout + done.stderr
