"""Simulated PIDs have identities and facts, come and go, and may be reused."""

from collections.abc import Callable
from typing import Any

from submeter.model import ProcessFacts, ProcessKey

SCRIPT = """
seed = 5
[[gpu]]
model = "A100"
[[process]]
name = "first"
gpu = 0
pid = 100
end_s = 10
watts = 50
argv = ["/usr/bin/python3.11-with-a-long-name", "train.py"]
user = "alice"
uid = 1001
cgroup = "/system.slice/x.service"
environ = { SUBMETER_PHASE = "training" }
listen = [8000, 8001]
title = "train: step 7"
libraries = ["libnccl.so.2"]
[[process]]
name = "second"
gpu = 0
pid = 100
start_s = 10
watts = 50
[[process]]
name = "again"
gpu = 0
pid = 200
pid_step = 5
start_s = 2
end_s = 3
every_s = 4
watts = 10
[[process]]
name = "elsewhere"
gpu = 0
pid = 300
visible = false
watts = 10
"""


def test_who_a_pid_is(node: Callable[[str], Any]) -> None:
    world = node(SCRIPT)
    processes = world.backend.processes
    world.run(1)
    key = processes.identify(100)
    assert key is not None
    assert key.start_ticks == 100_000  # the fake clock begins 1 000 s after boot
    assert processes.facts(key) == ProcessFacts(
        key=key,
        comm="python3.11-with",
        argv=("/usr/bin/python3.11-with-a-long-name", "train.py"),
        title="train: step 7",
        user="alice",
        uid=1001,
        cgroup="/system.slice/x.service",
        environ={"SUBMETER_PHASE": "training"},
        listen_ports=(8000, 8001),
        libraries=("libnccl.so.2",),
    )
    assert processes.identify(999) is None
    assert processes.facts(key._replace(start_ticks=1)) is None


def test_a_reused_pid_is_somebody_else(node: Callable[[str], Any]) -> None:
    world = node(SCRIPT)
    processes = world.backend.processes
    world.run(9.99)
    first = processes.identify(100)
    world.run(0.02)
    second = processes.identify(100)
    assert first != second
    assert processes.facts(first) is None
    assert processes.facts(second).comm == "second"
    rows = world.gpu()["processes"]
    assert rows[f"100/{first.start_ticks}"]["workload"] == "first"
    assert rows[f"100/{second.start_ticks}"]["workload"] == "second"


def test_a_process_that_comes_back_has_another_pid_each_time(node: Callable[[str], Any]) -> None:
    world = node(SCRIPT)
    seen = []
    for _ in range(26):
        now_ns = world.run(0.5)
        here = [holder.pid for holder in world.devices[0].holders(now_ns)]
        again = [pid for pid in here if 200 <= pid < 300]
        assert again == [pid for pid in (200, 205, 210) if world.backend.processes.identify(pid)]
        seen += again
    assert seen == [200, 200, 205, 205, 210, 210]


def test_a_holder_may_be_invisible(node: Callable[[str], Any]) -> None:
    world = node(SCRIPT)
    holders = world.devices[0].holders(world.run(1))
    assert [holder.pid for holder in holders] == [100, 300]
    assert world.backend.processes.identify(300) is None


def test_nobody_is_there_before_the_scenario_begins(node: Callable[[str], Any]) -> None:
    from submeter.backends.mock.backend import MockBackend

    world = node(SCRIPT)
    backend = MockBackend(world.backend.scenario, world.clock)
    assert backend.processes.identify(100) is None
    assert backend.processes.facts(ProcessKey("b", 100, 0)) is None
    assert all(gpu["energy_uj"] == 0 for gpu in backend.truth()["gpus"].values())  # type: ignore[attr-defined]
