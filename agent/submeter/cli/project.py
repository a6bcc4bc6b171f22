"""``submeter project``: a server and how many there are in, TWh a year beside the estimates out."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import terminal_width
from submeter.errors import EXIT_OK, InputError

if TYPE_CHECKING:
    from submeter.footprint.fleet import Fleet, Measured

HELP = "scale a server up to a fleet, beside published estimates"
ABOUT = """
Scales a server, as given or as measured, up to a fleet in TWh a year, and puts it beside the
published estimates, each computed anew from its stated inputs.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    many = _number(0, 1e12)
    watts = _number(0, 1e9)
    parser.add_argument("--servers", metavar="N", type=many, help="servers in the fleet")
    parser.add_argument("--watts-per-server", metavar="W", type=watts, help="draw at full use")
    parser.add_argument(
        "--idle-watts", metavar="W", type=watts, default=0.0, help="draw of an idle server (0)"
    )
    parser.add_argument(
        "--utilisation", metavar="U", type=_number(0, 1), help="0 to 1 (1, or as measured)"
    )
    parser.add_argument(
        "--pue", metavar="P", type=_number(1, 10), help="facility ÷ IT energy (configured, or 1)"
    )
    parser.add_argument(
        "--measured", action="store_true", help="take a GPU's mean draw from the ledger"
    )
    parser.add_argument(
        "--gpus",
        metavar="N",
        type=_number(0, 1e6),
        help="GPUs of a server (with --measured; those of the ledger)",
    )
    parser.add_argument(
        "--other-watts", metavar="W", type=watts, default=0.0,
        help="draw of the rest of a server (with --measured; 0)",
    )  # fmt: skip
    parser.add_argument(
        "--uncertainty", metavar="R", type=_number(0, 1), help="relative, as 0.1 for ± 10 %%"
    )
    parser.add_argument(
        "--inference-share", metavar="S", type=_number(0, 1),
        help="inference's share of a fleet, to compare (as measured)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("table", "json", "html"), help="default: table")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to a file")
    add_common(parser, "--state-dir")
    examples(
        parser,
        "submeter project --servers 100000 --watts-per-server 6500",
        "submeter project --servers 512821 --watts-per-server 6500 --utilisation 0.6 --pue 1.2",
        "submeter project --servers 20000 --measured --gpus 8 --other-watts 2300 --pue 1.25 "
        "--output fleet.html",
    )


def run(arguments: argparse.Namespace) -> int:
    from submeter.footprint.outlooks import outlooks
    from submeter.reports.outlook import Outlook, as_json, as_table
    from submeter.reports.outlook_page import as_html

    measured = _measured(arguments) if arguments.measured else None
    fleet = _fleet(arguments, measured)
    outlook = Outlook(outlooks(), fleet, measured, arguments.inference_share)
    width = terminal_width(sys.stdout) if arguments.output is None else None
    writers = {
        "table": lambda shown: as_table(shown, width),
        "json": as_json,
        "html": as_html,
    }
    name = arguments.format or ("json" if arguments.json else _format_of(arguments.output))
    content = writers[name](outlook)
    if arguments.output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        arguments.output.write_bytes(content)
    return EXIT_OK


def _fleet(arguments: argparse.Namespace, measured: "Measured | None") -> "Fleet | None":
    from submeter.footprint.fleet import Fleet

    watts, source = arguments.watts_per_server, "given"
    if measured is not None:
        if watts is not None:
            raise InputError("expected --watts-per-server or --measured, not both")
        if arguments.utilisation is not None:
            raise InputError("--utilisation says nothing of what was measured: leave it out")
        gpus = measured.gpus if arguments.gpus is None else arguments.gpus
        watts = gpus * measured.gpu_watts + arguments.other_watts
        source = (
            f"measured, {gpus:g} × {measured.gpu_watts:.1f} W"
            f" + {arguments.other_watts:g} W for the rest"
        )
    if arguments.servers is None and arguments.watts_per_server is None:
        return None
    if arguments.servers is None or watts is None:
        raise InputError("a fleet needs --servers, and --watts-per-server or --measured")
    if arguments.idle_watts > watts:
        raise InputError(f"--idle-watts {arguments.idle_watts:g} is more than {watts:g} W in use")
    pue = arguments.pue if arguments.pue is not None else settings(arguments).footprint.pue
    return Fleet(
        servers=arguments.servers,
        watts_per_server=watts,
        utilisation=1.0 if arguments.utilisation is None else arguments.utilisation,
        pue=1.0 if pue is None else pue,
        idle_watts=arguments.idle_watts,
        source=source,
        uncertainty=arguments.uncertainty,
    )


def _measured(arguments: argparse.Namespace) -> "Measured":
    from submeter.clock import SystemClock
    from submeter.footprint.fleet import Measured
    from submeter.model import Phase
    from submeter.reports.ledger import from_ledger
    from submeter.reports.question import Question
    from submeter.units import NS_PER_S, UJ_PER_J

    now_s = SystemClock().wall_ns() // NS_PER_S
    report = from_ledger(settings(arguments).state_dir, Question(("phase",)), now_s)
    if not report.quality.metered_ns:
        raise InputError("--measured: nothing was ever metered in this ledger")
    return Measured(
        gpus=len(report.gpus),
        joules=report.total_uj / UJ_PER_J,
        metered_s=report.quality.metered_ns / NS_PER_S,
        training_j=report.phase_uj.get(Phase.TRAINING, 0) / UJ_PER_J,
        inference_j=report.phase_uj.get(Phase.INFERENCE, 0) / UJ_PER_J,
        coverage=report.quality.coverage,
        backend=report.origin.backend,
    )


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"expected a number from {low:g} to {high:g}, found {text[:40]!r}"
            )
        return value

    return number


def _format_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix
    return {".json": "json", ".html": "html"}.get(suffix, "table")
