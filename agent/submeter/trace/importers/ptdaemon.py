"""SPEC PTDaemon power logs (spl.txt) to samples: a whole server, measured at the wall.

Lines are ``Time,07-17-2024 20:49:56.945,Watts,2511.1,Volts,…``; the first Watts is the sum of the
analyser's channels. Analysers report the mean over the logging interval (SPEC PTDaemon: "average").
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from submeter.errors import InputError
from submeter.trace.importers.sample import Importer, Notes, Sample
from submeter.trace.importers.values import clock_ns, day_ns, parse_value
from submeter.trace.lines import Line

_ROW: Final = re.compile(
    r"Time,(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?,Watts,([^,]*)(?:,.*)?"
)
_LABELS: Final = {"name": "server at the wall", "scope": "node", "power_window": "1s"}


def matches(head: Sequence[str]) -> bool:
    """PTDaemon's lines begin with the word Time and have Watts in them."""
    return bool(head) and head[0].startswith("Time,") and ",Watts," in head[0]


def samples(lines: Iterable[Line], notes: Notes) -> Iterator[Sample]:
    """One sample a line. Raises InputError with the line."""
    notes.add("dates without a time zone: taken as UTC")
    for line in lines:
        if not line.whole:
            notes.cut(line.number)
        elif line.text.strip():
            yield _sample(line)


IMPORTER: Final = Importer("PTDaemon", matches, samples)


def _sample(line: Line) -> Sample:
    match = _ROW.fullmatch(line.text.strip())
    if match is None:
        raise InputError(
            f"found {line.text[:60]!r}, expected Time,MM-DD-YYYY hh:mm:ss.mmm,Watts,…",
            line=line.number,
        )
    try:
        midnight_ns = day_ns(int(match[3]), int(match[1]), int(match[2]))
        watts = parse_value(match[8].strip(), "w")
    except ValueError as error:
        raise InputError(str(error), line=line.number) from None
    values = {} if watts is None else {"average": watts}
    return Sample(
        line.number, "node", midnight_ns + clock_ns(*match.group(4, 5, 6, 7)), values, _LABELS
    )
