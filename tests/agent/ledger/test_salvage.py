"""What is saved of a damaged ledger: every GPU's total, and whose it was as far as is known."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submeter.errors import StateUnusable
from submeter.ledger.audit import audit
from submeter.ledger.proof import remains_of
from submeter.ledger.reader import open_reader
from submeter.ledger.retention import Keep
from submeter.ledger.salvage import DAMAGED
from submeter.ledger.schema import FILE_NAME

PAGE = 4_096
DAYS = 3
FAR_S = 1 << 40


@pytest.fixture
def days(books: Callable[..., Any]) -> Path:
    """Three days of two GPUs, of which retention has removed the oldest tens and minutes."""
    made = books(keep=Keep(tens_days=0.5, minute_days=1.5))
    for step in range(DAYS * 24 * 12):
        job = f"job-{step // 100}.py"
        made.post("GPU-1", 300, [(job, 5_000_000 + step), ("serve.py", 70 * step)])
        made.post("GPU-2", 0, [("train.py", 40_000)])
        made.commit()
    made.close()
    assert isinstance(made.directory, Path)
    return made.directory


def by_workload(directory: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    with open_reader(directory) as reader:
        for piece in reader.pieces(0, FAR_S):
            for series, energy_uj in piece.energy:
                found[f"{piece.gpu.uuid} {series.account.owner.workload}"] += energy_uj
    return found


@pytest.mark.fault("F63")
def test_lost_pages_cost_resolution_and_no_joule(days: Path, books: Callable[..., Any]) -> None:
    whole = (days / FILE_NAME).read_bytes()
    before, totals = by_workload(days), audit(days).energy_uj
    rng = random.Random(8)
    named = 0
    for _ in range(6):
        damaged = bytearray(whole)
        pages = rng.sample(range(1, len(whole) // PAGE), rng.choice([1, 1, 3]))
        for page in pages:
            damaged[page * PAGE : (page + 1) * PAGE] = rng.randbytes(PAGE)
        shutil.rmtree(days)
        days.mkdir(mode=0o700)
        (days / FILE_NAME).write_bytes(damaged)
        again = books(keep=Keep(tens_days=0.5, minute_days=1.5))
        again.book("GPU-1", 1, [("new.py", 5)])
        again.close()
        found = audit(days)
        assert not found.problem, (pages, found.problem)
        after = by_workload(days)
        lost = sum(uj for name, uj in after.items() if name.endswith(DAMAGED.workload))
        assert after.total() == sum(found.energy_uj.values())
        if found.energy_uj.keys() == totals.keys():  # else the page had the names of the GPUs
            assert found.energy_uj["GPU-1"] <= totals["GPU-1"] + 5, pages
            named += lost * 10 < before.total()
    assert named >= 4, f"only {named} of 6 times nine tenths kept their names"


def test_damage_in_one_place_takes_nothing_elsewhere(days: Path) -> None:
    """Even the page with the oldest rows of a table, whose first rows were removed long ago."""
    whole = bytearray((days / FILE_NAME).read_bytes())
    with remains_of(days / FILE_NAME, days) as remains:
        sound = remains.rows
        assert not remains.bad
        covered = [proved.last for group in remains.groups(1) for proved, _ in group]
        assert covered[-1] == max(covered)
    least = sound
    for page in range(1, len(whole) // PAGE, 9):
        damaged = bytearray(whole)
        damaged[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        (days / FILE_NAME).write_bytes(damaged)
        with remains_of(days / FILE_NAME, days) as remains:
            if remains.gpus and remains.sessions:
                least = min(least, remains.rows)
    assert least > sound // 3, f"{least} of {sound} rows: more than a page's"


def test_whoever_waits_for_a_salvage_is_told_that_it_goes_on(
    days: Path, books: Callable[..., Any]
) -> None:
    from submeter.ledger.opening import open_store

    with (days / FILE_NAME).open("r+b") as file:
        file.seek(3 * PAGE)
        file.write(bytes(100))
    told = []
    store, _ = open_store(days, "nvml", 0, tell=lambda: told.append(1))
    store.close()
    assert told
    assert not [each for each in days.iterdir() if each.is_dir()], "what it needed is left"
    with pytest.raises(StateUnusable):
        open_store(days / "absent", "nvml", 0, tell=lambda: told.append(1))
