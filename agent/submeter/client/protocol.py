"""What is said on the agent's socket: one JSON object a line, at most 4 KiB, both ways.

A job says ``{"phase": "training"}`` or ``{"workload": "name"}`` (an empty text takes it back), for
itself or, with ``"pid"``, for another process of its own user. ``{"done": {"tokens": 8192}}`` is
all the work that the process itself has done so far. There is an answer only to ``"reply": true``
and to a question: ``{"ask": "gpus"}``, ``{"ask": "used", "workload": "name"}``, ``{"ask": "page"}``
(with a descriptor beside it, see `submeter.client.page`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from submeter.units import MOST_WORK, is_unit

MAX_FRAME: Final = 4096
"""Bytes of one line, its end included."""
PHASES: Final = ("training", "inference", "other")
MAX_WORKLOAD: Final = 64
MOST_UNITS: Final = 8
"""So many kinds of work may one process count."""
SOCKET_NAME: Final = "submeter.sock"
SYSTEM_SOCKET: Final = Path("/run/submeter", SOCKET_NAME)
SOCKET_ENV: Final = "SUBMETER_SOCKET"


def frame(fields: Mapping[str, object]) -> bytes:
    """One line."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def addresses(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where an agent may listen: what SUBMETER_SOCKET says, else the system's, else the user's."""
    given = environ.get(SOCKET_ENV)
    if given is not None:
        return (given,) if given else ()
    home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return (os.fspath(SYSTEM_SOCKET), f"{home}/submeter/{SOCKET_NAME}")


def checked_units(units: Mapping[str, int] | int) -> dict[str, int]:
    """So much work by unit; a bare number is of ``units``. Raises ValueError for what is no name
    (a lower-case word), no amount (a whole number from 0 on), or more than `MOST_UNITS`."""
    if not isinstance(units, Mapping):
        units = {"units": units}
    for unit, amount in units.items():
        if not is_unit(unit):
            raise ValueError(f"a unit must be a lower-case word, such as tokens, not {unit!r}")
        if type(amount) is not int or not 0 <= amount < MOST_WORK:
            raise ValueError(f"so many {unit} must be a whole number, not {amount!r}")
    if len(units) > MOST_UNITS:
        raise ValueError(f"expected at most {MOST_UNITS} units, found {len(units)}")
    return dict(units)


def checked_phase(phase: str) -> str:
    """The phase; "" takes a declaration back. Raises ValueError for any other word."""
    if phase and phase not in PHASES:
        raise ValueError(f"phase must be one of {', '.join(PHASES)}, not {phase!r}")
    return phase


def checked_workload(name: str) -> str:
    """The name, cut to what is kept of it. Raises ValueError for what is no printable text."""
    if not isinstance(name, str) or not name.isprintable():
        raise ValueError(f"a workload's name must be printable text, not {name!r}")
    return name[:MAX_WORKLOAD]
