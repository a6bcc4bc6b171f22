"""Commits in, commits in the file out, in the caller's own thread."""

from submeter.ledger.records import Commit
from submeter.ledger.rows import Row
from submeter.ledger.store import NotWritten, Store


class DirectWriter:
    """Writes each commit at once: for tests, benchmarks and simulations. The agent has
    `submeter.runtime.committing` instead, so that a slow disk holds nobody up."""

    def __init__(self, store: Store) -> None:
        self.written = 0
        self.problem = ""  # why the last commit was not written; empty if it was
        self._store = store

    def submit(self, commit: Commit) -> None:
        """Writes it."""
        try:
            self._store.write(commit)
        except NotWritten as error:
            self.problem = str(error)
        else:
            self.problem = ""
            self.written = commit.number

    def catch_up(self) -> None:
        """Nothing: what was submitted is written."""

    def row(self, gpu: int, seq: int) -> Row | None:
        """A row of tens that is in the file."""
        return self._store.row(gpu, seq)
