"""What this process has done in, one line to the agent with all of it so far out.

Totals are said, never what was added: a line that is lost, or said twice, changes nothing.
"""

import os
from collections.abc import Iterable, Mapping
from threading import Lock

from submeter.client.labels import greeting
from submeter.client.link import link
from submeter.client.protocol import frame


class Work:
    """Totals of this process, by unit. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._totals: dict[str, int] = {}

    def begin(self, units: Iterable[str]) -> None:
        """Says that these are counted from now on, before any of it is done."""
        with self._lock:
            if not self._totals.keys() >= set(units):
                self._totals.update({unit: 0 for unit in units if unit not in self._totals})
                self._say()

    def add(self, done: Mapping[str, int]) -> None:
        """Says that so much was done."""
        with self._lock:
            for unit, amount in done.items():
                self._totals[unit] = self._totals.get(unit, 0) + amount
            self._say()

    def forget(self) -> None:
        """In a forked child, which has done nothing yet."""
        self._lock = Lock()
        self._totals = {}

    def _say(self) -> None:
        line = frame({"done": self._totals})
        link().send(line, greeting=(*greeting(), line))


work = Work()
os.register_at_fork(after_in_child=work.forget)
