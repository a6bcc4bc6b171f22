"""Extremes of the last fifteen seconds."""

import random

from submeter.metering import Peaks
from submeter.model import PowerPeaks
from submeter.units import NS_PER_MS, NS_PER_S


def test_nothing_read_is_nothing_known() -> None:
    assert Peaks().look(NS_PER_S) is None


def test_one_spike_is_seen_for_fifteen_seconds_and_then_forgotten() -> None:
    peaks = Peaks()
    for tick in range(300):
        at_ns = 10 * NS_PER_S + tick * 100 * NS_PER_MS
        peaks.add(at_ns, 877_000 if tick == 5 else 300_000)
        seen = peaks.look(at_ns)
        assert seen is not None
        if 5 <= tick <= 5 + 150:
            assert seen.max_mw == 877_000
        if tick > 5 + 160:
            assert seen.max_mw == 300_000


def test_a_silent_gauge_ages() -> None:
    peaks = Peaks()
    peaks.add(NS_PER_S, 5)
    assert peaks.look(16 * NS_PER_S) == PowerPeaks(15 * NS_PER_S, 5, 5)
    assert peaks.look(17 * NS_PER_S) is None


def test_same_as_looking_at_every_value() -> None:
    """Against the plain definition, at a resolution of one bucket."""
    rng = random.Random(1)
    peaks = Peaks()
    values: list[tuple[int, int]] = []
    at_ns = 0
    for _ in range(2_000):
        at_ns += rng.choice((5, 10, 100, 1_000, 5_000)) * NS_PER_MS
        power_mw = rng.randrange(700_000)
        values.append((at_ns, power_mw))
        peaks.add(at_ns, power_mw)
        oldest_ns = (at_ns // NS_PER_S - 15) * NS_PER_S
        window = [power for when, power in values if when >= oldest_ns]
        seen = peaks.look(at_ns)
        assert seen is not None
        assert (seen.min_mw, seen.max_mw) == (min(window), max(window))
