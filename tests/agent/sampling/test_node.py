"""All GPUs of a node when the driver goes and comes back."""

from pathlib import Path

import pytest

from submeter.backends import load
from submeter.clock import FakeClock
from submeter.errors import DriverUnavailable
from submeter.sampling.jobs import run_until
from submeter.sampling.node import Node
from submeter.units import NS_PER_S

SCENARIO = """
[[gpu]]
model = "H100"
count = 2
[[fault]]
kind = "driver_unavailable"
from_s = 5
to_s = 8
[[fault]]
kind = "vanish"
gpu = 1
from_s = 4
to_s = 20
"""


@pytest.mark.fault("F4", "F21")
def test_a_gpu_that_is_still_gone_when_the_driver_is_back_is_looked_for(tmp_path: Path) -> None:
    """It fell with the driver, and wasn't there when that was opened again."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(SCENARIO)
    clock = FakeClock()
    gone: list[DriverUnavailable] = []
    node = Node(
        load("mock", clock, {"scenario": scenario}),
        clock,
        period_ns=NS_PER_S // 10,
        settle_ns=NS_PER_S,
        on_driver_error=gone.append,
    )
    node.open()
    begun_ns = clock.boottime_ns()
    jobs, _ = node.jobs()
    run_until(clock, jobs, begun_ns + 6 * NS_PER_S)
    assert gone
    node.close()
    clock.sleep_until(begun_ns + 9 * NS_PER_S)
    node.open()
    jobs, _ = node.jobs()
    assert [watch.up for watch in node.watches()] == [True, False]
    run_until(clock, jobs, begun_ns + 90 * NS_PER_S)
    assert [watch.up for watch in node.watches()] == [True, True]


@pytest.mark.parametrize(
    ("processes", "calls"), [(1, 0), (2, 20), (4, 20), (5, 40), (8, 40), (9, 20)]
)
def test_the_driver_is_asked_twice_a_second_where_a_crowd_shares_a_gpu(
    tmp_path: Path, processes: int, calls: int
) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        '[[gpu]]\nmodel = "H100"\n'
        + "".join(
            f'[[process]]\nname = "p{i}"\ngpu = 0\npid = {100 + i}\nargv = ["p{i}"]\nstart_s = 0\n'
            'utilisation = 0.1\nwatts = 30\nshape = { kind = "constant" }\n'
            for i in range(processes)
        )
    )
    clock = FakeClock()
    backend = load("mock", clock, {"scenario": scenario})
    node = Node(backend, clock, period_ns=NS_PER_S // 10, settle_ns=NS_PER_S)
    node.open()
    fast, slow = node.jobs()
    run_until(clock, fast + slow, clock.boottime_ns() + 20 * NS_PER_S)
    (watch,) = node.watches()
    assert len(watch.batches) == pytest.approx(calls, abs=4)
    if calls == 40:
        spans = [batch.elapsed_ns for batch in list(watch.batches)[4:]]
        assert spans == pytest.approx([NS_PER_S // 2] * len(spans), rel=0.1)


def test_looks_begin_on_a_grid_where_one_is_given(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[gpu]]\nmodel = "H100"\n')
    clock = FakeClock(boottime_ns=5_400_000_000)
    backend = load("mock", clock, {"scenario": scenario})
    node = Node(
        backend, clock, period_ns=NS_PER_S // 10, settle_ns=NS_PER_S, look_after_ns=3_000_000
    )
    node.open()
    _, slow = node.jobs()
    assert all(job.next_ns < clock.boottime_ns() for job in slow)  # the first are at once
    assert {job.next_ns % NS_PER_S for job in slow} == {3_000_000, 503_000_000}


def test_between_two_looks_nobody_wakes_where_no_crowd_shares_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[gpu]]\nmodel = "H100"\n')
    clock = FakeClock()
    node = Node(
        load("mock", clock, {"scenario": scenario}),
        clock,
        period_ns=NS_PER_S // 10,
        settle_ns=NS_PER_S,
    )
    node.open()
    (between,) = [job for job in node.jobs()[1] if job.name == "between"]
    periods = []
    for crowd in (False, True, False):
        monkeypatch.setattr("submeter.sampling.watch.GpuWatch.crowded", lambda *_, c=crowd: c)
        between.run(clock.boottime_ns())
        periods.append(between.period_ns)
    assert periods == [10 * NS_PER_S, NS_PER_S, 10 * NS_PER_S]
