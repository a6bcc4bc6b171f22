"""∫power against the counter."""

from dataclasses import replace

import pytest

from submeter.metering import AVERAGE_LAG_NS, CrossCheck, Meter
from submeter.model import EnergySource, Interval, Reading, SuspectReason
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J


def second(number: int, counter_j: int, integral_j: int) -> Interval:
    return Interval(
        gpu_uuid="GPU-1",
        epoch=0,
        start_ns=number * NS_PER_S,
        end_ns=(number + 1) * NS_PER_S,
        energy_uj=counter_j * UJ_PER_J,
        source=EnergySource.COUNTER,
        counter_uj=counter_j * UJ_PER_J,
        integral_uj=integral_j * UJ_PER_J,
    )


def test_unknown_before_thirty_seconds() -> None:
    check = CrossCheck()
    for number in range(30):
        assert check.ppm() is None
        check.add(second(number, 100, 99))
    assert check.ppm() == 990_000


def test_unknown_where_next_to_nothing_was_used() -> None:
    check = CrossCheck()
    for number in range(100):
        check.add(second(number, 0, 0))
    assert check.ppm() is None


def test_what_is_older_than_ten_minutes_is_forgotten() -> None:
    check = CrossCheck()
    for number in range(700):
        check.add(second(number, 100, 50))
    for number in range(700, 1_300):
        check.add(second(number, 100, 101))
    assert check.ppm() == 1_010_000


@pytest.mark.parametrize(
    "odd",
    [
        {"observed": False},
        {"resets": 1},
        {"suspect_uj": ((SuspectReason.JUMP, 1),)},
        {"integral_uj": None},
        {"counter_uj": None},
        {"source": EnergySource.AVERAGE},
        {"integral_uj": 1 << 64},
    ],
)
def test_intervals_that_can_not_be_compared_are_left_out(odd: dict[str, object]) -> None:
    check = CrossCheck()
    for number in range(60):
        check.add(second(number, 100, 100))
        check.add(replace(second(number, 100, 100_000), **odd))  # type: ignore[arg-type]
    assert check.ppm() == 1_000_000


@pytest.mark.fault("F15")
def test_a_disagreement_shows() -> None:
    """The case of Zeus issue 181: 187 J by the counter, 327 J by power, over 5 s."""
    check = CrossCheck()
    for number in range(60):
        check.add(second(number, 37, 65))
    assert check.ppm() == 65_000_000 // 37


@pytest.mark.parametrize(("before_w", "after_w"), [(100, 700), (700, 100)])
def test_the_lag_of_the_average_is_no_disagreement(before_w: int, after_w: int) -> None:
    """A load that changes at 0.3 s before the end; the average still shows the last second."""
    tick_ns = 10 * NS_PER_MS
    end, change = 4_000, 3_970
    true_mw = [(before_w if tick < change else after_w) * 1_000 for tick in range(end + 1)]
    meter = Meter("GPU-1", EnergySource.COUNTER, 700_000, 100 * NS_PER_MS)
    lagging, plain = CrossCheck(lag_ns=AVERAGE_LAG_NS), CrossCheck()
    energy_uj = 0
    for tick in range(100, end + 1):
        at_ns = NS_PER_S + tick * tick_ns
        energy_uj += true_mw[tick] * tick_ns // 1_000_000
        average_mw = sum(true_mw[tick - 99 : tick + 1]) // 100
        meter.observe(Reading(at_ns, energy_uj, None, None, None, average_mw, None))
        if at_ns % NS_PER_S == 0:
            for interval in meter.close(at_ns):
                lagging.add(interval)
                plain.add(interval)
    ratio = lagging.ppm()
    rough = plain.ppm()
    assert ratio is not None
    assert rough is not None
    assert abs(ratio - 1_000_000) < 20_000
    assert abs(ratio - 1_000_000) < abs(rough - 1_000_000)


def test_fifty_joules_are_enough_and_not_a_microjoule_less() -> None:
    for uj, ppm in ((50 * UJ_PER_J, 2_000_000), (50 * UJ_PER_J - 1, None)):
        check = CrossCheck()
        check.add(replace(second(0, 0, 0), end_ns=30 * NS_PER_S, counter_uj=uj, integral_uj=2 * uj))
        assert check.ppm() == ppm
    short = CrossCheck()
    short.add(replace(second(0, 100, 100), end_ns=30 * NS_PER_S - 1))
    assert short.ppm() is None


def test_a_sliver_has_no_power_to_compare() -> None:
    for end_ns, ppm in ((NS_PER_MS, 1_500_000), (NS_PER_MS - 1, 1_000_000)):
        check = CrossCheck()
        check.add(replace(second(0, 100, 100), end_ns=60 * NS_PER_S))
        check.add(replace(second(0, 100, 200), end_ns=end_ns))
        assert check.ppm() == ppm


@pytest.mark.parametrize("lag_ms", [0, 500])
def test_the_window_slides_second_by_second(lag_ms: int) -> None:
    """Against the plain definition: the newest intervals that are not more than the window."""
    check = CrossCheck(window_ns=40 * NS_PER_S, lag_ns=lag_ms * NS_PER_MS)
    kept: list[tuple[int, int]] = []
    for number in range(300):
        counter_j, integral_j = 20 + number * 7 % 31, 20 + number * 11 % 37
        check.add(second(number, counter_j, integral_j))
        kept = [*kept, (counter_j, integral_j)][-40:]
        if len(kept) < 30:
            assert check.ppm() is None
            continue
        rise_w = kept[-1][0] - kept[0][0]
        integral_uj = sum(each for _, each in kept) * UJ_PER_J + rise_w * lag_ms * 1_000
        assert check.ppm() == integral_uj * 1_000_000 // (sum(each for each, _ in kept) * UJ_PER_J)
