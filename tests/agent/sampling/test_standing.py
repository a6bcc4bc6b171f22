"""How the counter stood at the newest entry of the ring that a utilisation call told of."""

import pytest

from submeter.model import Reading, UtilisationSample
from submeter.sampling.standing import Standing
from submeter.units import NS_PER_MS, NS_PER_S

WALL_US = 1_700_000_000_000_000


def reading(at_ms: int, watts: int, *, late_ms: int = 0, stamped: bool = True) -> Reading:
    """The counter of a board that draws so much all the time, as it stood ``late_ms`` before."""
    seen_ms = at_ms - late_ms
    at_us = WALL_US + seen_ms * 1000 if stamped else None
    return Reading(at_ms * NS_PER_MS, seen_ms * watts * 1000, at_us, None, None, None, None)


def entries(at_ms: int) -> list[UtilisationSample]:
    """Two processes, one of which was seen at that time, the other before."""
    return [
        UtilisationSample(11, WALL_US + (at_ms - 140) * 1000, 50),
        UtilisationSample(12, WALL_US + at_ms * 1000, 50),
    ]


def test_the_counter_is_interpolated_at_the_newest_entry() -> None:
    standing = Standing()
    standing.ask(500 * NS_PER_MS, entries(430))
    standing.show([reading(400, 100), reading(500, 100)])
    ((at_ns, found),) = standing.answers
    assert at_ns == 500 * NS_PER_MS
    assert found.energy_uj == 430 * 100_000
    assert found.energy_at_us == WALL_US + 430_000


def test_a_counter_that_is_late_is_waited_for() -> None:
    standing = Standing()
    standing.ask(500 * NS_PER_MS, entries(480))
    standing.show([reading(500, 100, late_ms=60)])
    assert not standing.answers
    standing.show([reading(600, 100, late_ms=60)])
    ((_, found),) = standing.answers
    assert found.energy_uj == 480 * 100_000


@pytest.mark.parametrize("stamped", [True, False])
def test_without_timestamps_it_is_the_first_reading_from_the_call_on(stamped: bool) -> None:
    standing = Standing()
    standing.ask(500 * NS_PER_MS, [] if stamped else entries(430))
    readings = [reading(at_ms, 100, stamped=stamped) for at_ms in (400, 520, 600)]
    standing.show(readings)
    assert [found for _, found in standing.answers] == [readings[1]]


def test_timestamps_of_another_clock_are_no_time() -> None:
    standing = Standing()
    standing.ask(500 * NS_PER_MS, [UtilisationSample(11, 7, 50)])
    readings = [reading(400, 100), reading(520, 100)]
    standing.show(readings)
    assert [found for _, found in standing.answers] == [readings[1]]


def test_a_counter_whose_time_stands_still_is_not_waited_for_for_ever() -> None:
    standing = Standing()
    standing.ask(500 * NS_PER_MS, entries(480))
    for at_ms in range(500, 3_000, 100):
        stuck = reading(at_ms, 100)._replace(energy_at_us=WALL_US + 400_000)
        standing.show([stuck])
    assert len(standing.answers) == 1


def test_a_counter_that_began_anew_is_taken_as_it_is() -> None:
    standing = Standing()
    standing.ask(500 * NS_PER_MS, entries(430))
    anew = reading(500, 100)._replace(energy_uj=0)
    standing.show([reading(400, 100), anew])
    assert [found for _, found in standing.answers] == [anew]


def test_readings_are_kept_only_while_somebody_asks() -> None:
    standing = Standing()
    found = [standing.wanted]
    standing.ask(500 * NS_PER_MS, entries(430))
    standing.show([reading(400, 100), reading(500, 100)])
    found.append(standing.wanted)
    standing.show([reading(500 + 4 * NS_PER_S // NS_PER_MS, 100)])
    assert [*found, standing.wanted] == [False, True, False]
