"""``submeter completion``: a shell's name in, what it completes commands and options by out."""

import argparse

from submeter.cli._options import examples
from submeter.errors import EXIT_OK, InputError

HELP = "what a shell completes commands and options by"
ABOUT = """
Prints a script by which bash, zsh or tcsh completes commands, options and files. Needs shtab:
pip install 'submeter[completion]'.
"""
_SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, help="for which shell")
    examples(
        parser,
        "submeter completion bash > ~/.local/share/bash-completion/completions/submeter",
        "submeter completion zsh > /usr/local/share/zsh/site-functions/_submeter",
    )


def run(arguments: argparse.Namespace) -> int:
    from submeter import cli

    try:
        import shtab
    except ImportError as error:
        raise InputError("needs shtab: pip install 'submeter[completion]'") from error
    parser = cli.build_parser(cli.command_names())
    print(shtab.complete(parser, arguments.shell))
    return EXIT_OK
