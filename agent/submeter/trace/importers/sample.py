"""What every importer makes of a log: one sample per GPU and moment, in the file's own time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from submeter.trace.lines import Line


class Sample(NamedTuple):
    """One GPU (or meter) at one moment, as the log says.

    ``values`` holds integers under the names of `columns.FIELDS`; a field that is missing, empty or
    "[N/A]" is absent, never 0. ``labels`` says what is known of the device: name, uuid, index,
    pci_bus_id, scope, power_window, power.
    """

    line: int
    key: str
    time_ns: int
    values: Mapping[str, int]
    labels: Mapping[str, str]


class Notes:
    """What an importer had to decide or leave out: each text once, with how often and where first.

    ``dated`` tells whether the log's times are dates; otherwise they count from its start.
    """

    def __init__(self) -> None:
        self.dated = True
        self.truncated_at: int | None = None
        self._seen: dict[str, tuple[int, int | None]] = {}

    def add(self, text: str, line: int | None = None) -> None:
        count, first = self._seen.get(text, (0, line))
        self._seen[text] = (count + 1, first)

    def cut(self, line: int) -> None:
        """The log stops in the middle of this line."""
        self.truncated_at = line

    def texts(self) -> tuple[str, ...]:
        return tuple(_with_place(text, *place) for text, place in self._seen.items())


class _Samples(Protocol):
    def __call__(self, lines: Iterable[Line], notes: Notes) -> Iterator[Sample]: ...


@dataclass(frozen=True, slots=True)
class Importer:
    """One log format. ``samples`` raises InputError with a line; the caller knows the file."""

    name: str
    matches: Callable[[Sequence[str]], bool]
    samples: _Samples


def _with_place(text: str, count: int, first: int | None) -> str:
    if first is None:
        return text
    return f"{text} (line {first})" if count == 1 else f"{text} ({count} times, first line {first})"
