"""The command line: arguments in, a command's exit code out; every error ends here as one line.

A command is a module of this package that defines

    HELP                one line for the list of commands
    ABOUT               what its own --help says instead, where that is too little
    configure(parser)   adds its arguments, and an example with `examples(parser, …)`
    run(arguments)      does it and returns the exit code

Nothing else registers it. What a command needs to run it imports inside `run`, so that
``submeter --help`` and the small commands start at once.
"""

import argparse
import importlib
import io
import os
import pkgutil
import shutil
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, Protocol, cast

from submeter import __version__
from submeter.columns import folded
from submeter.errors import EXIT_FAILED, EXIT_NO_GPU, InputError, SubmeterError

EXIT_STATUSES = (
    (0, "done, and all is well"),
    (1, "the work failed, or what was checked is not well"),
    (2, "wrong usage or configuration"),
    (69, "no usable GPU or driver"),
    (73, "the state directory or its ledger can't be used"),
    (75, "a GPU is lost: try again"),
)
"""What every command's exit status means; `submeter exec` passes on that of its command."""

_EPILOG = """first steps:
  submeter demo      eight simulated GPUs and who uses them; needs no GPU
  submeter doctor    what this node supports, and what to fix
  submeter run       the agent, in the foreground
  submeter top       who uses what, live in the terminal
  submeter report    who used what, from the ledger

`submeter COMMAND --help` says more of each.

exit status:
""" + "\n".join(f"  {code:<3} {meaning}" for code, meaning in EXIT_STATUSES)

_WIDEST = 100  # longer lines of text aren't read
_EXIT_INTERRUPTED = 128 + 2  # what a shell reports for SIGINT
_EXIT_PIPE = 128 + 13  # … for SIGPIPE


class Command(Protocol):
    """What a module of this package offers to be a command."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's arguments to its parser."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Does the work and returns the exit code. Raises SubmeterError where it can't."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns its exit code; raises nothing."""
    argv = sys.argv[1:] if argv is None else argv
    _write_whatever_the_encoding()
    code = _guarded(argv)
    return _flushed(code)


def command_names() -> list[str]:
    """Every module of this package that may be a command, without importing any."""
    modules = pkgutil.iter_modules(__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def build_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for the commands of those names."""
    parser = _Parser(
        prog="submeter",
        description="The electricity submeter for GPUs: splits every joule between the processes\n"
        "that used it, by training and inference.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"submeter {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        command = _command(name)
        if command is not None:
            one = commands.add_parser(
                name,
                help=command.HELP,
                description=_about(command),
                formatter_class=argparse.RawDescriptionHelpFormatter,
                allow_abbrev=False,
            )
            one.set_defaults(run=command.run)
            command.configure(one)
    return parser


def _about(command: Command) -> str:
    about: str = getattr(command, "ABOUT", "")
    text = " ".join(about.split()) or f"{command.HELP[0].upper()}{command.HELP[1:]}."
    return "\n".join(folded(text, min(shutil.get_terminal_size().columns, _WIDEST)))


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like any other: one line, exit 2. What it parses tells which
    command's parser it was."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `{self.prog} --help`")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raises InputError for arguments that nobody takes."""
        first = unknown[0].partition("=")[0]
        near = get_close_matches(first, self._option_string_actions, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    names = command_names()
    first = argv[0] if argv else ""
    if not first:
        raise InputError("which command? `submeter demo` shows what it does, `submeter --help` all")
    parser = build_parser([] if first == "--version" else [first] if first in names else names)
    if not first.startswith("-") and first not in _commands_of(parser):
        near = get_close_matches(first, _commands_of(parser), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `submeter --help` lists what there is"
        raise InputError(f"there is no command {first!r}{hint}")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        arguments.parser.refuse(unknown)
    return arguments


def _commands_of(parser: argparse.ArgumentParser) -> list[str]:
    actions = parser._actions
    choices = [each.choices for each in actions if isinstance(each, argparse._SubParsersAction)]
    return list(choices[0])


def _command(name: str) -> Command | None:
    module = importlib.import_module(f"submeter.cli.{name}")
    return cast("Command", module) if hasattr(module, "HELP") else None


def _guarded(argv: Sequence[str]) -> int:
    try:
        arguments = _parsed(argv)
        code: int = arguments.run(arguments)
    except SystemExit as stop:  # after --help and --version
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
    except SubmeterError as error:
        hint = "; `submeter doctor` says what to do" if error.exit_code == EXIT_NO_GPU else ""
        _complain(f"{error}{hint}")
        return error.exit_code
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        return _EXIT_PIPE
    except Exception as error:  # noqa: BLE001  the one place where nothing may pass
        _complain(_unexpected(error))
        return EXIT_FAILED
    return code


def _unexpected(error: Exception) -> str:
    if os.environ.get("SUBMETER_DEBUG") == "1":
        traceback.print_exc()
    if isinstance(error, OSError) and error.strerror:
        about = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        about = f"unexpected {type(error).__name__}: {error}"
    return f"{about} (SUBMETER_DEBUG=1 shows where)"


def _complain(message: str) -> None:
    """One line on stderr, if there is one: whatever names it quotes, it stays one line."""
    line = "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in message)
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"submeter: {line}\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens: the exit code still tells


def _write_whatever_the_encoding() -> None:
    """In an old locale a character that it lacks is written as "?", and nothing fails."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _flushed(code: int) -> int:
    """Writes what is still buffered; a reader that left early is no error of ours to print."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        return code or _EXIT_PIPE
    except (OSError, ValueError) as error:
        _abandon_stdout()
        _complain(f"can't write the output: {error}")
        return code or EXIT_FAILED
    return code


def _abandon_stdout() -> None:
    # The interpreter flushes once more at exit and would complain about the same again.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
