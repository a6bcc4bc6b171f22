"""A changed configuration in, the same process begun anew with it out; or a complaint.

Reloading is a clean end and a new beginning in one process (execve(2)): the ledger is closed and
goes on, the PID stays, and what the GPUs used in the half second between is booked as the agent
being down. A configuration that could not be started with changes nothing.
"""

import os
import sys
from collections.abc import Callable

from submeter.config import Config
from submeter.errors import SubmeterError
from submeter.exporting import load as load_exporter
from submeter.metrics.budget import doubt
from submeter.model import Snapshot
from submeter.runtime.assembly import backend_of, clock_of
from submeter.runtime.footprint import rows_of

Reload = Callable[[], Config]
"""Reads the configuration again, as the command line gave it. Raises SubmeterError."""


def refusal(reload: Reload, now: Snapshot | None = None) -> str:
    """Why the agent could not be started with what is configured now; "" where it could. What is
    measured ``now`` may tell more than a configuration does by itself."""
    try:
        config = reload()
        backend_of(config, clock_of(config))
        rows_of(config)
        for name, options in config.exporters.items():
            load_exporter(name, options).close()
        said = "" if now is None else doubt(config.node.power_budget_mw, now.gpus)
        if said:
            raise config.error("node.power_budget_watts", said)
    except SubmeterError as error:
        return str(error)
    return ""


def begin_anew() -> None:
    """Becomes a new process of the same command line and PID. Doesn't return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  no shell is meant
