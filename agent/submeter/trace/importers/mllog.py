"""MLPerf Training power logs (``:::MLLOG`` lines) to samples: whole servers, one a host.

Only ``power_reading`` events count; an mllog may hold any others.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from submeter.errors import InputError
from submeter.trace.importers.sample import Importer, Notes, Sample
from submeter.trace.lines import Line
from submeter.units import NS_PER_MS

_MARK: Final = ":::MLLOG "


def matches(head: Sequence[str]) -> bool:
    """Every line of interest begins with the mark; other output may come before the first one."""
    return any(line.startswith(_MARK) for line in head)


def samples(lines: Iterable[Line], notes: Notes) -> Iterator[Sample]:
    """One sample a power reading. Raises InputError with the line."""
    for line in lines:
        if not line.whole:
            notes.cut(line.number)
            continue
        event = _event(line) if line.text.startswith(_MARK) else {}
        if event.get("key") == "conversion_eff":
            notes.add(f"the log gives a conversion efficiency of {event.get('value')}: not applied")
        if event.get("key") == "power_reading":
            yield _sample(event, line.number)


IMPORTER: Final = Importer("MLPerf", matches, samples)


def _event(line: Line) -> dict[str, Any]:
    try:
        event = json.loads(line.text.removeprefix(_MARK))
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise InputError(
            f"found {line.text[:60]!r}, expected one JSON object after {_MARK.strip()}",
            line=line.number,
        )
    return event


def _sample(event: dict[str, Any], number: int) -> Sample:
    time_ms, watts, metadata = event.get("time_ms"), event.get("value"), event.get("metadata")
    if not isinstance(time_ms, int | float) or not 0 <= time_ms < 2**53:
        raise InputError(f"found time_ms {time_ms!r}, expected ms since 1970", line=number)
    if watts is not None and not (isinstance(watts, int | float) and abs(watts) < 2**53):
        raise InputError(f"found value {watts!r}, expected watts", line=number)
    host = metadata.get("host") if isinstance(metadata, dict) else None
    values = {} if watts is None else {"instant": round(watts * 1_000)}
    labels = {"name": "server at the wall (MLPerf power log)", "scope": "node"}
    return Sample(number, str(host or "node"), round(time_ms * NS_PER_MS), values, labels)
