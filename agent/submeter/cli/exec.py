"""``submeter exec``: a command in, the command run as it is, and what the GPUs used meanwhile out.

Signals go to the command, its exit code is passed on. What is measured are whole GPUs (those in
CUDA_VISIBLE_DEVICES); with an agent and ``--workload`` also what the agent booked to that name.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from submeter.cli._options import examples
from submeter.client.protocol import PHASES
from submeter.errors import InputError

if TYPE_CHECKING:
    from submeter.runtime.execution import Outcome

HELP = "run a command and tell what its GPUs used"

DEFAULT_GRAMS_PER_KWH: Final = 475.0
"""The mean of the world that codecarbon 3.3 falls back to where it knows no country."""
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_J_PER_KWH: Final = 3_600_000


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phase", choices=PHASES, help="what the command uses GPUs for")
    parser.add_argument("--workload", metavar="NAME", help="name to book its energy under")
    parser.add_argument("--json", metavar="FILE", type=Path, help="what it used, for machines")
    parser.add_argument(
        "--carbon",
        metavar="G_PER_KWH",
        type=float,
        default=DEFAULT_GRAMS_PER_KWH,
        help=f"gCO2e per kWh (default {DEFAULT_GRAMS_PER_KWH:g}, the world's mean)",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD…")
    examples(
        parser,
        "submeter exec -- python train.py",
        "submeter exec --phase training --workload nightly --json used.json -- python train.py",
    )


def run(arguments: argparse.Namespace) -> int:
    from submeter.runtime.execution import execute

    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise InputError("expected a command: submeter exec -- CMD…")
    if not (math.isfinite(arguments.carbon) and arguments.carbon >= 0):
        raise InputError("--carbon must be a number of grams, 0 or more")
    try:
        outcome = execute(command, phase=arguments.phase or "", workload=arguments.workload or "")
    except ValueError as error:
        raise InputError(f"--workload: {error}") from error
    except FileNotFoundError:
        print(f"submeter: {command[0]}: no such command", file=sys.stderr)
        return _NOT_FOUND
    except OSError as error:
        print(f"submeter: {command[0]}: {error.strerror}", file=sys.stderr)
        return _NOT_EXECUTABLE
    grams = outcome.joules / _J_PER_KWH * arguments.carbon
    _tell(outcome, grams, arguments.carbon)
    if arguments.json is not None:
        fields = {**outcome.fields(), "carbon_g": None if math.isnan(grams) else grams}
        arguments.json.write_text(json.dumps(fields, indent=2) + os.linesep)
    return outcome.exit_code


def _tell(outcome: "Outcome", grams: float, grams_per_kwh: float) -> None:
    lines = outcome.lines()
    if not math.isnan(outcome.joules):
        whose = "--carbon"
        if grams_per_kwh == DEFAULT_GRAMS_PER_KWH:
            whose = "the world's mean; yours with --carbon"
        lines.append(f"  {grams:.4g} gCO2e at {grams_per_kwh:g} g/kWh ({whose})")
    print("\n".join(lines), file=sys.stderr)
