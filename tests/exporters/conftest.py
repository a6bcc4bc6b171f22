"""For the tests of exporters: options that each one works with, and snapshots that go on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from submeter.model import Account, GpuState, Method, Snapshot
from submeter.testing.snapshots import GPU_0, node
from submeter.units import NS_PER_S


@pytest.fixture
def later() -> Callable[[Snapshot, int], Snapshot]:
    """The snapshot some seconds later: the first account of GPU 0 has gained 1 mJ a second."""

    def go_on(snapshot: Snapshot, seconds: int = 1) -> Snapshot:
        gained_uj = 1_000 * seconds
        account = next(each for each in snapshot.energy_uj if each.gpu_uuid == GPU_0)
        energy_uj = dict(snapshot.energy_uj)
        energy_uj[account] += gained_uj
        return replace(
            snapshot,
            sequence=snapshot.sequence + seconds,
            boottime_ns=snapshot.boottime_ns + seconds * NS_PER_S,
            wall_ns=snapshot.wall_ns + seconds * NS_PER_S,
            energy_uj=energy_uj,
            gpus=tuple(_gained(gpu, account, gained_uj) for gpu in snapshot.gpus),
        )

    return go_on


def _gained(gpu: GpuState, account: Account, gained_uj: int) -> GpuState:
    if gpu.info.uuid != account.gpu_uuid:
        return gpu
    by_method = dict(gpu.energy_by_method_uj)
    by_method[Method.EXCLUSIVE] += gained_uj
    return replace(gpu, energy_uj=gpu.energy_uj + gained_uj, energy_by_method_uj=by_method)


@pytest.fixture
def full_node() -> Snapshot:
    """Two GPUs with everything that a snapshot can hold."""
    return node()


@pytest.fixture
def working_options(tmp_path: Path) -> Callable[[str], dict[str, object]]:
    """Options that an exporter takes, by its name; none where it needs none."""
    table: dict[str, dict[str, object]] = {
        "textfile": {"directory": str(tmp_path)},
        "jsonl": {"path": str(tmp_path / "submeter.jsonl")},
    }
    return lambda name: table.get(name, {})
