"""An exporter and the newest snapshot in, snapshots pushed at its pace out.

Each has a thread of its own: one that is slow, hangs or fails harms nobody else.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from submeter.errors import SubmeterError
from submeter.exporting import Exporter
from submeter.model import Snapshot
from submeter.units import NS_PER_S

_log = logging.getLogger(__name__)

_LAST_PUSH_S: Final = 2.0


class Pusher:
    """Owns one exporter's thread. `up` says whether its last push went through."""

    def __init__(
        self, exporter: Exporter, interval_ns: int, source: Callable[[], Snapshot | None]
    ) -> None:
        self.up = True
        self._exporter = exporter
        self._interval_s = interval_ns / NS_PER_S
        self._source = source
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._main, name=f"push-{exporter.name}", daemon=True
        )

    @property
    def name(self) -> str:
        """The exporter's name."""
        return self._exporter.name

    def start(self) -> None:
        self._thread.start()

    def stop(self, last: Snapshot | None) -> None:
        """Ends the thread and pushes the final figures, unless the exporter still hangs."""
        self._stopping.set()
        self._thread.join(_LAST_PUSH_S)
        if last is not None and not self._thread.is_alive():
            self._push(last)

    def _main(self) -> None:
        while not self._stopping.wait(self._interval_s):
            snapshot = self._source()
            if snapshot is not None:
                self._push(snapshot)

    def _push(self, snapshot: Snapshot) -> None:
        try:
            self._exporter.publish(snapshot)
        except (OSError, SubmeterError) as error:
            if self.up:
                _log.error("exporter %s fails: %s; it goes on trying", self.name, error)
            self.up = False
        else:
            if not self.up:
                _log.info("exporter %s works again", self.name)
            self.up = True
