"""What commands have in common: flags that are short for configuration keys, and examples.

A flag is a spelled-out ``--set``: ``--listen X`` is ``--set web.listen=X``. Both are kept in the
order of the command line, and the last one wins.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from submeter.config import Config, Override, load, parse_override


class _Flag(NamedTuple):
    key: str
    help: str
    metavar: str | None = None  # None: a switch


FLAGS: Final[Mapping[str, _Flag]] = {
    "--backend": _Flag("backend", "where readings come from", "nvml|mock|replay"),
    "--listen": _Flag("web.listen", "address to serve on", "HOST:PORT"),
    "--state-dir": _Flag("state_dir", "folder of the ledger", "D"),
    "--require-gpu": _Flag("require_gpu", "exit 69 where there is no usable GPU or driver"),
    "--scenario": _Flag("mock.scenario", "scenario of the simulated node", "F"),
    "--trace": _Flag("replay.trace", "recording to play", "F"),
    "--speed": _Flag("replay.speed", "how many times as fast to play it", "X"),
}


def add_common(parser: argparse.ArgumentParser, *flags: str) -> None:
    """Adds ``--config``, ``--set`` and the named flags (every one of `FLAGS` if none is named)."""
    group = parser.add_argument_group("configuration")
    group.add_argument("--config", metavar="F", help="configuration file (TOML)")
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        dest="overrides",
        type=parse_override,
        help="any configuration key; may be repeated, and the last one of a key wins",
    )
    for name in flags or FLAGS:
        _add_flag(group, name)


def settings(
    arguments: argparse.Namespace,
    before: Sequence[Override] = (),
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The effective configuration of a command that has `add_common`'s arguments.

    ``before`` is what the command itself sets: it wins over file and environment, the command
    line wins over it. Raises InputError.
    """
    environ = os.environ if environ is None else environ
    return load(arguments.config, (*before, *(arguments.overrides or ())), environ)


def examples(parser: argparse.ArgumentParser, *lines: str) -> None:
    """Ends the command's ``--help`` with these examples."""
    heading = "example:" if len(lines) == 1 else "examples:"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n  ".join([heading, *lines])


def _add_flag(group: argparse._ArgumentGroup, name: str) -> None:
    flag = FLAGS[name]
    about = f"{flag.help} (short for --set {flag.key}=…)"
    if flag.metavar is None:
        switch = Override(flag.key, "true", name)
        group.add_argument(name, action="append_const", const=switch, dest="overrides", help=about)
    else:
        group.add_argument(
            name,
            metavar=flag.metavar,
            action="append",
            dest="overrides",
            type=lambda text: Override(flag.key, text, name),
            help=about,
        )
