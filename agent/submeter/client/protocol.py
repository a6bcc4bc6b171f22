"""What is said on the agent's socket: one JSON object a line, at most 4 KiB, both ways.

A job says ``{"phase": "training"}`` or ``{"workload": "name"}`` (an empty text takes it back), for
itself or, with ``"pid"``, for another process of its own user. There is an answer only to
``"reply": true`` and to a question: ``{"ask": "gpus"}``, ``{"ask": "used", "workload": "name"}``,
``{"ask": "page"}`` (with a descriptor beside it, see `submeter.client.page`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MAX_FRAME: Final = 4096
"""Bytes of one line, its end included."""
PHASES: Final = ("training", "inference", "other")
MAX_WORKLOAD: Final = 64
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
