"""Snapshots in; once, in the log, why the power budget can't be meant so out."""

import logging
from collections.abc import Callable
from typing import Final

from submeter.metrics.budget import doubt
from submeter.model import Snapshot

_log = logging.getLogger(__name__)


_EVERY: Final = 60
"""Settlements: a snapshot is made for it."""


class BudgetWatch:
    """Owns whether it was said already."""

    def __init__(self, budget_mw: int | None) -> None:
        self._budget_mw = budget_mw
        self._due = budget_mw is not None
        self._beats = 0

    def look(self, snapshot: Callable[[], Snapshot | None]) -> None:
        """Now and then, until it was said in the log: can the budget be meant so?"""
        self._beats += self._due
        if not self._due or self._beats % _EVERY:
            return
        now = snapshot()
        said = "" if now is None else doubt(self._budget_mw, now.gpus)
        if said:
            self._due = False
            _log.warning("%s", said)
