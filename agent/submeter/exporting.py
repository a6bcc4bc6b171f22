"""An exporter's name and options in, the exporter out; what the agent and exporters agree on.

A built-in exporter is a module of ``submeter_exporters``; another distribution offers one through
the entry-point group ``submeter.exporters``. Both are a function ``create(options)``. The agent
imports neither before it is asked to.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Final, Protocol

from submeter.errors import InputError
from submeter.model import Snapshot
from submeter.web.http import Routes

BUILT_IN: Final = "submeter_exporters"
GROUP: Final = "submeter.exporters"

Source = Callable[[], Snapshot | None]
"""The newest snapshot; None before the first one."""

Options = Mapping[str, object]


class Exporter(Protocol):
    """One way out of the agent. Snapshots are cumulative: skipping some loses nothing.

    A pull exporter has routes, a push exporter an interval; one may have both.
    """

    name: str
    interval_ns: int | None
    """How often `publish` is to be called; None: never."""

    def routes(self, source: Source) -> Routes:
        """What it serves over HTTP; nothing for a pure push exporter."""
        ...

    def publish(self, snapshot: Snapshot) -> None:
        """Sends or writes a snapshot. May be slow: it has a thread of its own. Raises OSError or
        SubmeterError when that fails; the next one is tried all the same."""
        ...

    def close(self) -> None:
        """Lets go of what it holds. Never raises."""
        ...


Create = Callable[[Options], Exporter]


def available() -> tuple[str, ...]:
    """Names of all exporters there are, sorted; built-in modules and installed plug-ins."""
    return tuple(sorted({*_built_in(), *_plug_ins()}))


def load(name: str, options: Options) -> Exporter:
    """The exporter of that name, ready to be used.

    Raises InputError for an unknown name or for options it doesn't take.
    """
    return _factory(name)(options)


def check_options(name: str, options: Options, known: Collection[str]) -> None:
    """For exporters: raises InputError if there is an option that isn't known."""
    for option in options:
        if option not in known:
            near = get_close_matches(option, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InputError(f"exporter {name} has no option {option!r}: {takes}{hint}")


def _factory(name: str) -> Create:
    if name in _built_in():
        module = importlib.import_module(f"{BUILT_IN}.{name}")
        create: Create = module.create
        return create
    plug_ins = _plug_ins()
    if name not in plug_ins:
        raise InputError(f"unknown exporter {name!r}; there are {', '.join(available())}")
    return plug_ins[name]()


def _built_in() -> list[str]:
    spec = find_spec(BUILT_IN)
    paths = None if spec is None else spec.submodule_search_locations
    if paths is None:
        return []
    return [module.name for module in pkgutil.iter_modules(paths) if module.name[0] != "_"]


def _plug_ins() -> Mapping[str, Callable[[], Create]]:
    from importlib.metadata import entry_points  # here: 4 MB that most agents never need

    return {entry.name: entry.load for entry in entry_points(group=GROUP)}
