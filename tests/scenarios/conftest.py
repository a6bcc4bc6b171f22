"""The whole agent on a fake clock and the simulated node."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from submeter.backends import Backend, load
from submeter.clock import FakeClock
from submeter.ledger import Ledger
from submeter.model import Snapshot
from submeter.sampling.node import Node
from submeter.settlement import About, Settlement
from submeter.simulation import Simulation
from submeter.units import NS_PER_S
from submeter.workloads import ProcessTable


@dataclass
class World:
    """A simulated node under an agent that keeps every snapshot."""

    clock: FakeClock
    backend: Backend
    simulation: Simulation
    snapshots: list[Snapshot] = field(default_factory=list)

    def run_for(self, seconds: float) -> None:
        self.simulation.run_for(round(seconds * NS_PER_S))

    def truth(self) -> dict[str, Any]:
        truth: dict[str, Any] = self.backend.truth()["gpus"]  # type: ignore[attr-defined]
        return truth


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    """Builds an agent on a scenario: a built-in name, or TOML text; checks every snapshot."""

    def build(scenario: str, rate_hz: float | None = 10.0, max_series: int = 2_000) -> World:
        source: str | Path = scenario
        if "\n" in scenario:
            source = tmp_path / "scenario.toml"
            source.write_text(scenario)
        clock = FakeClock()
        backend = load("mock", clock, {"scenario": source})
        period_ns = None if rate_hz is None else round(NS_PER_S / rate_hz)
        node = Node(backend, clock, period_ns=period_ns, settle_ns=NS_PER_S)
        about = About("mock", "0", clock.wall_ns())
        table = ProcessTable(backend.processes)
        settlement = Settlement(about, Ledger(max_series), table, node.watches)
        snapshots: list[Snapshot] = []

        def check(snapshot: Snapshot) -> None:
            assert_it_adds_up(snapshot, snapshots[-1] if snapshots else None)
            snapshots.append(snapshot)

        simulation = Simulation(clock, node, settlement, NS_PER_S, check)
        simulation.start()
        return World(clock, backend, simulation, snapshots)

    return build


def assert_it_adds_up(snapshot: Snapshot, before: Snapshot | None) -> None:
    """Σ parts = total for each GPU, by account and by method; no total ever falls."""
    parts: dict[str, int] = {}
    for account, energy_uj in snapshot.energy_uj.items():
        parts[account.gpu_uuid] = parts.get(account.gpu_uuid, 0) + energy_uj
    for gpu in snapshot.gpus:
        assert parts.get(gpu.info.uuid, 0) == gpu.energy_uj
        assert sum(gpu.energy_by_method_uj.values()) == gpu.energy_uj
    if before is not None:
        for account, energy_uj in before.energy_uj.items():
            assert snapshot.energy_uj[account] >= energy_uj
