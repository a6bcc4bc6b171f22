"""Readings and snapshots in, Parquet files for research out: every value the sensors gave, once.

Series of files: ``readings-TIME.parquet`` has a row for each reading of each GPU,
``energy-TIME.parquet`` the total of each account at each settled moment, in integer microjoules,
and ``work-TIME.parquet`` how much each workload that tells has done by then.
pyarrow takes 60 MB, so it lives in a child process. That also ends its files properly when the
agent is killed: it sees the end of its input.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from submeter.config.kinds import absolute_path, file_mode, integer, number
from submeter.errors import SubmeterError
from submeter.exporting import REQUIRED, Exporter, Option, Options, Source, checked, needs
from submeter.model import Owner, Reading, Snapshot
from submeter.text import printable
from submeter.units import NS_PER_S
from submeter.web.http import Routes

OPTIONS: Final = {
    "directory": Option(absolute_path(), REQUIRED, "Folder of the files; it must be there."),
    "interval_s": Option(number(1, 600), 10.0, "Time between two writes.", "s"),
    "file_minutes": Option(
        number(0.1, 1440), 10.0, "Length of a file; one is readable when it is complete.", "minutes"
    ),
    "files": Option(integer(1, 1_000_000), 1008, "Complete files kept of each series."),
    "mode": Option(file_mode(), 0o640, "Permissions of the files."),
}

_READINGS: Final = 1 << 17  # kept while the child can't take them
_END_S: Final = 5.0


def create(options: Options) -> Exporter:
    """A push exporter. Raises OptionError, and InputError where its extra is not installed."""
    values = checked("parquet", options, OPTIONS)
    needs("parquet", "parquet", "pyarrow")
    return Parquet(**values)


class Parquet:
    """Owns the child process, and what it has not been given yet."""

    name = "parquet"

    def __init__(self, directory: Path, interval_s: float, **about_files: float) -> None:
        self.interval_ns: int | None = round(interval_s * NS_PER_S)
        self._settings = {"directory": str(directory), **about_files}
        self._readings: list[tuple[str, Reading]] = []
        self._child: subprocess.Popen[bytes] | None = None

    def routes(self, _source: Source) -> Routes:
        """Nothing: it pushes."""
        return {}

    def trace(self, readings: Sequence[tuple[str, Reading]]) -> None:
        """Keeps readings until the next `publish`."""
        self._readings.extend(readings)

    def publish(self, snapshot: Snapshot) -> None:
        """Has all of it written. Raises OSError or SubmeterError where that can't be done; readings
        are then kept for the next time, as many as there is room for."""
        try:
            self._write({"about": _about(snapshot), **_energy(snapshot)})
            if snapshot.done:
                self._write({"about": _about(snapshot), **_work(snapshot)})
            self._write({"about": _about(snapshot), **_traced(self._readings, snapshot)})
        except (OSError, SubmeterError):
            del self._readings[:-_READINGS]
            self._end()
            raise
        self._readings = []

    def close(self) -> None:
        """Ends the child, which completes its files."""
        self._end()

    def _write(self, frame: Mapping[str, Any]) -> None:
        child = self._child = self._child or _started(self._settings)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(frame, separators=(",", ":")).encode() + b"\n")
        child.stdin.flush()
        answer = child.stdout.readline().decode(errors="replace").strip()
        if answer != "ok":
            raise SubmeterError(answer or "the process that writes Parquet files has ended")

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _started(settings: Mapping[str, object]) -> "subprocess.Popen[bytes]":
    # A session of its own: a Ctrl-C in the agent's terminal is not meant for it.
    return subprocess.Popen(  # noqa: S603  our own module, with no shell
        [sys.executable, "-m", "submeter_exporters._parquet_writer", json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _about(snapshot: Snapshot) -> dict[str, str | int]:
    return {
        "wall_ns": snapshot.wall_ns,
        "submeter_version": snapshot.version,
        "submeter_backend": snapshot.backend,
        "submeter_notice": snapshot.notice,
    }


def _energy(snapshot: Snapshot) -> dict[str, Any]:
    rows = snapshot.energy_uj.items()
    count = len(rows)
    owners = [account.owner for account, _ in rows]
    return {
        "series": "energy",
        "columns": {
            "wall_ns": [snapshot.wall_ns] * count,
            "boottime_ns": [snapshot.boottime_ns] * count,
            "uuid": [account.gpu_uuid for account, _ in rows],
            "mig": [account.mig for account, _ in rows],
            "component": [account.component for account, _ in rows],
            **_named(owners),
            "energy_uj": [energy_uj for _, energy_uj in rows],
        },
    }


def _work(snapshot: Snapshot) -> dict[str, Any]:
    rows = snapshot.done.items()
    return {
        "series": "work",
        "columns": {
            "wall_ns": [snapshot.wall_ns] * len(rows),
            "boottime_ns": [snapshot.boottime_ns] * len(rows),
            **_named([owner for (owner, _), _ in rows]),
            "unit": [unit for (_, unit), _ in rows],
            "amount": [amount for _, amount in rows],
        },
    }


def _named(owners: Sequence[Owner]) -> dict[str, list[str]]:
    return {name: [printable(getattr(owner, name)) for owner in owners] for name in Owner._fields}


def _traced(readings: Sequence[tuple[str, Reading]], snapshot: Snapshot) -> dict[str, Any]:
    offset_ns = snapshot.wall_ns - snapshot.boottime_ns
    named = {
        name: [reading[place] for _, reading in readings]
        for place, name in enumerate(Reading._fields)
        if name != "at_ns"
    }
    return {
        "series": "readings",
        "columns": {
            "wall_ns": [reading.at_ns + offset_ns for _, reading in readings],
            "boottime_ns": [reading.at_ns for _, reading in readings],
            "uuid": [uuid for uuid, _ in readings],
            **named,
        },
    }
