"""Commits in, commits in the file out, in a thread of their own: a slow disk holds nobody up.

Who hands a commit over does not wait for it, since waking up again costs as much as all else that
is left to do; who looks at what was written waits a moment, if it was handed over just now.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from submeter.clock import Clock
from submeter.ledger.records import Commit
from submeter.ledger.rows import Row
from submeter.ledger.store import NotWritten, Store
from submeter.units import NS_PER_S

_log = logging.getLogger(__name__)

_WAIT_S: Final = 0.25
"""How long the first who looks after a commit was handed over waits for it, so that what he sees is
up to date: a hundred times what a commit takes."""
_SLOW_NS: Final = 5 * NS_PER_S
"""A commit that takes longer is a fault to report, though not an error yet."""


class Committer:
    """Owns the thread that writes. Of commits that wait, only the newest is written: it has all
    that the others have. What can't be written is tried again with the next one."""

    def __init__(self, store: Store, clock: Clock, crash: Callable[[BaseException], None]) -> None:
        self.problem = ""  # why the last commit was not written; empty if it was
        self._store = store
        self._clock = clock
        self._crash = crash
        self._changed = threading.Condition()
        self._waiting: Commit | None = None
        self._awaited = 0  # the number of the commit that is worth waiting for; 0: none
        self._busy_since_ns: int | None = None
        self._written = 0
        self._tried = 0
        self._stopping = False
        self._damage_said = False
        self._thread = threading.Thread(target=self._main, name="commit", daemon=True)

    @property
    def written(self) -> int:
        """The number of the last commit that is in the file."""
        return self._written

    @property
    def up(self) -> bool:
        """Whether the ledger is as it should be: what is metered is kept, and so is what was."""
        since_ns = self._busy_since_ns
        slow = since_ns is not None and self._clock.boottime_ns() - since_ns > _SLOW_NS
        return not self.problem and not self._store.damage and not slow

    def start(self) -> None:
        self._thread.start()

    def submit(self, commit: Commit) -> None:
        """Hands a commit over."""
        with self._changed:
            idle = self._waiting is None and self._busy_since_ns is None
            self._awaited = commit.number if idle else 0
            self._waiting = commit
            self._changed.notify_all()

    def catch_up(self) -> None:
        """Waits a moment for what was handed over last, unless the disk was still busy with another
        then, or somebody has waited for it already."""
        with self._changed:
            number, self._awaited = self._awaited, 0
            self._changed.wait_for(lambda: self._tried >= number, _WAIT_S)

    def row(self, gpu: int, seq: int) -> Row | None:
        """A row of tens that is in the file; to be asked before `start`."""
        return self._store.row(gpu, seq)

    def stop(self, timeout_s: float) -> bool:
        """Writes what waits and ends the thread; whether that was done in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        ended = not self._thread.is_alive()
        if ended:
            self._store.finish()
        return ended

    def _main(self) -> None:
        try:
            while (commit := self._take()) is not None:
                self._write(commit)
        except BaseException as error:
            self._crash(error)
            raise

    def _take(self) -> Commit | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._stopping)
            commit, self._waiting = self._waiting, None
            self._busy_since_ns = None if commit is None else self._clock.boottime_ns()
        return commit

    def _write(self, commit: Commit) -> None:
        problem = ""
        try:
            self._store.write(commit)
        except NotWritten as error:
            problem = str(error)
        if self._store.damage and not self._damage_said:
            self._damage_said = True
            _log.error(
                "the history is damaged: %s; what is metered is kept in the log beside it, and the "
                "next start of the agent saves what can be saved",
                self._store.damage,
            )
        if problem != self.problem:
            if problem:
                _log.error("%s; what is metered is kept in memory and written later", problem)
            else:
                _log.info("the ledger can be written again; nothing was lost")
        with self._changed:
            self.problem = problem
            self._tried = commit.number
            self._written = self._written if problem else commit.number
            self._busy_since_ns = None
            self._changed.notify_all()
