"""`submeter.measure(units=…)`: joules per unit, and the agent is told totals."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

import submeter
from submeter.client import link as link_module
from submeter.client import work as work_module
from submeter.client.measuring import Measurement


class Recorder:
    """A link that keeps what is sent, and knows a GPU whose energy grows by 100 J a question."""

    connected = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.greetings: list[tuple[bytes, ...]] = []
        self.energy_uj = 0

    def send(self, line: bytes, *, greeting: tuple[bytes, ...]) -> bool:
        self.sent.append(json.loads(line))
        self.greetings.append(greeting)
        return True

    def ask(self, line: bytes) -> bytes | None:
        self.energy_uj += 100_000_000
        gpu = {"uuid": "GPU-1", "gpu": 0, "energy_uj": self.energy_uj, "at_ns": 0, "power_mw": 0}
        return json.dumps({"gpus": [gpu]}).encode()

    def page(self, now_ns: int) -> bytes | None:
        return None


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    before = link_module.use(recorder)
    monkeypatch.setattr(work_module, "work", work_module.Work())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield recorder
    link_module.use(before)


def told(link: Recorder) -> list[dict[str, int]]:
    return [one["done"] for one in link.sent if "done" in one]


def test_totals_are_told_and_begin_at_0(link: Recorder) -> None:
    for _ in range(2):
        with submeter.measure("step", units={"tokens": 400, "steps": 1}) as m:
            pass
        assert m.joules_per("tokens") == 0.25
        assert m.joules_per("steps") == 100
    assert told(link) == [
        {"tokens": 0, "steps": 0},
        {"tokens": 400, "steps": 1},
        {"tokens": 800, "steps": 2},
    ]
    assert (
        link.greetings[-1][-1] == json.dumps(link.sent[-1], separators=(",", ":")).encode() + b"\n"
    )


def test_what_is_known_only_inside(link: Recorder) -> None:
    with submeter.measure("step") as m:
        m.count(tokens=100)
        m.count(tokens=150, images=1)
    assert m.units == {"tokens": 250, "images": 1}
    assert told(link) == [{"tokens": 250, "images": 1}]
    assert math.isnan(m.joules_per("steps"))


def test_a_block_that_fails_counts_nothing(link: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), submeter.measure("step", units=5):
        raise ZeroDivisionError
    assert told(link) == [{"units": 0}]


def test_a_measurement_that_is_used_again_counts_again(link: Recorder) -> None:
    m = submeter.measure("step", units=5)
    for _ in range(2):
        with m:
            m.count(units=1)
    assert m.units == {"units": 6}
    assert told(link)[-1] == {"units": 12}


def test_without_units_nothing_is_told(link: Recorder) -> None:
    with submeter.measure("step"):
        pass
    assert link.sent == []


@pytest.mark.parametrize(
    "units", [{"Tokens": 1}, {"": 1}, {"tokens": -1}, {"tokens": 1.5}, {"tokens": True}, -1]
)
def test_what_is_no_unit(units: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        Measurement("step", units)


def test_a_forked_child_has_done_nothing() -> None:
    work = work_module.Work()
    before = link_module.use(Recorder())
    try:
        work.add({"tokens": 5})
        work.forget()
        work.add({"tokens": 1})
        assert told(link_module.link())[-1] == {"tokens": 1}  # type: ignore[arg-type]
    finally:
        link_module.use(before)
