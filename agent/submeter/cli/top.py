"""``submeter top``: an agent's address, or a backend to run one on, in; a live view out."""

import argparse
import sys
from contextlib import ExitStack
from functools import partial
from typing import Final

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import is_terminal
from submeter.errors import InputError

HELP = "live view in the terminal: GPUs and who uses them"
ABOUT = """
Live view in the terminal: GPUs, and who uses them for what. Of the running agent, of one
elsewhere (--url), or with --backend of one of its own, which ends with it and keeps nothing.
"""

_STAND_ALONE: Final = ("--backend", "--scenario", "--trace", "--speed")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", metavar="URL", help="the agent (default: the configured address)")
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
    from submeter.top.source import checked_url, history, own_agent, snapshot

    config = settings(arguments)
    given = [each for each in arguments.overrides or () if each.source in _STAND_ALONE]
    if arguments.url is not None and given:
        raise InputError("--url shows an agent that runs, the backend's flags begin one: choose")
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise InputError("submeter top needs a terminal; for programs there is /api/v1/snapshot")
    with ExitStack() as stack:
        if given:
            flags = [] if arguments.config is None else ["--config", arguments.config]
            for each in arguments.overrides:
                flags += ["--set", f"{each.key}={each.text}"]
            url = stack.enter_context(own_agent(flags))
        else:
            listen = config.web.listen
            host = f"[{listen.host}]" if ":" in listen.host else listen.host
            url = checked_url(arguments.url or f"http://{host}:{listen.port}/")
        Top(partial(snapshot, url), partial(history, url, "1h")).run()
    return 0
