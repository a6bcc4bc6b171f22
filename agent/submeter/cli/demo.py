"""``submeter demo``: nothing in, a live agent on the simulated node out."""

import argparse
import sys
import tempfile

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import is_terminal, terminal_width, wants_colour
from submeter.config import Config, Override
from submeter.errors import EXIT_OK, StateUnusable
from submeter.units import NS_PER_S

HELP = "try it without a GPU: the agent on a simulated node"
ABOUT = """
Runs the agent on eight simulated GPUs; its page is http://127.0.0.1:10046/. Within a
minute a notebook takes a GPU and idles on it, a training job crashes and comes back, a server's
load rises and falls, and the driver is reloaded. At the end it says who used what. Its ledger is
in a temporary folder, which goes with it.
"""

_TOUR = "tour"
_USUAL = "http://127.0.0.1:10046/"
_STORY = (
    "  at once       training on GPUs 0-3; servers, their load changing, on 4, 6 and 7",
    "  after  5 s    a notebook takes GPU 5 and idles on it",
    "        25 s    the training job crashes; 10 s later it is back",
    "        45 s    the driver is reloaded, its counters begin at 0: the sums stay right",
)


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "--listen", "--scenario")
    examples(parser, "submeter demo", "submeter demo --scenario mine.toml")


def run(arguments: argparse.Namespace) -> int:
    from submeter.cli.run import start_logging
    from submeter.runtime.service import serve

    with tempfile.TemporaryDirectory(prefix="submeter-demo-") as directory:
        config = settings(
            arguments,
            before=(
                Override("backend", "mock", "submeter demo"),
                Override("mock.scenario", _TOUR, "submeter demo"),
                Override("state_dir", directory, "submeter demo"),
            ),
        )
        if is_terminal(sys.stderr):
            print(_welcome(config), file=sys.stderr)
        start_logging()
        code = serve(config)
        if code == EXIT_OK:
            _tell_who_used_what(config)
        return code


def _welcome(config: Config) -> str:
    listen = config.web.listen
    lines = [
        "A simulated node: eight GPUs and their jobs. Nothing is measured. Look at it:",
        "",
    ]
    if listen.port:
        url = f"http://{listen}/"
        option = "" if url == _USUAL else f" --url {url}"
        lines += [f"  {url:<36} the live page", f"  {f'submeter top{option}':<36} in a terminal"]
    lines += [f"  {f'submeter report --state-dir {config.state_dir}':<36}", ""]
    if str(config.mock.scenario) == _TOUR:
        lines += [*_STORY, ""]
    return "\n".join([*lines, "Ctrl-C ends it and says who used what.", ""])


def _tell_who_used_what(config: Config) -> None:
    from submeter.clock import SystemClock
    from submeter.reports.ledger import from_ledger
    from submeter.reports.moments import machine_zone
    from submeter.reports.presentations.table import render
    from submeter.reports.question import DEFAULT_BY, Question

    now_s = SystemClock().wall_ns() // NS_PER_S
    try:
        report = from_ledger(config.state_dir, Question(DEFAULT_BY, zone=machine_zone()), now_s)
    except StateUnusable:
        return  # ended before anything was written
    colour, width = wants_colour(sys.stdout), terminal_width(sys.stdout)
    print(render(report, colour=colour, width=width).decode(), end="")
