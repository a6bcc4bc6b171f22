"""``submeter verify``: a ledger in, whether anything in it was changed since it was written out."""

import argparse

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import PATIENCE_S, Progress, print_json, print_table
from submeter.errors import EXIT_FAILED, EXIT_OK
from submeter.units import UJ_PER_J, decimal

HELP = "checks the ledger's chain and its sums; names the first bad row"


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
    elif found.problem:
        print(f"NOT OK: {found.problem}")
    else:
        if joules:
            print_table(("gpu", "joules"), list(joules.items()), right=(1,))
        print(f"OK: {sum(found.rows.values())} rows, every one as it was written")
    return EXIT_FAILED if found.problem else EXIT_OK
