"""Processes that come and go, are many, are nobody, or are on several GPUs."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.model import Component, Method

LONG = """
[[process]]
name = "long"
gpu = 0
pid = 100
start_s = 5
argv = ["python3", "train.py"]
utilisation = 0.5
watts = 200
shape = { kind = "square", period_ms = 9000, duty = 0.6 }
"""
FLEETING = """
[[process]]
name = "fleeting"
gpu = 0
pid = 5000
start_s = 30.02
end_s = 30.07
every_s = 0.25
pid_step = 1
argv = ["python3", "test.py"]
utilisation = 0.8
watts = 350
"""
BOARD = 'seed = 2\n[[gpu]]\nmodel = "H100"\n'


def dynamic(world: Any, uuid: str = "") -> dict[str, int]:
    """µJ by workload."""
    booked: dict[str, int] = {}
    for account, energy_uj in world.snapshots[-1].energy_uj.items():
        if account.component is Component.DYNAMIC and account.gpu_uuid.startswith(uuid):
            name = account.owner.workload
            booked[name] = booked.get(name, 0) + energy_uj
    return booked


def shares(parts: dict[str, int]) -> dict[str, float]:
    """Of their sum: until floor and context step are learnt they are work like any other."""
    return {name: part / sum(parts.values()) for name, part in parts.items()}


def truth(world: Any, uuid: str = "") -> dict[str, int]:
    """Dynamic µJ by the scenario's names."""
    used: dict[str, int] = {}
    for gpu, found in world.truth().items():
        for process in found["processes"].values() if gpu.startswith(uuid) else ():
            name = process["workload"]
            used[name] = used.get(name, 0) + process["dynamic_uj"]
    return used


@pytest.mark.fault("F33")
@pytest.mark.threat("T27")
def test_processes_of_50_ms_beside_a_long_one_are_not_charged_to_it(
    world: Callable[..., Any],
) -> None:
    """Nobody ever lists them; the driver's ring names them, and its PIDs mean nothing any more."""
    built = world(BOARD + LONG + FLEETING, 10.0)
    built.run_for(300)
    booked, true = shares(dynamic(built)), shares(truth(built))
    assert true["fleeting"] > 0.1
    assert booked["train.py"] == pytest.approx(true["long"], abs=0.1)  # it would be 1


@pytest.mark.fault("F33")
def test_processes_of_50_ms_and_nobody_else(world: Callable[..., Any]) -> None:
    built = world(BOARD + FLEETING, 10.0)
    built.run_for(240)
    assert dynamic(built)["(unknown process)"] > 0.5 * truth(built)["fleeting"]


@pytest.mark.fault("F17", "F34")
def test_one_that_has_gone_leaves_nothing_to_strangers(world: Callable[..., Any]) -> None:
    """Its last samples are in the ring for seconds after it went."""
    gone = LONG.replace("100", "101").replace("train.py", "eval.py").replace("long", "short")
    built = world(BOARD + LONG + gone.replace("start_s = 5", "start_s = 8\nend_s = 41.3"), 10.0)
    built.run_for(90)
    assert "(unknown process)" not in dynamic(built)
    methods = built.snapshots[-1].gpus[0].energy_by_method_uj
    assert methods[Method.EXCLUSIVE] > 90 * 200e6 / 3


@pytest.mark.fault("F31")
def test_a_pid_that_is_used_again_is_somebody_else(world: Callable[..., Any]) -> None:
    again = LONG.replace("long", "next").replace("train.py", "serve.py")
    first = LONG.replace("start_s = 5", "start_s = 5\nend_s = 60")
    built = world(BOARD + first + again.replace("start_s = 5", "start_s = 60.5"), 10.0)
    built.run_for(60.4)
    before_uj = dynamic(built)["train.py"]
    built.run_for(60)
    booked = dynamic(built)
    assert booked["train.py"] == pytest.approx(before_uj, rel=0.01)
    assert booked["serve.py"] == pytest.approx(truth(built)["next"], rel=0.05)


@pytest.mark.fault("F23")
def test_who_means_nothing_here_is_nobody(world: Callable[..., Any]) -> None:
    """In another PID namespace: the driver names a PID that /proc doesn't have."""
    hidden = LONG.replace("long", "hidden").replace("100", "102") + "visible = false\n"
    built = world(BOARD + LONG + hidden.replace("9000", "13000"), 10.0)
    built.run_for(300)
    booked, true = shares(dynamic(built)), shares(truth(built))
    assert set(booked) == {"train.py", "(unresolved)"}
    assert booked["(unresolved)"] == pytest.approx(true["hidden"], abs=0.05)
    (gpu,) = built.snapshots[-1].gpus
    assert gpu.energy_by_method_uj[Method.UNATTRIBUTED] >= dynamic(built)["(unresolved)"]


@pytest.mark.fault("F49")
def test_a_job_on_several_gpus_is_one_workload_on_each(world: Callable[..., Any]) -> None:
    job = LONG.replace("gpu = 0", "gpu = [0, 1]")
    boards = 'seed = 2\n[[gpu]]\nmodel = "H100"\ncount = 2\n'
    other = LONG.replace("long", "other").replace("100", "103").replace("train.py", "serve.py")
    built = world(boards + job + other.replace("9000", "13000"), 10.0)
    built.run_for(300)
    first, second = (gpu.info.uuid for gpu in built.snapshots[-1].gpus)
    assert shares(dynamic(built, second)) == {"train.py": 1}
    booked, true = shares(dynamic(built, first)), shares(truth(built, first))
    assert booked["train.py"] == pytest.approx(true["long"], abs=0.05)
    assert set(booked) == {"train.py", "serve.py"}


@pytest.mark.fault("F29")
def test_clients_of_mps_are_split(world: Callable[..., Any]) -> None:
    clients = "".join(
        LONG.replace("long", name).replace("100", str(pid)).replace("train.py", f"{name}.py")
        + 'kind = "mps"\n'
        for name, pid in (("one", 201), ("two", 202))
    )
    built = world(BOARD + clients, 10.0)
    built.run_for(120)
    assert shares(dynamic(built)) == {
        "one.py": pytest.approx(0.5, abs=0.05),
        "two.py": pytest.approx(0.5, abs=0.05),
    }


def test_of_a_gpu_that_can_not_be_read_nobody_draws_anything_now(
    world: Callable[..., Any],
) -> None:
    gone = '[[fault]]\nkind = "vanish"\ngpu = 0\nfrom_s = 20\nto_s = 30\n'
    node = world(BOARD + LONG + gone)
    node.run_for(19)
    assert node.snapshots[-1].power_mw
    node.run_for(6)
    assert not node.snapshots[-1].gpus[0].up
    assert node.snapshots[-1].power_mw == {}
    node.run_for(20)
    assert node.snapshots[-1].gpus[0].up
    assert node.snapshots[-1].power_mw
