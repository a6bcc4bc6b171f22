"""A report in, bytes for people or machines out: one module a format, found by its name.

A presentation is a module of this package without a leading underscore that defines

    SUFFIX                          of files of that format, for people who name none
    render(report, colour=False, width=None)    the whole output; only a terminal asks for colour,
                                                and for lines that fit into its width

and, where its output is nothing for a terminal, ``BINARY = True``. Nothing else registers it.
"""

import importlib
import pkgutil
from difflib import get_close_matches
from typing import Protocol, cast

from submeter.errors import InputError
from submeter.reports.record import Report


class Presentation(Protocol):
    """What a module of this package offers."""

    SUFFIX: str

    def render(self, report: Report, *, colour: bool = False, width: int | None = None) -> bytes:
        """The report in this format, complete."""
        ...


def available() -> tuple[str, ...]:
    """The names of all formats."""
    modules = pkgutil.iter_modules(__path__)
    return tuple(sorted(module.name for module in modules if not module.name.startswith("_")))


def load(name: str) -> Presentation:
    """The format of that name. Raises InputError where there is none."""
    names = available()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"--format: expected {', '.join(names)}; found {name!r}{hint}")
    return cast("Presentation", importlib.import_module(f"{__name__}.{name}"))
