"""Names of pods, containers and jobs, kept fresh beside everything else: whoever knows them may be
slow to answer."""

import threading
from collections.abc import Sequence
from typing import Final, Protocol

_PERIOD_S: Final = 30.0
_SOONEST_S: Final = 1.0
_STOP_S: Final = 3.0


class Names(Protocol):
    """What knows names, and where from."""

    @property
    def wanted(self) -> bool:
        """Whether somebody asked for one that isn't known."""
        ...

    def refresh(self) -> bool:
        """Asks again; whether anything is known now that wasn't. May be slow."""
        ...


class PodWatch:
    """Owns the thread that refreshes them: every half minute, or a second after somebody asked
    for a name that isn't known."""

    def __init__(self, *names: Names) -> None:
        self._names: Sequence[Names] = names
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="pods", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def _main(self) -> None:
        left_s = 0.0
        while not self._stopping.is_set():
            for names in self._names:
                if left_s <= 0 or names.wanted:
                    names.refresh()
            left_s = _PERIOD_S if left_s <= 0 else left_s
            self._stopping.wait(_SOONEST_S)
            left_s -= _SOONEST_S
