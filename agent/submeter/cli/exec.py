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
from submeter.cli.output import printable
from submeter.client.protocol import PHASES
from submeter.columns import columns
from submeter.errors import InputError

if TYPE_CHECKING:
    from submeter.runtime.execution import Outcome

HELP = "run a command and tell what its GPUs used"
ABOUT = """
Runs a command as it is and says on stderr what the GPUs used meanwhile. Signals go to the
command, and its exit status is passed on (126: can't be executed, 127: not found). Without an
agent the GPUs' own counters are read; with one and --workload, what it booked to that name is
told as well.
"""

DEFAULT_GRAMS_PER_KWH: Final = 475.0
"""The mean of the world that codecarbon 3.3 falls back to where it knows no country."""
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_J_PER_WH: Final = 3_600
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
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CMD…", help="the command and its arguments"
    )
    parser.usage = "%(prog)s [options] -- CMD…"
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
    if arguments.json is not None:
        _check_writable(arguments.json)
    try:
        outcome = execute(command, phase=arguments.phase or "", workload=arguments.workload or "")
    except ValueError as error:
        raise InputError(f"--workload: {error}") from error
    except FileNotFoundError:
        _say([f"{command[0]}: no such command"])
        return _NOT_FOUND
    except OSError as error:
        _say([f"{command[0]}: {error.strerror}"])
        return _NOT_EXECUTABLE
    grams = outcome.joules / _J_PER_KWH * arguments.carbon
    _say(_summary(outcome, grams, arguments.carbon, arguments.workload or ""))
    if arguments.json is not None:
        fields = {**outcome.fields(), "carbon_g": None if math.isnan(grams) else grams}
        _write(arguments.json, json.dumps(fields, indent=2) + os.linesep)
    return outcome.exit_code


def _summary(outcome: "Outcome", grams: float, g_per_kwh: float, workload: str) -> list[str]:
    """What people want to know: a line like that of `time`, and where it comes from."""
    if math.isnan(outcome.joules):
        return [f"{outcome.seconds:.2f} s; no GPU could be measured: `submeter doctor` says why"]
    joules, seconds = outcome.joules, outcome.seconds
    notice = [f"  {outcome.notice}"] if outcome.notice else []
    lines = [
        f"{_joules(joules)} ({joules / _J_PER_WH:.4g} Wh) in {seconds:.2f} s, mean "
        f"{outcome.mean_w:,.1f} W, peak {outcome.peak_sum_w:,.1f} W",
        *notice,
    ]
    rows = [
        (
            f"GPU {outcome.number.get(uuid, '?')}",
            _joules(used),
            f"mean {used / seconds:,.1f} W",
            f"peak {outcome.peak_w.get(uuid, math.nan):,.1f} W",
            uuid,
        )
        for uuid, used in outcome.per_gpu.items()
    ]
    lines += [f"  {line}" for line in columns(rows, (1, 2, 3))]
    if outcome.booked_joules is not None:
        lines.append(f"  {_joules(outcome.booked_joules)} of it booked to {workload}, by the agent")
    which = (
        "the world's mean; yours with --carbon" if g_per_kwh == DEFAULT_GRAMS_PER_KWH else "given"
    )
    lines.append(f"  {grams:.4g} gCO2e at {g_per_kwh:g} g/kWh ({which})")
    whose = "the agent's" if outcome.source == "agent" else "NVML's"
    lines.append(f"  whole GPUs, by {whose} counters, whoever else was on them; sensor about ±5 %")
    return lines


def _joules(joules: float) -> str:
    """Tenths, or as many digits as say something of a little."""
    return f"{joules:,.1f} J" if joules >= 1 or not joules else f"{joules:.3g} J"


def _say(lines: list[str]) -> None:
    try:
        print("submeter: " + "\n".join(map(printable, lines)), file=sys.stderr)
    except OSError:
        return  # nobody listens; the command's exit status is what counts


def _check_writable(path: Path) -> None:
    """Raises InputError before anything is run, not after it has run for days."""
    folder = path.parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"--json: {path} can't be written: is {folder} there, and yours?")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        _say([f"--json: {path}: {error.strerror}"])
