"""``submeter run``: configuration in, the agent in the foreground until a signal ends it."""

import argparse
import logging
import os
import sys
from pathlib import Path

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import printable

_STDERR = 2

HELP = "the agent: meters every GPU of this node and serves it"
ABOUT = """
The agent, in the foreground: meters every GPU of this node, splits each joule between the
processes that used it, keeps the totals in a ledger and serves them (page, /metrics, API).
Without a driver it stays up, says so and looks again. SIGINT and SIGTERM end it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="OUT.json",
        help="at the end, write what the simulated processes really used (mock only)",
    )
    parser.add_argument(
        "--exit-at-end",
        action="store_true",
        help="end when a recording has been played, instead of going on serving its totals",
    )
    examples(
        parser,
        "submeter run",
        "submeter run --config /etc/submeter/submeter.toml --set sampling.rate_hz=50",
        "submeter run --backend mock --scenario scenario.toml --truth truth.json",
        "submeter run --backend replay --trace node.trace.gz --speed 10",
    )


def run(arguments: argparse.Namespace) -> int:
    from submeter.runtime import memory

    keep_standard_streams()
    config = settings(arguments)
    if config.web.config_file is None:
        memory.do_without_tls()
    from submeter.runtime.service import serve

    start_logging()
    return serve(
        config,
        truth=arguments.truth,
        exit_at_end=arguments.exit_at_end,
        reload=lambda: settings(arguments),
    )


def keep_standard_streams() -> None:
    """Where standard streams were closed before the start, opens them on /dev/null: else the
    ledger or a client would get their numbers, and whatever writes to them would write there."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w", errors="backslashreplace", closefd=False)


def start_logging() -> None:
    """Messages to stderr, one line each: journald adds the time, and names can't break lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("submeter: %(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.raiseExceptions = False  # a closed stderr is no reason to stop metering


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.exc_info else printable(text)
