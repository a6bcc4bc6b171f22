"""A snapshot in, why its power budget can't be meant so out."""

import logging
from collections.abc import Callable
from typing import Final

from submeter.model import Snapshot

_log = logging.getLogger(__name__)


_EVERY: Final = 60
"""Settlements: a snapshot is made for it."""


class BudgetWatch:
    """Owns whether it was said already."""

    def __init__(self, budget_mw: int | None) -> None:
        self._due = budget_mw is not None
        self._beats = 0

    def look(self, snapshot: Callable[[], Snapshot | None]) -> None:
        """Now and then, until it was said in the log: can the budget be meant so?"""
        self._beats += self._due
        if not self._due or self._beats % _EVERY:
            return
        now = snapshot()
        said = "" if now is None else doubt(now)
        if said:
            self._due = False
            _log.warning("%s", said)


def doubt(snapshot: Snapshot) -> str:
    """What is wrong with a budget below what the boards draw for nothing; empty while that isn't
    learnt of each of them, or nothing is wrong."""
    budget_mw = snapshot.power_budget_mw
    floors_mw = [gpu.floors.idle_mw for gpu in snapshot.gpus]
    if budget_mw is None or not floors_mw or not all(floors_mw) or sum(floors_mw) <= budget_mw:
        return ""
    return (
        f"node.power_budget_watts is {budget_mw / 1_000:g} W, and the {len(floors_mw)} GPUs draw "
        f"{sum(floors_mw) / 1_000:.0f} W doing nothing: headroom will always be negative"
    )
