"""Traces: recordings of what sensors said, from files to records and from records to files.

Native traces keep every reading as it came (docs/trace-format.md); power logs of other tools are
imported. `open_trace` tells them apart by their content.
"""

from submeter.trace.reader import Trace, open_trace
from submeter.trace.records import Header, Record
from submeter.trace.writer import TraceWriter, create_trace

__all__ = ["Header", "Record", "Trace", "TraceWriter", "create_trace", "open_trace"]
