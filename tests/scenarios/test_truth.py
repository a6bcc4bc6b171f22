"""What the agent books against what the simulated boards and processes truly used."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.model import Method, Owner, Phase


def _joules(snapshot: Any, **labels: str) -> int:
    """µJ of all accounts with those labels."""
    return sum(
        energy_uj
        for account, energy_uj in snapshot.energy_uj.items()
        if all(
            getattr(account, name, None) == value or getattr(account.owner, name, None) == value
            for name, value in labels.items()
        )
    )


@pytest.mark.parametrize("rate_hz", [None, 10.0, 1.0])
def test_every_gpu_is_metered_to_its_counter(world: Callable[..., Any], rate_hz: float) -> None:
    demo = world("demo", rate_hz)
    demo.run_for(120)
    last = demo.simulation.finish()
    truth = demo.truth()
    assert len(last.gpus) == 8
    for gpu in last.gpus:
        true_uj = truth[gpu.info.uuid]["energy_uj"]
        # What was used before the first reading and after the counter's last step isn't metered.
        assert gpu.energy_uj == pytest.approx(true_uj, rel=0.02, abs=150e6), gpu.info.index


@pytest.mark.fault("F34")
def test_one_holder_gets_all_that_was_drawn_while_it_was_there(world: Callable[..., Any]) -> None:
    single = world("single")
    single.run_for(300)
    last = single.simulation.finish()
    (gpu,) = last.gpus
    methods = gpu.energy_by_method_uj
    assert set(methods) <= {Method.EXCLUSIVE, Method.IDLE, Method.UNATTRIBUTED}
    assert methods[Method.EXCLUSIVE] > 0
    assert methods.get(Method.UNATTRIBUTED, 0) < 0.01 * gpu.energy_uj


def test_two_holders_are_split_and_nobody_is_lost(world: Callable[..., Any]) -> None:
    shared = world("shared")
    shared.run_for(600)
    last = shared.simulation.finish()
    (gpu,) = last.gpus
    split_uj = [gpu.energy_by_method_uj[way] for way in (Method.PROPORTIONAL, Method.WEIGHTED)]
    assert sum(split_uj) > 0.9 * gpu.energy_uj
    assert split_uj[1] > split_uj[0]
    workloads = {account.owner.workload for account in last.energy_uj}
    assert len(workloads - {"", "(unknown holders)", "(no signal)", "(unknown process)"}) >= 2


def test_phases_of_the_demo_are_told_apart(world: Callable[..., Any]) -> None:
    demo = world("demo")
    demo.run_for(180)
    last = demo.simulation.finish()
    total_uj = sum(gpu.energy_uj for gpu in last.gpus)
    assert _joules(last, phase=Phase.TRAINING) > 0.3 * total_uj
    assert _joules(last, phase=Phase.INFERENCE) > 0.05 * total_uj
    whole = {gpu.info.uuid for gpu in last.gpus if not gpu.info.mig}  # no signal on a MIG board
    unattributed_uj = sum(_joules(last, phase=Phase.UNATTRIBUTED, gpu_uuid=gpu) for gpu in whole)
    assert unattributed_uj < 0.005 * total_uj


def test_a_simulation_is_the_same_every_time(world: Callable[..., Any]) -> None:
    outcomes = []
    for _ in range(2):
        run = world("faults")
        run.run_for(90)
        outcomes.append(run.simulation.finish())
    assert outcomes[0].energy_uj == outcomes[1].energy_uj
    assert [gpu.errors for gpu in outcomes[0].gpus] == [gpu.errors for gpu in outcomes[1].gpus]


def test_max_series_folds_and_still_adds_up(world: Callable[..., Any]) -> None:
    demo = world("demo", 1.0, 2)
    demo.run_for(60)
    last = demo.simulation.finish()
    assert last.folded_series > 0
    assert any(account.owner.workload == "(other)" for account in last.energy_uj)
    shown = {process.owner for gpu in last.gpus for process in gpu.processes}
    booked = {account.owner for account in last.energy_uj}
    booked |= {Owner(phase, workload="(other)") for phase in Phase}
    assert shown
    assert shown <= booked  # so that what is said of processes is as bounded as their energy
