"""``submeter top``: an agent's address, or a backend to run one on, in; a live view out."""

import argparse
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import is_terminal
from submeter.errors import InputError

if TYPE_CHECKING:
    from submeter.top.source import Door

HELP = "live view in the terminal: GPUs and who uses them"
ABOUT = """
Live view in the terminal: GPUs, and who uses them for what. Of the running agent, of one
elsewhere (--url), or with --backend of one of its own, which ends with it and keeps nothing.
"""

_NOT_YET: Final = (503,)
_WHO_ARE_YOU: Final = (401, 403)
_STAND_ALONE: Final = ("--backend", "--scenario", "--trace", "--speed")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", metavar="URL", help="the agent (default: the configured address)")
    parser.add_argument(
        "--token-file", metavar="F", type=Path, help="file with the bearer token the agent wants"
    )
    add_common(parser, *_STAND_ALONE)
    examples(
        parser,
        "submeter top",
        "submeter top --url http://node7:10046/",
        "submeter top --backend mock",
    )


def run(arguments: argparse.Namespace) -> int:
    try:
        from submeter.top.app import Top
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise InputError("submeter top needs Textual: pip install 'submeter[top]'") from error
    from submeter.top.source import door, history, own_agent, snapshot

    config = settings(arguments)
    given = [each for each in arguments.overrides or () if each.source in _STAND_ALONE]
    if arguments.url is not None and given:
        raise InputError("--url shows an agent that runs, the backend's flags begin one: choose")
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise InputError("submeter top needs a terminal; for programs there is /api/v1/snapshot")
    if os.environ.get("TERM") in ("dumb", "unknown"):
        raise InputError(
            "submeter top needs a terminal that can place text, and TERM says that this one can't; "
            "`submeter report` prints plain lines"
        )
    with ExitStack() as stack:
        if given:
            flags = [] if arguments.config is None else ["--config", arguments.config]
            for each in arguments.overrides:
                flags += ["--set", f"{each.key}={each.text}"]
            at = door(stack.enter_context(own_agent(flags)))
        else:
            at = door(arguments.url or f"http://{config.web.listen}/", arguments.token_file)
            _check_that_somebody_is_there(at)
        Top(partial(snapshot, at), partial(history, at, "1h")).run()
    return 0


def _check_that_somebody_is_there(at: "Door") -> None:
    """Raises NoAnswer with what to do. An agent that has only just begun is somebody, too."""
    from submeter.top.source import NoAnswer, snapshot

    try:
        snapshot(at)
    except NoAnswer as error:
        if error.status in _NOT_YET:
            return
        asks = "it asks who you are: --token-file, or --url http://USER:PASSWORD@HOST:PORT/"
        nobody = (
            "start the agent (submeter run), name another with --url, or have one of your own for "
            "as long as you look (submeter top --backend nvml, or mock)"
        )
        hint = asks if error.status in _WHO_ARE_YOU else nobody
        raise NoAnswer(f"{error}; {hint}", status=error.status) from error
