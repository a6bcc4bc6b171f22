"""The threads that measure, on a simulated node whose driver misbehaves."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from submeter import settlement as module
from submeter.backends import Device, load
from submeter.clock import SystemClock
from submeter.ledger import Ledger
from submeter.model import Snapshot
from submeter.runtime import agent as runtime
from submeter.runtime.agent import Agent
from submeter.sampling.node import Node
from submeter.settlement import About, Settlement
from submeter.units import NS_PER_MS, NS_PER_S
from submeter.workloads import ProcessTable

PATIENCE_S = 30.0
SETTLE_NS = 200 * NS_PER_MS

NODE = """
[[gpu]]
model = "H100"
count = 2

[[process]]
name = "train.py"
gpu = [0, 1]
pid = 100
argv = ["python", "train.py"]
character = "tensor"
utilisation = 0.9

[[fault]]
kind = "error"
call = "all"
code = "unknown"
from_s = 2
"""

SLOW_ONCE = """
[[gpu]]
model = "H100"
count = 3

[[fault]]
kind = "hang"
hang_s = 1.2
gpu = 1
from_s = 1
to_s = 1.5
"""


class Opened:
    """A backend, and how often it was opened."""

    def __init__(self, real: object) -> None:
        self._real = real
        self.times = 0
        self.again = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def open(self) -> Sequence[Device]:
        self.times += 1
        if self.times > 1:
            self.again.set()
        opened: Sequence[Device] = self._real.open()  # type: ignore[attr-defined]
        return opened


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], tuple[Agent, Opened]]]:
    agents: list[Agent] = []

    def start(scenario: str) -> tuple[Agent, Opened]:
        path = tmp_path / "scenario.toml"
        path.write_text(scenario)
        clock = SystemClock()
        backend = Opened(load("mock", clock, {"scenario": path}))
        made: list[Agent] = []
        node = Node(
            backend,  # type: ignore[arg-type]
            clock,
            period_ns=50 * NS_PER_MS,
            settle_ns=SETTLE_NS,
            on_driver_error=lambda error: made[0].driver_attention(error),
        )
        table = ProcessTable(backend.processes)  # type: ignore[arg-type]
        about = About("mock", "0", clock.wall_ns())
        settlement = Settlement(about, Ledger(100), table, node.watches)
        made.append(Agent(clock, node, settlement, SETTLE_NS))
        agents.extend(made)
        made[0].start()
        return made[0], backend

    yield start
    for each in agents:
        each.stop()


@pytest.mark.fault("F22")
def test_where_no_gpu_answers_any_more_the_driver_is_opened_anew(
    started: Callable[[str], tuple[Agent, Opened]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose devices were taken away: all calls give "unknown error" for ever."""
    monkeypatch.setattr(runtime, "_BLIND_NS", 500 * NS_PER_MS)
    agent, backend = started(NODE)
    assert backend.again.wait(PATIENCE_S)
    before = agent.snapshot
    assert before is not None
    assert _total(before) > 0
    last = agent.stop()
    assert last is not None
    assert _total(last) >= _total(before)
    assert agent.crashed is None


def test_the_first_who_looks_waits_for_the_settlement_and_later_ones_get_the_last(
    started: Callable[[str], tuple[Agent, Opened]],
) -> None:
    agent, _ = started(NODE)
    settlement = agent._settlement
    first: list[Snapshot | None] = []
    while agent.not_ready():
        threading.Event().wait(0.01)
    with settlement._lock:  # one that goes on for longer than anybody waits for a newer one
        settlement._snapshot = None
        looking = threading.Thread(target=lambda: first.append(agent.snapshot))
        looking.start()
        looking.join(3 * module._PATIENCE_S)
        assert looking.is_alive()
    looking.join(PATIENCE_S)
    assert first[0] is not None
    with settlement._lock:
        assert agent.snapshot is settlement._snapshot is not None


def test_after_a_call_that_was_slow_all_gpus_share_their_threads_again(
    started: Callable[[str], tuple[Agent, Opened]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "RESCAN_S", 0.2)
    monkeypatch.setattr(runtime, "CALM_NS", 500 * NS_PER_MS)
    agent, _ = started(SLOW_ONCE)
    _wait(lambda: agent._lanes is not None and len(agent._lanes.lanes()) > 2)
    before = agent.snapshot
    assert before is not None
    _wait(lambda: agent._lanes is not None and len(agent._lanes.lanes()) == 2)
    assert agent._lanes is not None
    assert {owner for job in agent._lanes.jobs() for owner in job.owners} == {
        gpu.info.uuid for gpu in before.gpus
    }
    read = {gpu.info.uuid: gpu.samples for gpu in before.gpus}
    _wait(lambda: all(gpu.samples > read[gpu.info.uuid] + 10 for gpu in _now(agent).gpus))
    assert agent.crashed is None
    pairs = zip(_now(agent).gpus, before.gpus, strict=True)
    assert not any(now.missed_ticks < then.missed_ticks for now, then in pairs)


def _now(agent: Agent) -> Snapshot:
    snapshot = agent.snapshot
    assert snapshot is not None
    return snapshot


def _wait(condition: Callable[[], bool]) -> None:
    clock = SystemClock()
    until_ns = clock.boottime_ns() + int(PATIENCE_S * NS_PER_S)
    while not condition():
        assert clock.boottime_ns() < until_ns, "waited in vain"
        clock.sleep_until(clock.boottime_ns() + 5 * NS_PER_MS)


def _total(snapshot: Snapshot) -> int:
    return sum(gpu.energy_uj for gpu in snapshot.gpus)
