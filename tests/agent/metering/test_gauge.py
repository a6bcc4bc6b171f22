"""What a board shows of its power: the extremes, and an integral without holes."""

import pytest

from submeter.metering.gauge import Gauge, Stretch
from submeter.model import EnergySource
from submeter.units import NS_PER_S

CEILING_MW = 1_000


def gauge(source: EnergySource = EnergySource.COUNTER) -> Gauge:
    return Gauge(source, CEILING_MW, NS_PER_S)


def test_what_was_shown_since_the_last_cut() -> None:
    made = gauge()
    assert made.add(0, 300, 200) is False  # a first point joins none
    assert made.cut() == Stretch(300, 300, None)
    assert made.add(NS_PER_S, 500, 200) is True
    assert made.add(2 * NS_PER_S, 100, 400) is True
    assert made.cut() == Stretch(100, 500, 200_000 + 300_000)
    assert made.cut() == Stretch(None, None, None)
    made.add(3 * NS_PER_S, 400, 400)
    assert made.cut() == Stretch(400, 400, 400_000)
    made.add(4 * NS_PER_S + 1, 400, 400)  # too far from the one before
    made.add(5 * NS_PER_S, 400, 400)
    assert made.cut() == Stretch(400, 400, None)
    made.add(6 * NS_PER_S, 0, 0)
    assert made.cut() == Stretch(0, 0, 200_000)


def test_what_was_shown_and_never_integrated_is_not_nothing() -> None:
    made = gauge(EnergySource.AVERAGE)
    made.add(0, 300, None)
    made.add(NS_PER_S, 300, None)
    assert made.cut() == Stretch(300, 300, None)


@pytest.mark.parametrize(
    ("source", "instant_mw", "average_mw", "energy_uj"),
    [
        (EnergySource.COUNTER, 300, 200, 200_000),
        (EnergySource.COUNTER, 300, None, 300_000),
        (EnergySource.COUNTER, None, 200, 200_000),
        (EnergySource.COUNTER, None, None, None),
        (EnergySource.AVERAGE, 300, 200, 200_000),
        (EnergySource.AVERAGE, 300, None, None),
        (EnergySource.INSTANT, 300, 200, 300_000),
        (EnergySource.INSTANT, None, 200, None),
        (EnergySource.NONE, 300, 200, None),
        (EnergySource.COUNTER, 0, 0, 0),
        (EnergySource.COUNTER, CEILING_MW, CEILING_MW, 1_000_000),
        (EnergySource.COUNTER, CEILING_MW, CEILING_MW + 1, None),
        (EnergySource.COUNTER, CEILING_MW, -1, None),
    ],
)
def test_which_gauge_is_integrated(
    source: EnergySource, instant_mw: int | None, average_mw: int | None, energy_uj: int | None
) -> None:
    made = gauge(source)
    answers = [made.add(second * NS_PER_S, instant_mw, average_mw) for second in (1, 2)]
    assert answers == ([None, None] if energy_uj is None else [False, True])
    assert made.integral.energy_uj == (energy_uj or 0)


@pytest.mark.parametrize(
    ("instant_mw", "average_mw", "shown_mw"),
    [(300, 200, 300), (None, 200, 200), (0, 200, 0), (CEILING_MW, 0, CEILING_MW), (1_001, 5, None),
     (-1, 5, None), (None, None, None)],
)  # fmt: skip
def test_what_is_shown_is_the_moments_power_where_there_is_any(
    instant_mw: int | None, average_mw: int | None, shown_mw: int | None
) -> None:
    made = gauge()
    made.add(NS_PER_S, instant_mw, average_mw)
    peaks = made.peaks.look(NS_PER_S)
    assert (None if peaks is None else peaks.max_mw) == shown_mw
    assert made.cut()[:2] == (shown_mw, shown_mw)


def test_where_there_is_no_source_no_power_is_believed() -> None:
    made = gauge(EnergySource.NONE)
    made.add(NS_PER_S, 0, 0)
    assert made.cut() == Stretch(None, None, None)
    assert made.peaks.look(NS_PER_S) is None
