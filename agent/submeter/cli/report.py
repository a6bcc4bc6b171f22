"""``submeter report``: a question in, what was used out, from the ledger or from Prometheus."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import (
    PATIENCE_S,
    Progress,
    is_terminal,
    terminal_width,
    wants_colour,
)
from submeter.errors import EXIT_FAILED, EXIT_OK, InputError

if TYPE_CHECKING:
    from submeter.footprint.rates import Factors
    from submeter.reports.question import Question
    from submeter.reports.record import Report

HELP = "who used what and for what, from the ledger or Prometheus"
ABOUT = """
Who used what, and for what: from the ledger of this node, or for a whole fleet from a server with
Prometheus's API. The rows add up to the total. Exits with 1 where the report is partial.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    # "-24h" is a time and no option; argparse knows that of numbers only
    parser._negative_number_matcher = re.compile(r"-\d+\s*\w*")
    parser.add_argument(
        "--since",
        metavar="T",
        help="the first moment: a date, a time (ISO 8601), today, yesterday, -24h, 7d "
        "(default: from the beginning; the last 24 h with --prometheus)",
    )
    parser.add_argument(
        "--until", metavar="T", help="the moment at which it ends, itself not included (now)"
    )
    parser.add_argument(
        "--by",
        metavar="KEYS",
        help="any of phase, workload, user, namespace, pod, container, job, gpu, hour, day, month, "
        "method, component, with commas (phase,workload)",
    )
    parser.add_argument("--format", metavar="F", help="table, json, csv, html or parquet (table)")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to a file")
    parser.add_argument("--tz", metavar="ZONE", help="time zone, as Europe/Berlin (the machine's)")
    parser.add_argument(
        "--prometheus", metavar="URL", help="ask a server with Prometheus's API, for a whole fleet"
    )
    parser.add_argument(
        "--disclosure",
        action="store_true",
        help="what a company would have to publish, as JSON or HTML: training and inference apart",
    )
    parser.add_argument(
        "--capacity",
        action="store_true",
        help="unused power below node.power_budget_watts, when, and GPUs held without working",
    )
    add_common(parser, "--state-dir")
    examples(
        parser,
        "submeter report --since yesterday --by phase,user",
        "submeter report --since 2026-03 --until 2026-04 --tz Europe/Berlin --by day,phase",
        "submeter report --since 7d --format html --output week.html",
        "submeter report --since 7d --by namespace,phase --prometheus http://prometheus:9090",
        "submeter report --since 2026-01 --until 2027-01 --disclosure --output 2026.html",
        "submeter report --since 30d --capacity --set node.power_budget_watts=8000",
    )


def run(arguments: argparse.Namespace) -> int:
    from submeter.reports import presentations

    if arguments.disclosure and arguments.capacity:
        raise InputError("expected --disclosure or --capacity, not both")
    if arguments.disclosure:
        return _disclose(arguments)
    if arguments.capacity:
        return _capacity(arguments)
    name = arguments.format or ("json" if arguments.json else _format_of(arguments.output))
    presentation = presentations.load(name)
    to_terminal = arguments.output is None and is_terminal(sys.stdout)
    if to_terminal and getattr(presentation, "BINARY", False):
        raise InputError(f"--format {name} is not for a terminal: name a file with --output")
    report = _report(arguments, timeline=name == "html")
    colour = to_terminal and wants_colour(sys.stdout)
    width = terminal_width(sys.stdout) if to_terminal else None
    _write(presentation.render(report, colour=colour, width=width), arguments.output)
    return _ended(report)


def _disclose(arguments: argparse.Namespace) -> int:
    from submeter.reports import disclosure, disclosure_page

    if arguments.by is not None:
        raise InputError("--disclosure is by workload and phase: leave out --by")
    is_page = arguments.output is not None and arguments.output.suffix == ".html"
    name = arguments.format or ("html" if is_page and not arguments.json else "json")
    writers = {"json": disclosure.as_json, "html": disclosure_page.as_html}
    if name not in writers:
        raise InputError(f"--disclosure: expected --format json or html; found {name!r}")
    arguments.by = ",".join(disclosure.BY)
    report = _report(arguments, timeline=False)
    _write(writers[name](report), arguments.output)
    return _ended(report)


def _capacity(arguments: argparse.Namespace) -> int:
    from submeter.clock import SystemClock
    from submeter.reports import capacity, capacity_text
    from submeter.units import NS_PER_S

    if arguments.by is not None or arguments.prometheus is not None:
        raise InputError("--capacity reads a ledger, by the hour: leave out --by and --prometheus")
    suffix = "" if arguments.output is None else arguments.output.suffix
    by_suffix = {".html": "html", ".json": "json"}.get(suffix, "table")
    name = arguments.format or ("json" if arguments.json else by_suffix)
    writers = {
        "table": capacity_text.as_table,
        "json": capacity_text.as_json,
        "html": capacity_text.as_html,
    }
    if name not in writers:
        raise InputError(f"--capacity: expected --format table, json or html; found {name!r}")
    now_s = SystemClock().wall_ns() // NS_PER_S
    question = _question(arguments, now_s, timeline=False)
    config = settings(arguments)
    found = capacity.from_ledger(config.state_dir, question, now_s, config.node.power_budget_mw)
    _write(writers[name](found), arguments.output)
    return EXIT_OK


def _ended(report: "Report") -> int:
    if report.quality.problems:
        first, *others = report.quality.problems
        more = f" (and {len(others)} more)" if others else ""
        print(f"submeter: the report is partial: {first}{more}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def _report(arguments: argparse.Namespace, *, timeline: bool) -> "Report":
    from submeter.clock import SystemClock
    from submeter.units import NS_PER_S

    now_s = SystemClock().wall_ns() // NS_PER_S
    question = replace(_question(arguments, now_s, timeline=timeline), factors=_factors(arguments))
    with Progress("reading", 100, after_s=PATIENCE_S) as progress:
        if arguments.prometheus is not None:
            from submeter.reports.prometheus import from_prometheus

            return from_prometheus(
                arguments.prometheus,
                question,
                now_s,
                lambda share: progress.update(int(100 * share)),
            )
        from submeter.reports.ledger import from_ledger

        directory = settings(arguments).state_dir
        return from_ledger(
            directory, question, now_s, lambda share: progress.update(int(100 * share))
        )


def _factors(arguments: argparse.Namespace) -> "Factors":
    """What the command line says goes for all of the report, else what agents have used, else
    what the configuration says."""
    from submeter.footprint.history import read_history
    from submeter.footprint.rates import Factors
    from submeter.footprint.sources import configured, overriding

    config = settings(arguments)
    used = read_history(config.state_dir) if arguments.prometheus is None else None
    if used is not None and used.unreadable:
        where = config.state_dir / "factors.jsonl"
        print(f"submeter: {where}: {used.unreadable} lines make no sense", file=sys.stderr)
    layers = (overriding(config), used.rows if used is not None else (), configured(config))
    return Factors(tuple(layer for layer in layers if layer))


def _question(arguments: argparse.Namespace, now_s: int, *, timeline: bool) -> "Question":
    from submeter.reports.moments import machine_zone, moment, zone
    from submeter.reports.question import DEFAULT_BY, Question, parse_by

    where = machine_zone() if arguments.tz is None else zone(arguments.tz)
    since_s, until_s = (
        None if text is None else moment(text, where, now_s, source)
        for text, source in ((arguments.since, "--since"), (arguments.until, "--until"))
    )
    if since_s is not None and since_s >= (now_s if until_s is None else until_s):
        raise InputError("expected --since before --until, which is now if it isn't given")
    by = DEFAULT_BY if arguments.by is None else parse_by(arguments.by)
    return Question(by, since_s, until_s, where, timeline)


def _format_of(output: Path | None) -> str:
    """The format that a file's name asks for."""
    from submeter.reports import presentations

    if output is not None:
        for name in presentations.available():
            if output.suffix == presentations.load(name).SUFFIX:
                return name
    return "table"


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        if is_terminal(sys.stdout):
            content = content.decode().encode(sys.stdout.encoding, "replace")
        sys.stdout.buffer.write(content)
        return
    if output.is_symlink() or (output.exists() and not output.is_file()):
        output.write_bytes(content)  # /dev/stdout, a pipe: never replaced by a file
        return
    beside = output.with_name(f".{output.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(output)  # whoever looks at the file sees a whole one
    finally:
        beside.unlink(missing_ok=True)
