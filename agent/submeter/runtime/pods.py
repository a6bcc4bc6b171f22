"""Names of pods, kept fresh beside everything else: the kubelet may be slow to answer."""

import threading
from typing import Final

from submeter.workloads.pods import PodNames

_PERIOD_S: Final = 30.0
_SOONEST_S: Final = 1.0
_STOP_S: Final = 3.0


class PodWatch:
    """Owns the thread that refreshes them: every half minute, or a second after somebody asked
    for a pod that isn't known."""

    def __init__(self, names: PodNames) -> None:
        self._names = names
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
            if left_s <= 0 or self._names.wanted:
                self._names.refresh()
                left_s = _PERIOD_S
            self._stopping.wait(_SOONEST_S)
            left_s -= _SOONEST_S
