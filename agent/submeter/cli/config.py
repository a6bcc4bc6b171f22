"""``submeter config``: a file in, whether it is right out; or what is in effect, and why."""

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import print_json, print_table
from submeter.config import Address, Config, load
from submeter.config.notation import value_text
from submeter.config.reference import commented_toml, markdown
from submeter.config.schema import EXPORTERS, KEYS, Origin
from submeter.errors import EXIT_OK
from submeter.exporting import check as check_exporter
from submeter.exporting import placed
from submeter.footprint.sources import check

HELP = "check a configuration file, or show what is in effect"

_FORMATS = {"markdown": markdown, "toml": commented_toml}
_HIDDEN = "(hidden)"
_SECRET_WORDS = ("password", "token", "secret", "authorization", "credential", "api_key", "headers")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds ``check``, ``show`` and ``docs``."""
    examples(parser, "submeter config check /etc/submeter.toml", "submeter config show")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    checking = actions.add_parser("check", help="check a file: OK, or the error and exit code 2")
    checking.add_argument("file", metavar="F", help="configuration file (TOML)")
    checking.set_defaults(action=_check)
    examples(checking, "submeter config check deploy/submeter.toml")

    show = actions.add_parser("show", help="every key, its value in effect and where it was set")
    add_common(show)
    show.add_argument("--json", action="store_true", help="as JSON, by dotted key")
    show.set_defaults(action=_show)
    examples(show, "SUBMETER_SAMPLING__RATE_HZ=50 submeter config show --listen 127.0.0.1:9999")

    docs = actions.add_parser("docs", help="the reference of all keys, for the documentation")
    docs.add_argument("--format", choices=_FORMATS, default="markdown", help="default: markdown")
    docs.set_defaults(action=_docs)
    examples(docs, "submeter config docs --format toml > submeter.toml")


def run(arguments: argparse.Namespace) -> int:
    """Runs the chosen action."""
    code: int = arguments.action(arguments)
    return code


def _check(arguments: argparse.Namespace) -> int:
    # The file alone is judged, not what this shell's environment adds to it.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SUBMETER")}
    config = load(arguments.file, (), ours)
    check(config)
    for name, options in config.exporters.items():
        with placed(config, name):
            check_exporter(name, options)
    print("OK")
    return EXIT_OK


def _show(arguments: argparse.Namespace) -> int:
    shown = list(_effective(settings(arguments)))
    if arguments.json:
        print_json({each.key: {"value": each.json, "source": str(each.origin)} for each in shown})
    else:
        rows = [(each.key, each.text, each.origin) for each in shown]
        print_table(("key", "value", "source"), rows)
    return EXIT_OK


def _docs(arguments: argparse.Namespace) -> int:
    print(_FORMATS[arguments.format](), end="")
    return EXIT_OK


class _Shown(NamedTuple):
    key: str
    value: object
    origin: Origin

    @property
    def text(self) -> str:
        return _HIDDEN if self._is_secret else value_text(self.value)

    @property
    def json(self) -> object:
        if self._is_secret:
            return _HIDDEN
        return str(self.value) if isinstance(self.value, Address) else self.value

    @property
    def _is_secret(self) -> bool:
        """Options of an exporter that are better not shown, by name; a file's name may be."""
        key = self.key.lower()
        return not key.endswith("_file") and any(word in key for word in _SECRET_WORDS)


def _effective(config: Config) -> Iterator[_Shown]:
    for key in KEYS:
        section, _, name = key.rpartition(".")
        owner = getattr(config, section) if section else config
        yield _Shown(key, getattr(owner, name), config.origin(key))
    for name, options in config.exporters.items():
        yield from _options(config, f"{EXPORTERS}.{name}", options)


def _options(config: Config, key: str, value: object) -> Iterator[_Shown]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _options(config, f"{key}.{name}", item)
    else:
        yield _Shown(key, value, config.origin(key))
