"""Unlike processes on one simulated GPU: what is booked against what each truly used."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.model import Component, Method

UNLIKE = """
seed = 3
[[gpu]]
model = "H100"
[[process]]
name = "trainer"
gpu = 0
pid = 100
start_s = 20
argv = ["python3", "train.py"]
utilisation = 0.7
watts = 380
shape = { kind = "square", period_ms = 34000, duty = 0.55 }
[[process]]
name = "decoder"
gpu = 0
pid = 200
start_s = 26
argv = ["vllm", "serve", "model"]
utilisation = 0.6
watts = 70
shape = { kind = "square", period_ms = 46000, duty = 0.5 }
"""


@pytest.fixture
def unlike(world: Callable[..., Any]) -> Any:
    built = world(UNLIKE, 10.0)
    built.run_for(1200)
    return built


def _dynamic_uj(unlike: Any) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Booked, standard error, true; by workload of the scenario, trainer first."""
    last = unlike.snapshots[-1]
    (gpu,) = last.gpus
    true = {
        used["workload"]: used["dynamic_uj"]
        for used in unlike.truth()[gpu.info.uuid]["processes"].values()
    }
    booked: dict[str, int] = {}
    errors: dict[str, int] = {}
    for account, energy_uj in last.energy_uj.items():
        if account.component is Component.DYNAMIC and account in last.standard_error_uj:
            name = "trainer" if "train" in account.owner.workload else "decoder"
            booked[name] = booked.get(name, 0) + energy_uj
            errors[name] = errors.get(name, 0) + last.standard_error_uj[account]
    return booked, errors, true


def test_unlike_processes_get_what_they_used(unlike: Any) -> None:
    booked, errors, true = _dynamic_uj(unlike)
    (gpu,) = unlike.snapshots[-1].gpus
    assert gpu.energy_by_method_uj[Method.WEIGHTED] > 0.8 * sum(booked.values())
    for name, true_uj in true.items():
        assert booked[name] == pytest.approx(true_uj, abs=0.05 * sum(true.values())), name
        assert abs(booked[name] - true_uj) < 4 * errors[name], name


def test_floors_are_those_of_the_board(unlike: Any) -> None:
    (gpu,) = unlike.snapshots[-1].gpus
    truth = unlike.truth()[gpu.info.uuid]
    held_s = 1200 - 20
    assert gpu.floors.context_mw == pytest.approx(truth["context_uj"] / held_s / 1000, rel=0.2)
    idle_uj = truth["idle_uj"] + truth["idle_unheld_uj"]
    assert gpu.floors.idle_mw == pytest.approx(idle_uj / 1200 / 1000, rel=0.15)


def test_who_shares_a_board_that_was_never_seen_at_rest(world: Callable[..., Any]) -> None:
    """A trainer that works evenly and a server that comes and goes, both there from the first
    second on: the trainer's even power is not taken for the board's floor."""
    built = world(
        'seed = 7\n[[gpu]]\nmodel = "H100"\n'
        '[[process]]\nname = "train"\ngpu = 0\npid = 1\nargv = ["python3", "finetune.py"]\n'
        "utilisation = 0.6\nwatts = 330\n"
        'shape = { kind = "training-step", step_ms = 640, stall = 0.25 }\n'
        '[[process]]\nname = "serve"\ngpu = 0\npid = 2\nargv = ["python3", "serve.py"]\n'
        "utilisation = 0.5\nwatts = 110\n"
        'shape = { kind = "inference-poisson", rate_hz = 2, decode_ms = 400, swing = 0.7, '
        "swing_period_s = 200 }\n",
        10.0,
    )
    built.run_for(600)
    booked: dict[str, int] = {}
    for account, energy_uj in built.snapshots[-1].energy_uj.items():
        if account.component is Component.DYNAMIC:
            name = account.owner.workload
            booked[name] = booked.get(name, 0) + energy_uj
    (gpu,) = built.truth().values()
    true = {one["workload"]: one["dynamic_uj"] for one in gpu["processes"].values()}
    share = true["train"] / sum(true.values())
    assert booked["finetune.py"] / sum(booked.values()) == pytest.approx(share, abs=0.1)
