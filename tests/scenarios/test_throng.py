"""Ten thousand processes on one node: everything linear, everything exact."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.testing.memory import IN_MEMORY
from submeter.workloads.table import AT_ONCE, LIMIT
from submeter_reliability.throng import off_uj, throng

PROCESSES = 10_000
GPUS = 8


@pytest.fixture
def proc() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as directory:
        yield Path(directory)


@pytest.mark.fault("F38")
@pytest.mark.slow
def test_ten_thousand_processes_are_metered_to_the_microjoule(proc: Path) -> None:
    node = throng(proc, PROCESSES, GPUS)
    for _ in range(3):
        snapshot = node.settle()
        assert off_uj(snapshot) == 0
    assert all(gpu.energy_uj for gpu in snapshot.gpus)
    assert sum(len(gpu.processes) for gpu in snapshot.gpus) == len(node.table) == LIMIT
    named = {account.owner.workload for account in snapshot.energy_uj}
    assert {f"train{kind}.py" for kind in range(40)} <= named
    assert "(unresolved)" in named, "who is too many is nobody in particular, and not left out"
    assert max(node.looks[1:]) <= AT_ONCE < node.looks[0]


def test_who_came_together_is_looked_at_again_in_turns(proc: Path) -> None:
    node = throng(proc, 600, 2)
    for _ in range(6):
        node.settle()
    assert node.looks[:5] == [600, 256, 256, 88, 0]
