"""Simulated boards with known truth: a scenario in, everything a node's sensors would say out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from submeter.backends.mock.backend import MockBackend
from submeter.backends.mock.fields import Table
from submeter.backends.mock.scenario import built_in, load
from submeter.clock import Clock
from submeter.errors import InputError

__all__ = ["MockBackend", "built_in", "create"]

_OPTIONS: Final = ("scenario",)


def create(clock: Clock, options: Mapping[str, object]) -> MockBackend:
    """The simulated node of ``options["scenario"]``: a file, a built-in name, or None: the demo.

    Raises InputError where the scenario or an option is wrong.
    """
    for option in options:
        if option not in _OPTIONS:
            raise InputError(
                f"backend mock: unknown option {option!r}{Table.suggest(option, _OPTIONS)}"
            )
    scenario = options.get("scenario")
    if scenario is not None and not isinstance(scenario, str | Path):
        raise InputError(f"backend mock: scenario: found {scenario!r}, expected a file")
    return MockBackend(load(scenario or None), clock)
