"""``submeter verify``: a ledger in, whether anything in it was changed since it was written out."""

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import (
    PATIENCE_S,
    Progress,
    paint,
    print_json,
    print_table,
    printable,
    wants_colour,
)
from submeter.errors import EXIT_FAILED, EXIT_OK
from submeter.units import UJ_PER_J, decimal

if TYPE_CHECKING:
    from submeter.ledger.audit import Audit

HELP = "check the ledger's chain and its sums"
ABOUT = """
Checks that no row of the ledger was changed or taken away since it was written, and that its sums
are right. Exits with 0 where all is well, with 1 and the first bad row where it isn't.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "--state-dir")
    parser.add_argument("--json", action="store_true", help="for machines")
    examples(parser, "submeter verify", "submeter verify --state-dir /var/lib/submeter --json")


def run(arguments: argparse.Namespace) -> int:
    from submeter.ledger.audit import audit

    config = settings(arguments)
    with Progress("checking", 100, after_s=PATIENCE_S) as progress:
        found = audit(config.state_dir, lambda done, total: progress.update(100 * done // total))
    joules = {uuid: decimal(uj, len(str(UJ_PER_J)) - 1) for uuid, uj in found.energy_uj.items()}
    if arguments.json:
        print_json(
            {
                "ok": not found.problem,
                "ledger": found.ledger_id,
                "problem": found.problem or None,
                "rows": found.rows,
                "gpus": [{"uuid": uuid, "joules": value} for uuid, value in joules.items()],
            }
        )
    else:
        _tell(found, joules)
    return EXIT_FAILED if found.problem else EXIT_OK


def _tell(found: "Audit", joules: Mapping[str, str]) -> None:
    colour = wants_colour(sys.stdout)
    if found.problem:
        print(f"{paint('NOT OK', 'red', colour=colour)}: {printable(found.problem)}")
        return
    if joules:
        print_table(("GPU", "joules"), list(joules.items()), right=(1,))
    rows = sum(found.rows.values())
    print(f"{paint('OK', 'green', colour=colour)}: {rows:,} rows, every one as it was written")
