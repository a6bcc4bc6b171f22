"""Watts per unit of SM time come out of power and shares, noisy or not, or are said not to."""

import math
import random
from collections.abc import Callable, Iterator
from operator import mul

import pytest

from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior, Weights
from submeter.attribution.moments import Moments
from submeter.attribution.steps import finished
from submeter.attribution.weights import WeightLearner

NO_FLOOR = Prior(0.0, 1.0)
WATTS = {"a": 450.0, "b": 90.0, "c": 200.0}


class Bench:
    """Processes that are on and off by turns of their own, and a learner that watches."""

    def __init__(self, watts: dict[str, float], seed: int = 1) -> None:
        self.watts = watts
        self.learner: WeightLearner[str] = WeightLearner()
        self.rng = random.Random(seed)
        for key in watts:
            self.learner.meet(key, None)

    def run(
        self,
        seconds: int,
        *,
        noisy: bool,
        steady: bool = False,
        floor: float = 0.0,
        known: Prior = NO_FLOOR,
    ) -> Weights[str]:
        for second in range(seconds):
            used = {
                key: 0.25 if steady or (second // (7 + 6 * i)) % 2 else 0.03
                for i, key in enumerate(self.watts)
            }
            watts = floor + sum(self.watts[key] * share for key, share in used.items())
            self.learner.together(self.seen(used) if noisy else used, watts, known)
        assert self.learner.weights is not None
        return self.learner.weights

    def seen(self, used: dict[str, float]) -> dict[str, float]:
        """Seven samples that name one process each, as the driver's ring gives them."""
        busy = sum(used.values())
        counts = dict.fromkeys(used, 0.0)
        for key in self.rng.choices(list(used), list(used.values()), k=7):
            counts[key] += busy / 7
        return counts


def test_without_noise_they_are_exact_within_minutes() -> None:
    weights = Bench(WATTS).run(120, noisy=False)
    assert weights.learnt
    assert weights.exact
    assert dict(zip(weights.keys, weights.watts, strict=True)) == pytest.approx(WATTS, rel=0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_through_the_ring_they_are_found_within_their_errors(seed: int) -> None:
    weights = Bench(WATTS, seed).run(1800, noisy=True)
    assert weights.learnt
    assert not weights.exact
    for i, key in enumerate(weights.keys):
        sd = weights.covariance[i][i] ** 0.5
        assert weights.watts[i] == pytest.approx(WATTS[key], abs=4 * sd)
        assert abs(weights.watts[i] - WATTS[key]) < abs(weights.slope - WATTS[key]) / 2
    assert weights.of("a") > 2 * weights.of("b")


def test_shares_that_never_vary_teach_nothing_and_say_so() -> None:
    weights = Bench(WATTS).run(600, noisy=True, steady=True)
    assert not weights.learnt
    assert weights.of("a") == weights.of("b") == weights.slope
    widths = [weights.covariance[i][i] ** 0.5 for i in range(3)]
    assert min(widths) > PRIOR_SD * weights.slope / 3


def test_equal_processes_are_left_proportional() -> None:
    weights = Bench(dict.fromkeys(WATTS, 200.0)).run(900, noisy=True)
    assert weights.of("a") == pytest.approx(weights.of("b"), rel=0.15)


def test_a_stranger_draws_what_is_common() -> None:
    weights = Bench(WATTS).run(300, noisy=False)
    assert weights.of("nobody we know") == weights.slope


def test_a_program_seen_before_starts_with_its_weight() -> None:
    bench = Bench({})
    bench.watts = WATTS
    for key, watts in WATTS.items():
        bench.learner.meet(key, Prior(watts, 0.1 * watts))
    weights = bench.run(60, noisy=True, steady=True)
    assert weights.learnt
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.2)
    assert weights.of("b") == pytest.approx(WATTS["b"], rel=0.2)


def test_seconds_alone_tell_what_seconds_together_cannot() -> None:
    bench = Bench(WATTS)
    for _ in range(60):
        bench.learner.alone("a", 0.5, 0.5 * WATTS["a"])
    weights = bench.run(60, noisy=True, steady=True)
    assert weights.learnt
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.1)


def test_a_floor_nobody_saw_shows_in_how_power_follows_use() -> None:
    weights = Bench(WATTS).run(900, noisy=False, floor=120.0, known=UNKNOWN_FLOOR)
    assert weights.floor.watts == pytest.approx(120.0, abs=10)
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.1)


def test_who_has_gone_is_forgotten_and_the_others_stay_known() -> None:
    bench = Bench(WATTS)
    bench.run(400, noisy=False)
    for number in range(20):
        bench.learner.meet(f"short {number}", None)
        bench.learner.retain({"a", "b"})
    weights = bench.learner.weights
    assert weights is not None
    bench.watts = {"a": WATTS["a"], "b": WATTS["b"]}
    weights = bench.run(200, noisy=False)
    assert len(weights.keys) <= 2 + 4
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.05)
    assert weights.of("b") == pytest.approx(WATTS["b"], rel=0.05)


@pytest.mark.parametrize("break_off", [lambda learner: learner.interrupt(), lambda learner: None])
def test_an_interruption_costs_nothing_but_its_time(
    break_off: Callable[[WeightLearner[str]], None],
) -> None:
    bench = Bench(WATTS)
    for _ in range(6):
        bench.run(60, noisy=False)
        break_off(bench.learner)
    weights = bench.learner.weights
    assert weights is not None
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.05)


@pytest.mark.parametrize("late", [0, 1, 2, 3])
def test_sm_times_that_come_late_are_paired_with_the_power_of_their_time(late: int) -> None:
    bench = Bench(WATTS)
    waiting: list[dict[str, float]] = []
    for second in range(1500):
        used = {key: 0.25 if (second // (7 + 6 * i)) % 2 else 0.03 for i, key in enumerate(WATTS)}
        waiting.append(used)
        if second >= late:
            power = sum(WATTS[key] * share for key, share in used.items())
            bench.learner.together(bench.seen(waiting.pop(0)), power, NO_FLOOR)
    weights = bench.learner.weights
    assert weights is not None
    assert bench.learner.delay_seconds == late
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.15)


def test_halves_of_seconds_tell_the_same_and_a_change_of_pace_does_no_harm() -> None:
    bench = Bench(WATTS)
    late: list[dict[str, float]] = []
    for half in range(3600):
        used = {key: 0.25 if (half // (9 + 7 * i)) % 2 else 0.03 for i, key in enumerate(WATTS)}
        late.append(used)
        power = sum(WATTS[key] * share for key, share in used.items())
        if half >= 3:  # a second and a half
            seconds = 1.0 if 1000 < half < 1060 else 0.5
            bench.learner.together(bench.seen(late.pop(0)), power, NO_FLOOR, seconds=seconds)
    weights = bench.learner.weights
    assert weights is not None
    assert bench.learner.delay_seconds == 1.5
    assert weights.of("a") == pytest.approx(WATTS["a"], rel=0.15)
    assert weights.of("b") < 2 * WATTS["b"]


def test_many_processes_are_pooled_and_still_told_apart() -> None:
    watts = {f"p{i}": 60.0 + 40.0 * i for i in range(12)}
    bench = Bench(watts)
    for second in range(3000):
        used = {key: 0.08 if (second // (11 + 5 * i)) % 2 else 0.01 for i, key in enumerate(watts)}
        power = sum(watts[key] * share for key, share in used.items())
        bench.learner.together(bench.seen(used), power, NO_FLOOR)
    weights = bench.learner.weights
    assert weights is not None
    assert weights.learnt
    assert weights.of("p11") > 2 * weights.of("p0")


def test_too_many_share_a_column_and_are_strangers() -> None:
    """Forty with a weight of their own each, eight of them in the crowd: the others' weights are
    not spoilt, a solution is no larger, and a place that falls free is taken."""
    watts = {f"p{i}": 90.0 if i < 32 else 450.0 for i in range(40)}
    bench = Bench(watts)
    for second in range(1200):
        used = {
            key: 0.024 if (second // (11 + 5 * (i % 32))) % 2 else 0.002
            for i, key in enumerate(watts)
        }
        power = sum(watts[key] * share for key, share in used.items())
        bench.learner.together(used, power, NO_FLOOR, exact=True)
    weights = bench.learner.weights
    assert weights is not None
    assert len(weights.keys) == 32
    assert max(weights.watts) < 125
    assert weights.of("p39") == weights.of("p33") == weights.slope
    bench.learner.retain({key for key in watts if key != "p0"})
    for number in range(5):  # four of those who have gone are kept
        bench.learner.meet(f"short {number}", None)
        bench.learner.retain({key for key in watts if key != "p0"} - {f"p{number + 1}"})
    assert len(bench.learner._keys) <= 33


def test_solving_many_takes_many_seconds_and_little_of_each() -> None:
    """Between two seconds only a few steps are taken: the solution comes some seconds later, and
    of the processes that are there by then."""
    watts = {f"p{i}": 60.0 + 20.0 * i for i in range(20)}
    bench = Bench(watts)
    done = []
    for second in range(800):
        used = {key: 0.04 if (second // (7 + 3 * i)) % 2 else 0.01 for i, key in enumerate(watts)}
        power = sum(watts[key] * share for key, share in used.items())
        working = bench.learner._solution is not None
        if bench.learner.together(used, power, NO_FLOOR, exact=True):
            assert working  # it was begun in an earlier second
            done.append(second)
        if bench.learner._solution is not None and second > 700:
            bench.learner.retain({key for key in watts if key != "p3"})
    assert done
    weights = bench.learner.weights
    assert weights is not None
    assert weights.learnt


def test_days_are_not_believed_more_than_they_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten tells nothing: the error bar settles instead of shrinking for ever."""
    half_life = 360
    monkeypatch.setattr("submeter.attribution.moments.HALF_LIFE", half_life)
    moments = Moments()
    moments.add_column()
    known = []
    for second in range(8_000):  # past the weight at which all is scaled down
        moments.observe([1.0, 0.4 if second // 40 % 2 else 0.1], 100.0)
        if second in (3_000, 7_999):
            normal = finished(moments.normal(0.0))
            assert normal is not None
            known.append(normal.matrix[0][0])
    assert known == pytest.approx([2 * half_life / math.log(2)] * 2, rel=0.05)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_a_board_says_makes_it_fail(seed: int) -> None:
    """A board that draws nothing while it is used, or nonsense; everybody leaves at once."""
    dice = random.Random(seed)
    learner: WeightLearner[int] = WeightLearner()
    live: set[int] = set()
    floor = dice.choice((UNKNOWN_FLOOR, NO_FLOOR, Prior(70.0, 5.0)))
    watts = 300.0
    for second in range(100):
        chance = dice.random()
        if chance < 0.2 and len(live) < 5:
            prior = Prior(dice.choice((0.0, 1e-9, 100.0, 1e6)), dice.choice((1e-12, 0.1, 1e5)))
            learner.meet(second, dice.choice((None, prior)))
            live.add(second)
        elif chance < 0.3:
            live = set(list(live)[1:]) if dice.random() < 0.8 else set()
            learner.retain(live)
        elif chance < 0.36:
            watts = dice.choice((0.0, 1e-9, 70.0, 700.0, 4_294_967.295))
        if live:
            shares = {key: dice.choice((0.0, dice.random())) for key in live}
            learner.together(shares, watts, floor)
    if learner.weights is not None:
        assert all(map(math.isfinite, learner.weights.watts))


def test_a_newcomer_is_solved_for_at_once_however_rarely_the_others_are() -> None:
    bench = Bench(WATTS)
    bench.run(2_400, noisy=False)
    used = dict.fromkeys(WATTS, 0.2)
    while not bench.learner.together(used, 148.0, NO_FLOOR):
        pass  # just solved: the next one would be two minutes away
    bench.learner.meet("d", None)
    for second in range(35):
        share = 0.3 if second // 5 % 2 else 0.05
        bench.learner.together({**used, "d": share}, 148.0 + 300.0 * share, NO_FLOOR)
    weights = bench.learner.weights
    assert weights is not None
    assert "d" in weights.index


def test_seconds_that_nobody_shares_count_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time all work, else one by turns: there the ring leaves nothing to chance."""
    errors = []
    for weighed in (True, False):
        if not weighed:
            monkeypatch.setattr(Moments, "_telling", lambda *_: 1.0)
        off = 0.0
        for seed in range(6):
            bench = Bench(WATTS, seed)
            for second in range(300):
                turn = list(WATTS)[second // 20 % 3]
                used = {key: 0.3 for key in WATTS if second // 10 % 2 or key == turn}
                watts = sum(WATTS[key] * share for key, share in used.items())
                bench.learner.together(bench.seen(used), watts, NO_FLOOR)
            weights = bench.learner.weights
            assert weights is not None
            off += sum(abs(weights.of(key) - watts) / watts for key, watts in WATTS.items())
        errors.append(off)
    assert errors[0] < 0.6 * errors[1]


def test_a_second_is_not_favoured_for_what_the_ring_missed_in_it() -> None:
    told = []
    for middle in ([1.0, 0.3, 0.3], [1.0, 0.6, 0.0]):
        moments = Moments()
        moments.add_column()
        moments.add_column()
        for now in ([1.0, 0.3, 0.3], middle):  # each with all its neighbours
            moments.interrupt()
            for second in range(25):
                moments.observe(list(now) if second == 12 else [1.0, 0.3, 0.3], 100.0)
        normal = finished(moments.normal(0.0))
        assert normal is not None
        told.append(normal.matrix[0][0])
    assert told[0] == pytest.approx(told[1])


@pytest.mark.parametrize("seed", range(8))
def test_who_is_equal_or_always_the_same_is_not_taken_for_unsampled(seed: int) -> None:
    assert not Bench(WATTS, seed).run(120, noisy=True, steady=True).exact
    assert not Bench(dict.fromkeys(WATTS, 70.0 + 13 * seed), seed).run(120, noisy=True).exact


def test_with_who_is_forgotten_what_he_drew_goes() -> None:
    moments = Moments()
    moments.add_column()
    moments.add_column()
    for second in range(60):
        one, other = (0.5, 0.1) if second // 5 % 2 else (0.1, 0.4)
        moments.observe([1.0, one, other], 400.0 * one + 100.0 * other)
    moments.drop_column(1, 400.0)
    normal = finished(moments.normal(0.0))
    assert normal is not None
    assert normal.slope == pytest.approx(100.0)


def test_that_all_is_scaled_down_now_and_then_changes_nothing() -> None:
    """Weights grow with time, and floats don't for ever."""
    dice = random.Random(3)
    seconds = []
    for second in range(400):
        used = [0.3 if second // (7 + 4 * i) % 2 else 0.1 for i in range(3)]
        seen = [sum(dice.random() < share for _ in range(7)) / 7 for share in used]
        seconds.append(([1.0, *seen], 60.0 + sum(map(mul, used, (150.0, 300.0, 600.0)))))
    normals = []
    for scaled in (False, True):
        moments = Moments()
        for _ in range(3):
            moments.add_column()
        for second, (seen, watts) in enumerate(seconds):
            moments.observe(list(seen), watts)
            if scaled and second in (150, 333):
                moments._renormalise()
        normal = finished(moments.normal(60.0))
        assert normal is not None
        assert not normal.exact
        normals.append(normal)
    plain, scaled_down = normals
    assert scaled_down.right == pytest.approx(plain.right)
    assert scaled_down.slope == pytest.approx(plain.slope)
    assert scaled_down.square == pytest.approx(plain.square)
    for row, same in zip(scaled_down.matrix, plain.matrix, strict=True):
        assert row == pytest.approx(same)
    for row, same in zip(scaled_down.sampling, plain.sampling, strict=True):
        assert row == pytest.approx(same)


def test_seconds_that_are_pooled_end_where_somebody_comes() -> None:
    """What was seen before has no column for him."""
    bench = Bench({f"{number}": 10.0 * number for number in range(1, 21)})
    share = dict.fromkeys(bench.watts, 0.04)
    for second in range(12):
        bench.learner.together(share, 84.0, NO_FLOOR)
        if second == 8:
            bench.learner.meet("late", None)
    bench.learner.retain({"late"})
    assert bench.learner.knows("late")


def test_a_solution_that_ends_in_nonsense_costs_the_weights_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Iterator[None]:
        yield
        raise ZeroDivisionError

    bench = Bench(WATTS)
    bench.run(120, noisy=False)
    with monkeypatch.context() as patched:
        patched.setattr("submeter.attribution.weights.solution", broken)
        while not bench.learner.failures:
            bench.learner.together(bench.seen(dict.fromkeys(WATTS, 0.2)), 200.0, NO_FLOOR)
        assert bench.learner.weights is None
    assert bench.run(200, noisy=False).learnt, "what is seen afterwards tells it again"
