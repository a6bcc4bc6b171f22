"""A state directory in, a ledger to go on from out, whatever became of the file meanwhile.

A file that is damaged is set aside, never deleted; a new one is begun with everything of the old
one that can be proved, and the totals go on.
"""

import logging
from pathlib import Path
from typing import Final

from submeter.errors import StateUnusable
from submeter.ledger.records import Loaded
from submeter.ledger.remains import remains_of
from submeter.ledger.retention import Keep
from submeter.ledger.salvage import write_remains
from submeter.ledger.schema import FILE_NAME
from submeter.ledger.store import Damaged, NotWritten, Store
from submeter.units import NS_PER_S

_log = logging.getLogger(__name__)

_JOURNAL: Final = "-journal"
_FRESH: Final = "ledger.new"


def open_store(
    directory: Path, backend: str, wall_ns: int, keep: Keep | None = None
) -> tuple[Store, Loaded]:
    """Opens the ledger, or a new one with what a damaged one still proves. Raises StateUnusable
    where none can be opened or made, as on a disk that is read-only.

    May be killed at any moment: the damaged file stays in its place until the new one is
    complete, and is then kept aside.
    """
    store = Store(directory / FILE_NAME, backend, keep)
    fresh = directory / _FRESH
    try:
        if fresh.exists() and not store.path.exists():
            fresh.rename(store.path)  # killed between the two renames below
        try:
            if not store.condemned.exists():
                return store, store.open()
            _log.error("%s was found damaged when it was written to", store.path)
        except Damaged as error:
            _log.error("%s", error)
        saved = _save(store.path, Store(fresh, backend))
        aside = quarantine(store.path, wall_ns // NS_PER_S)
        fresh.rename(store.path)
        store.condemned.unlink(missing_ok=True)
        _log.warning("the damaged ledger is kept as %s; %s", aside, saved)
        return store, store.open()
    except (NotWritten, Damaged) as error:
        raise StateUnusable(
            f"the ledger can't be used: {error}; choose another directory with --state-dir"
        ) from error
    except OSError as error:
        raise StateUnusable(f"the ledger in {directory} can't be used: {error.strerror}") from error


def _save(damaged: Path, fresh: Store) -> str:
    for suffix in ("", _JOURNAL):
        fresh.path.with_name(fresh.path.name + suffix).unlink(missing_ok=True)
    try:
        return write_remains(remains_of(damaged), fresh, fresh.open())
    finally:
        fresh.close()


def quarantine(path: Path, now_s: int) -> Path:
    """Renames a file, and the journal that belongs to it, to a name that was never used."""
    for number in range(1_000):
        suffix = f"-{number}" if number else ""
        aside = path.with_name(f"{path.stem}.corrupt-{now_s}{suffix}")
        if not aside.exists():
            break
    journal = path.with_name(path.name + _JOURNAL)
    if journal.exists():
        journal.rename(aside.with_name(aside.name + _JOURNAL))
    path.rename(aside)
    return aside
