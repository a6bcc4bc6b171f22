"""Which modules take a surface's bytes: those are instrumented, and what is fuzzed is them.

More would only be slower: every branch and every comparison of an instrumented module is a call
into libFuzzer. What a parser is now is told by ``version``: inputs that an earlier one had don't
count for it. What is done with a value once there is one (a process's words are judged) leads the
search as well, but may change without beginning anew. Libraries (h11, tomllib, PyYAML) are run, not
instrumented: they are fuzzed where they are made.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import submeter

_PACKAGE: Final = Path(submeter.__file__).parent
_CONFIG: Final = ("config.layers", "config.settings", "config.kinds", "toml_lines")
_JUDGES: Final = (
    *("workloads.modes", "workloads.names", "workloads.naming", "workloads.signs"),
    *("workloads.recognise", "workloads.weighing"),
)
_READERS: Final = ("ledger.audit", "ledger.chains", "ledger.reader")  # rows have their own surface

PARSERS: Final[Mapping[str, tuple[str, ...]]] = {
    "configuration": _CONFIG,
    "override": _CONFIG,
    "rules": ("workloads.operator", *_CONFIG),
    "web_config": ("web.webconfig",),
    "scenario": ("backends.mock.scenario", "backends.mock.fields", "toml_lines"),
    "trace": ("trace",),
    "power_log": ("trace",),
    "factors": ("footprint.table", "footprint.tariff", "toml_lines"),
    "proc_stat": ("workloads.procfs",),
    "proc_cmdline": ("workloads.procfs", "workloads.command"),
    "proc_cgroup": ("workloads.placement",),
    "proc_tables": ("workloads.procfs", "workloads.slurm"),
    "classify_line": ("workloads.described",),
    "pod_resources": ("workloads.podresources",),
    "kubelet_file": ("workloads.pods", "workloads.containers", "workloads.files"),
    "label_socket": ("runtime.labels", "client.protocol"),
    "level_page": ("client.page",),
    "http": ("web.connection", "web.desk", "web.http", "web.wire"),
    "http_headers": ("web.negotiation", "web.login"),
    "server_metrics": ("throughput.pages",),
    "electricity_maps": ("footprint.live",),
    "prometheus_api": ("reports._server",),
    "ledger_row": ("ledger.rows",),
    "ledger_texts": ("ledger.counts", "ledger.states"),
    "ledger_log": ("ledger.log",),
    "ledger_file": _READERS,
}
"""Modules or packages of submeter by the surface's name."""

_BEYOND: Final[Mapping[str, tuple[str, ...]]] = {
    "proc_cmdline": _JUDGES,
    "proc_cgroup": ("workloads.naming",),
    "classify_line": ("workloads.command", *_JUDGES),
}
"""What they do with what they made of the bytes."""


def modules() -> list[str]:
    """Every module of submeter."""
    names = (path.relative_to(_PACKAGE).with_suffix("").parts for path in _PACKAGE.rglob("*.py"))
    return sorted(".".join(("submeter", *parts)).removesuffix(".__init__") for parts in names)


def others(surface: str) -> list[str]:
    """Those that aren't the surface's."""
    return [name for name in modules() if not any(map(name.startswith, _prefixes(surface)))]


@cache
def version(surface: str) -> str:
    """Of the code of a surface's parser: another one once that changes, comments aside."""
    digest = hashlib.sha256()
    for path in _files(surface):
        digest.update(_code(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:12]


def _prefixes(surface: str) -> list[str]:
    return [f"submeter.{name}" for name in (*PARSERS[surface], *_BEYOND.get(surface, ()))]


def _files(surface: str) -> Iterator[Path]:
    for name in PARSERS[surface]:
        path = _PACKAGE.joinpath(*name.split("."))
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _code(text: str) -> str:
    """Without comments and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(...)
    return ast.unparse(tree)
