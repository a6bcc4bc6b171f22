"""Power logs of other tools: one file a format, chosen by the log's first lines.

An importer turns lines into `Sample`s and knows nothing of files. A new tabular log needs no
importer, only rows in the table of column names (`columns`).
"""

from collections.abc import Sequence

from submeter.trace.importers import mllog, ptdaemon, table
from submeter.trace.importers.sample import Importer, Notes, Sample

IMPORTERS: tuple[Importer, ...] = (mllog.IMPORTER, ptdaemon.IMPORTER, table.IMPORTER)
"""In the order they are asked. The last one takes everything, and explains what it expected."""

__all__ = ["IMPORTERS", "Importer", "Notes", "Sample", "choose"]


def choose(head: Sequence[str]) -> Importer:
    """The importer for a log that begins with these lines."""
    return next(importer for importer in IMPORTERS if importer.matches(head))
