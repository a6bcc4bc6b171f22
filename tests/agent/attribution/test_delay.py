"""How late SM times are: found where both move together, and no sooner than it is sure."""

import random
from statistics import fmean

import pytest

from submeter.attribution.delay import LONGEST, Delay

KEYS = ("a", "b")
SUBSETS = (("a", "c"), ("b", "c"), ("a", "b"), ("a",), ("b",), ("c",))


def fed(delay: Delay[str], seconds: int, late: int, seed: int = 1) -> list[int]:
    """Feeds it; gives the seconds after which it changed its mind."""
    dice = random.Random(seed)
    shares: list[dict[str, float]] = []
    changed = []
    for second in range(seconds):
        shares.append({key: dice.random() for key in KEYS})
        power = 300 * shares[-1]["a"] + 100 * shares[-1]["b"]
        delay.watts(shares[max(second - late, 0)], power)
        if delay.changed():
            changed.append(second)
    return changed


@pytest.mark.parametrize("late", range(LONGEST + 1))
def test_it_is_found_at_the_first_look_and_stays(late: int) -> None:
    delay: Delay[str] = Delay()
    # compared are seconds that have three before them; the first look is after two minutes of it
    assert fed(delay, 400, late) == ([LONGEST + 119] if late else [])
    assert delay.seconds == late


def test_power_is_paired_with_the_shares_that_come_late() -> None:
    delay: Delay[str] = Delay()
    assert [delay.watts({"a": 0.5}, float(watts)) for watts in range(6)] == [0, 1, 2, 3, 4, 5]
    delay = Delay(late=2)
    for watts in range(6):
        delay.watts({"a": 0.5}, float(watts))
    assert delay.watts({"a": 0.5}, 6.0) == 4.0
    delay.interrupt()
    found = [delay.watts({"a": 0.5}, float(watts)) for watts in range(10, 16)]
    assert found == [None, None, None, 11.0, 12.0, 13.0]


def test_what_nobody_caused_is_no_delay() -> None:
    for seed in range(5):
        dice = random.Random(seed)
        delay: Delay[str] = Delay()
        for _ in range(700):
            delay.watts({key: dice.random() for key in KEYS}, 100 * dice.random())
            assert not delay.changed()
    still: Delay[str] = Delay()
    for _ in range(200):
        still.watts({"a": 0.5}, 100.0)
        assert not still.changed()


def test_a_driver_that_changes_its_mind_is_followed_for_an_hour() -> None:
    delay: Delay[str] = Delay()
    fed(delay, 3_000, 1)
    assert delay.seconds == 1
    changed = fed(delay, 600, 3, seed=2)
    assert len(changed) == 1
    assert delay.seconds == 3
    fed(delay, 3_000, 0, seed=3)
    seen = round(delay.seconds)
    fed(delay, 3_000, 3 - seen, seed=4)
    assert delay.seconds == seen, "known for an hour, it stays"


def test_eight_tell_it_and_who_has_gone_makes_room() -> None:
    delay: Delay[str] = Delay()
    many = {f"p{number}": 0.1 for number in range(12)}
    for _ in range(5):
        delay.watts(many, 100.0)
    assert len(delay._each) == 8
    delay.forget("p3")
    delay.forget("nobody")
    assert len(delay._each) == 7
    delay.watts(many, 100.0)
    assert len(delay._each) == 8


@pytest.mark.parametrize("seed", range(8))
def test_half_a_period_away_is_no_delay(seed: int) -> None:
    """Steps of two reports: power goes down when they go up one report away, as surely as it goes
    up with them now; which is clearer is the dice's to say."""
    dice = random.Random(seed)
    delay: Delay[str] = Delay()
    for second in range(2_000):
        power = 100 * (second % 2) + 5 * dice.random()
        delay.watts({"a": 0.6 * (second % 2) + 0.4 * dice.random(), "b": dice.random()}, power)
        assert not delay.changed()
    assert delay._score(0) > 1.3 * delay._score(1)


def test_who_draws_little_and_takes_time_from_others_tells_it_too() -> None:
    """A board without time to spare: power goes down when he works."""
    dice = random.Random(5)
    delay: Delay[str] = Delay()
    shares = [{"a": 0.5, "b": 0.5}] * 3
    changed = []
    for second in range(400):
        low = dice.uniform(0.2, 0.8)
        shares.append({"a": 1 - low + 0.3 * dice.random(), "low": low})
        delay.watts(shares[-3], 400 - 300 * low + 60 * dice.random())
        if delay.changed():
            changed.append(second)
    assert delay.seconds == 2
    assert changed == [LONGEST + 119]


def test_what_all_used_together_tells_most() -> None:
    """Seven samples a second between eight hide each of them, their sum they don't."""
    dice = random.Random(3)
    delay: Delay[str] = Delay()
    sums = [0.0] * 3
    changed = []
    for second in range(400):
        level = dice.uniform(0.5, 0.6)
        sums.append(level)
        late = sums[-3]
        shares = dict.fromkeys("abcdefgh", 0.0)
        for _ in range(7):
            shares[dice.choice("abcdefgh")] += late / 7
        delay.watts(shares, 300 * level)
        if delay.changed():
            changed.append(second)
    assert delay.seconds == 2
    assert len(changed) == 1


@pytest.mark.parametrize("late", range(LONGEST + 1))
def test_a_score_is_what_weights_not_below_0_explain_times_the_seconds(late: int) -> None:
    """Over the first minutes, in which all seconds count the same. `b` takes from `a`, and would
    have a weight below 0."""
    dice = random.Random(7)
    delay: Delay[str] = Delay()
    shares, powers = [], []
    for _ in range(500 + LONGEST):
        a, b = dice.random(), dice.random()
        shares.append({"a": a - 0.3 * b, "b": b, "c": dice.random()})
        powers.append(100 * dice.random() + 50 * a - 30 * b + 80 * shares[-1]["c"])
        delay.watts(shares[-1], powers[-1])
    told, moved = shares[LONGEST:], powers[LONGEST - late : len(powers) - late]
    explained = max(_r_squared(told, moved, keys) for keys in SUBSETS)
    assert delay._score(late) == pytest.approx(500 * explained, rel=0.1, abs=4.0)


def _r_squared(told: list[dict[str, float]], moved: list[float], keys: tuple[str, ...]) -> float:
    """Of ordinary least squares on two columns at most."""
    columns = [[share[key] for share in told] for key in keys]
    means = [fmean(column) for column in columns]
    x = [[value - mean for value in column] for column, mean in zip(columns, means, strict=True)]
    y = [power - fmean(moved) for power in moved]
    if len(x) == 1:
        return _dot(x[0], y) ** 2 / _dot(x[0], x[0]) / _dot(y, y)
    (aa, ab), (ba, bb) = ([_dot(one, other) for other in x] for one in x)
    ay, by = (_dot(one, y) for one in x)
    weights = [(bb * ay - ab * by) / (aa * bb - ab * ba), (aa * by - ba * ay) / (aa * bb - ab * ba)]
    if min(weights) < 0:
        return 0.0
    return (weights[0] * ay + weights[1] * by) / _dot(y, y)


def _dot(one: list[float], other: list[float]) -> float:
    return sum([a * b for a, b in zip(one, other, strict=True)])
