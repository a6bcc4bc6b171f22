"""Random lives of a whole node, and those that once broke something."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from submeter.metering import meter as meter_module
from submeter.model import Interval
from submeter_simulator.life import Checked, live
from submeter_simulator.oracle import Broken
from submeter_simulator.shrink import shrunk, verdict
from submeter_simulator.timeline import KINDS, Event, Timeline, generate, parse

LIVES = Path(__file__).with_name("lives.jsonl")
"""Each broke something once; `git log -S` says what."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What an agent has to say about a life like that is beside the point."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.fault("F3", "F4", "F11", "F12", "F13", "F31", "F36", "F39", "F40", "F42", "F50", "F51")
@pytest.mark.fault("F58", "F59", "F60", "F61", "F62", "F72")
@pytest.mark.parametrize("first", range(0, 100, 10))
def test_nothing_breaks_in_random_lives(first: int) -> None:
    """A failure is lived through again, and made small, by
    `make simulate ARGS='--seed N --shrink'`."""
    broken = {seed: verdict(generate(seed, seconds=20)) for seed in range(first, first + 10)}
    assert not {seed: why for seed, why in broken.items() if why}


@pytest.mark.parametrize("line", LIVES.read_text(encoding="utf-8").splitlines())
def test_what_broke_once_does_not_again(line: str) -> None:
    assert verdict(parse(line)) == ""


def test_a_life_is_the_same_every_time() -> None:
    timeline = generate(5, seconds=20)
    first, second = live(timeline), live(parse(timeline.text()))
    assert first == second
    assert first.intervals > 0


def test_lives_have_everything_in_them() -> None:
    kinds = {event.kind for seed in range(100) for event in generate(seed).events}
    assert kinds == set(KINDS)


def _quiet_life(*events: Event) -> Timeline:
    return replace(generate(0, seconds=20), boards=generate(0).boards[:1], events=events)


def test_a_quiet_life_is_metered_to_the_microjoule() -> None:
    found = live(_quiet_life())
    assert found == Checked(found.intervals, starts=1, exact=1, energy_uj=found.energy_uj)


def test_a_joule_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle can fail: here the meter forgets a microjoule, once."""
    finished = meter_module.Meter._finished
    forgets = iter([True])

    def forgetful(meter: meter_module.Meter, end_ns: int) -> Interval:
        interval = finished(meter, end_ns)
        if interval.energy_uj and next(forgets, False):
            return replace(interval, energy_uj=interval.energy_uj - 1)
        return interval

    monkeypatch.setattr(meter_module.Meter, "_finished", forgetful)
    with pytest.raises(Broken, match="µJ booked of"):
        live(_quiet_life())


def test_a_power_cut_that_the_log_would_not_survive_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk can fail: here nothing is ever synced."""
    monkeypatch.setattr("submeter_simulator.disk.FailingDisk._made_durable", lambda *_: None)
    cut = Event(15_000, "cut", for_ms=1_000)
    broken = [verdict(replace(_quiet_life(cut), seed=seed)) for seed in range(20)]
    assert any("fell from" in why or "is gone" in why for why in broken)


def test_an_estimate_that_is_given_up_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a mistake in it would look like caution: SM time alone, as where nothing is known."""

    def nonsense(*_: object) -> Iterator[None]:
        yield
        raise ZeroDivisionError

    monkeypatch.setattr("submeter.attribution.weights.solution", nonsense)
    assert "1 estimates were given up" in verdict(generate(3, seconds=90))


def test_a_life_is_shrunk_to_what_breaks_it() -> None:
    timeline = generate(3, seconds=60)
    wanted = [event for event in timeline.events if event.kind == "draw"][-2:]

    def breaks(less: Timeline) -> str:
        return "broken" if set(wanted) <= set(less.events) else ""

    assert list(shrunk(timeline, breaks).events) == wanted
