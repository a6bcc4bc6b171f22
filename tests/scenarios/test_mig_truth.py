"""A partitioned GPU: its energy once, its instances by what their counters say, and all of it."""

from collections.abc import Callable
from typing import Any

import pytest

from submeter.model import Component, Method

BOARD = """
seed = 5
[[gpu]]
model = "{model}"
mig = ["3g.40gb", "2g.20gb", "1g.10gb"]
"""
PROCESS = """
[[process]]
name = "{name}"
gpu = 0
pid = {pid}
mig_instance = {instance}
start_s = {start_s}
argv = ["python3", "{name}.py"]
utilisation = {utilisation}
watts = {watts}
shape = {{ kind = "square", period_ms = {period_ms}, duty = 0.5 }}
"""


def scenario(model: str, watts: tuple[int, int, int]) -> str:
    """Per slice the three draw as much as ``watts`` at full SM time of the whole GPU."""
    slices, periods = (3, 2, 1), (34_000, 46_000, 27_000)
    processes = [
        PROCESS.format(
            name=f"job{i}", pid=100 + i, instance=i, start_s=20 + 6 * i, utilisation=0.8,
            watts=0.8 * watts[i] * slices[i] / 7, period_ms=periods[i],
        )
        for i in range(3)
    ]  # fmt: skip
    return "".join([BOARD.format(model=model), *processes])


def booked_and_true(built: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Dynamic energy by program."""
    last = built.snapshots[-1]
    (gpu,) = last.gpus
    true = {
        used["workload"].removesuffix(".py"): used["dynamic_uj"]
        for used in built.truth()[gpu.info.uuid]["processes"].values()
    }
    booked = dict.fromkeys(true, 0)
    for account, energy_uj in last.energy_uj.items():
        if account.component is Component.DYNAMIC and account.owner.workload:
            name = account.owner.workload.removesuffix(".py")
            booked[name] = booked.get(name, 0) + energy_uj
    return booked, true


def test_alike_slices_are_split_by_their_busy_time(world: Callable[..., Any]) -> None:
    built = world(scenario("H100", (400, 400, 400)), 10.0)
    built.run_for(300)
    booked, true = booked_and_true(built)
    for name, true_uj in true.items():  # shares: until the context step is learnt it is work
        share = booked[name] / sum(booked.values())
        assert share == pytest.approx(true_uj / sum(true.values()), abs=0.02), name
    (gpu,) = built.snapshots[-1].gpus
    by_method = gpu.energy_by_method_uj
    assert by_method.get(Method.MIG, 0) > 0
    assert by_method.get(Method.UNATTRIBUTED, 0) < 0.03 * gpu.energy_uj
    labels = {account.mig for account in built.snapshots[-1].energy_uj if account.owner.workload}
    assert {label.partition("/")[0] for label in labels} == {"3g.40gb", "2g.20gb", "1g.10gb"}


def test_unlike_instances_get_what_they_used(world: Callable[..., Any]) -> None:
    """A decoder on three slices, a trainer on one: slices and busy time alone are far off."""
    built = world(scenario("H100", (100, 200, 700)), 10.0)
    built.run_for(900)
    booked, true = booked_and_true(built)
    (gpu,) = built.snapshots[-1].gpus
    assert gpu.energy_by_method_uj[Method.WEIGHTED] > 0.7 * sum(true.values())
    for name, true_uj in true.items():
        assert booked[name] == pytest.approx(true_uj, abs=0.03 * sum(true.values())), name


def test_floors_are_learnt_from_quiet_instances(world: Callable[..., Any]) -> None:
    """There is no utilisation of the whole; that no instance was busy says the same."""
    built = world(scenario("H100", (400, 400, 400)), 10.0)
    built.run_for(200)
    (gpu,) = built.snapshots[-1].gpus
    truth = built.truth()[gpu.info.uuid]
    idle_uj = truth["idle_uj"] + truth["idle_unheld_uj"]
    assert gpu.floors.idle_mw == pytest.approx(idle_uj / 200 / 1000, rel=0.15)


def test_without_such_counters_nobody_is_charged_for_being_there(world: Callable[..., Any]) -> None:
    built = world(scenario("A100", (300, 300, 300)), 10.0)
    built.run_for(120)
    last = built.snapshots[-1]
    (gpu,) = last.gpus
    assert Method.MIG not in gpu.energy_by_method_uj
    shared = [
        account.owner.workload
        for account in last.energy_uj
        if account.component is Component.DYNAMIC and not account.mig
    ]
    assert "(no signal)" in shared
