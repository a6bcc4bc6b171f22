"""A state directory in, a ledger to go on from out, whatever became of the file meanwhile.

A file that is damaged is set aside, never deleted; a new one is begun with everything of the old
one that can be proved, and the totals go on.
"""

import logging
import shutil
from pathlib import Path
from typing import Final

from submeter.errors import StateUnusable
from submeter.ledger import log
from submeter.ledger.held import aside
from submeter.ledger.proof import Tell, remains_of
from submeter.ledger.records import Loaded
from submeter.ledger.retention import Keep
from submeter.ledger.salvage import write_remains
from submeter.ledger.schema import FILE_NAME
from submeter.ledger.store import Damaged, NotWritten, Store
from submeter.units import NS_PER_S

_log = logging.getLogger(__name__)

_JOURNAL: Final = "-journal"
_SAVED: Final = "ledger.saved"
"""A folder for the ledger that is made from what can be proved of a damaged one."""


def open_store(
    directory: Path,
    backend: str,
    wall_ns: int,
    keep: Keep | None = None,
    tell: Tell = lambda: None,
) -> tuple[Store, Loaded]:
    """Opens the ledger, or a new one with what a damaged one still proves. Raises StateUnusable
    where none can be opened or made, as on a disk that is read-only. ``tell`` is called again and
    again while a damaged one is gone through, which may take minutes for years of it.

    May be killed at any moment: the damaged ledger stays in its place until the new one is
    complete, and is then kept aside.
    """
    store = Store(directory / FILE_NAME, backend, keep)
    saved = directory / _SAVED / FILE_NAME
    try:
        if saved.exists() and not store.path.exists():
            saved.rename(store.path)  # killed between the two renames below
        try:
            return store, _opened(store, wall_ns)
        except Damaged as error:
            _log.error("%s", error)
        result = _save(store.path, Store(saved, backend), tell)
        kept = quarantine(store.path, wall_ns // NS_PER_S)
        saved.rename(store.path)
        _log.warning("the damaged ledger is kept as %s; %s", kept, result)
        return store, _opened(store, wall_ns)
    except (NotWritten, Damaged) as error:
        raise StateUnusable(
            f"the ledger can't be used: {error}; choose another directory with --state-dir"
        ) from error
    except OSError as error:
        raise StateUnusable(f"the ledger in {directory} can't be used: {error.strerror}") from error


def quarantine(path: Path, now_s: int) -> Path:
    """Renames a database, and the journal that belongs to it, to a name that was never used."""
    kept = aside(path, "corrupt", now_s)
    journal = path.with_name(path.name + _JOURNAL)
    if journal.exists():
        journal.rename(kept.with_name(kept.name + _JOURNAL))
    path.rename(kept)
    return kept


def _opened(store: Store, wall_ns: int) -> Loaded:
    """Opens it; log files of another ledger than this are kept aside, too."""
    loaded = store.open()
    shutil.rmtree(store.path.parent / _SAVED, ignore_errors=True)
    for each in log.all_segments(store.path.parent):
        if each.ledger != log.short(loaded.ledger_id):
            each.path.rename(aside(each.path, "corrupt", wall_ns // NS_PER_S))
    return loaded


def _save(damaged: Path, fresh: Store, tell: Tell) -> str:
    shutil.rmtree(fresh.path.parent, ignore_errors=True)
    fresh.path.parent.mkdir(mode=0o700)
    try:
        with remains_of(damaged, fresh.path.parent, tell) as remains:
            result = write_remains(remains, fresh, fresh.open(), tell)
        fresh.fold()
        return result
    finally:
        fresh.close()
