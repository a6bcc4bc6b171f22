"""Every command's parser in, docs/commands.md out: `python -m submeter.cli._reference`."""

import argparse
from collections.abc import Iterator

from submeter import cli

_HEAD = """\
# Commands

Made by `make docs` from what the commands say of themselves; `submeter COMMAND --help` says the
same. What is piped is plain: colours, bars of progress and lines cut to a width are for terminals
only, and `NO_COLOR=1` takes the colours away there too. An error is one line on stderr that says
what to do.

| exit status | |
|---|---|
{statuses}

`submeter exec` passes on that of its command (126: it can't be executed, 127: there is none,
128 + n: signal n ended it).
"""
_COMMON = "--config", "--set"


def markdown() -> str:
    """The whole page."""
    statuses = "\n".join(f"| {code} | {meaning} |" for code, meaning in cli.EXIT_STATUSES)
    parts = [_HEAD.format(statuses=statuses)]
    parts += [
        "Those that read the configuration take `--config F` and `--set KEY=VALUE` "
        "([configuration.md](configuration.md)), besides the options below.\n"
    ]
    whole = cli.build_parser(cli.command_names())
    for level, parser in _parsers(whole):
        parts.append("\n".join(_section(level, parser)))
    return "\n".join(parts)


def _parsers(
    parser: argparse.ArgumentParser, level: int = 2
) -> Iterator[tuple[int, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield level, one
                yield from _parsers(one, level + 1)


def _section(level: int, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"{'#' * level} `{parser.prog}`\n"
    if parser.description:
        yield f"{' '.join(parser.description.split())}\n"
    rows = [row for action in parser._actions if (row := _row(parser, action))]
    if rows:
        yield "| | |\n|---|---|"
        yield from rows
        yield ""
    examples = [line.strip() for line in (parser.epilog or "").splitlines()[1:]]
    if examples:
        yield "\n".join(["```text", *examples, "```", ""])


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    if isinstance(action, hidden) or set(action.option_strings) & set(_COMMON):
        return ""
    formatter = parser._get_formatter()
    about = formatter._expand_help(action) if action.help else ""
    value = "" if action.nargs == 0 else _value(action)
    name = " ".join(part for part in (*action.option_strings[:1], value) if part)
    return f"| `{name.replace('|', chr(92) + '|')}` | {about.replace('|', chr(92) + '|')} |"


def _value(action: argparse.Action) -> str:
    if action.choices:
        return "|".join(map(str, action.choices))
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper()


if __name__ == "__main__":
    print(markdown(), end="")
