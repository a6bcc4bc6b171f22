"""The command line: arguments in, a command's exit code out; every error ends here as one line.

A command is a module of this package that defines

    HELP                one line for the list of commands
    configure(parser)   adds its arguments, and an example with `examples(parser, …)`
    run(arguments)      does it and returns the exit code

Nothing else registers it. What a command needs to run it imports inside `run`, so that
``submeter --help`` and the small commands start at once.
"""

import argparse
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn, Protocol, cast

from submeter import __version__
from submeter.errors import EXIT_FAILED, InputError, SubmeterError

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
        description="The electricity submeter for GPUs: splits every joule between the processes "
        "that used it, by training and inference.",
        epilog="example:\n  submeter demo\n\n`submeter COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"submeter {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        command = _command(name)
        if command is not None:
            one = commands.add_parser(
                name,
                help=command.HELP,
                description=command.HELP,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                allow_abbrev=False,
            )
            one.set_defaults(run=command.run)
            command.configure(one)
    return parser


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like any other: one line, exit 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `{self.prog} --help`")


def _command(name: str) -> Command | None:
    module = importlib.import_module(f"submeter.cli.{name}")
    return cast("Command", module) if hasattr(module, "HELP") else None


def _guarded(argv: Sequence[str]) -> int:
    try:
        names = command_names()
        wanted = [argv[0]] if argv and argv[0] in names else names
        arguments = build_parser(wanted).parse_args(argv)
        code: int = arguments.run(arguments)
    except SystemExit as stop:  # after --help and --version
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
    except SubmeterError as error:
        _complain(str(error))
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
