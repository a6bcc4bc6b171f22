"""Snapshots in, a ``.prom`` file for node_exporter's textfile collector out.

The file is the text of ``/metrics``, replaced in one step. It is removed when the agent stops, as
figures that nobody renews are no longer true; after a kill it stays, and its age is node_exporter's
``node_textfile_mtime_seconds``.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from submeter.config.kinds import absolute_path, boolean, file_mode, number
from submeter.exporting import REQUIRED, Exporter, Option, Options, Source, checked
from submeter.metrics import families
from submeter.model import Snapshot
from submeter.units import NS_PER_S
from submeter.web.http import Routes
from submeter_exporters._files import replace_file
from submeter_exporters._openmetrics import render

OPTIONS: Final = {
    "directory": Option(
        absolute_path(),
        REQUIRED,
        "Folder that node_exporter reads (--collector.textfile.directory).",
    ),
    "interval_s": Option(number(1, 3600), 15.0, "Time between two files.", "s"),
    "mode": Option(file_mode(), 0o644, "Permissions of the file; node_exporter must read it."),
    "keep": Option(boolean(), False, "Leaves the file where it is when the agent stops."),
}

FILE: Final = "submeter.prom"


def create(options: Options) -> Exporter:
    """A push exporter. Raises OptionError."""
    return Textfile(**checked("textfile", options, OPTIONS))


class Textfile:
    """Owns one file."""

    name = "textfile"

    def __init__(self, directory: Path, interval_s: float, mode: int, keep: bool) -> None:
        self.interval_ns: int | None = round(interval_s * NS_PER_S)
        self._path = directory / FILE
        self._mode = mode
        self._keep = keep

    def routes(self, _source: Source) -> Routes:
        """Nothing: it pushes."""
        return {}

    def publish(self, snapshot: Snapshot) -> None:
        """Replaces the file. Raises OSError where that can't be done."""
        replace_file(self._path, render(families(snapshot)), self._mode)

    def close(self) -> None:
        """Removes the file."""
        if not self._keep:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
