"""What is owed is paid, within limits; nobody pays for a second he did not work in."""

import pytest

from submeter.attribution.learnt import Prior
from submeter.attribution.steps import finished
from submeter.attribution.tab import Tab, _Chunk, _Spent


class Known:
    """Rates of two parties."""

    exact = False
    floor: Prior | None = None

    def __init__(self, a: float, b: float, sd: float = 0.0) -> None:
        self.watts = {"a": a, "b": b}
        self.sd = sd

    def of(self, party: str) -> float:
        return self.watts[party]

    def covariance(self, one: str, other: str) -> float:
        return self.sd**2 if one == other else 0.0

    def whose(self, party: str) -> str:
        return party


EQUAL, UNLIKE = Known(1.0, 1.0), Known(3.0, 1.0)
HALVES = {"a": 0.5, "b": 0.5}


def test_by_sm_time_while_nothing_is_learnt() -> None:
    assert Tab[str]().book({"a": 0.6, "b": 0.2}, 800, 1.0, EQUAL, pay=False) == {"a": 600, "b": 200}


def test_by_weights_once_they_are() -> None:
    assert Tab[str]().book(HALVES, 1000, 1.0, UNLIKE, pay=True) == {"a": 750, "b": 250}


def test_better_weights_make_up_for_worse_ones_step_by_step() -> None:
    tab: Tab[str] = Tab()
    booked = {"a": 0, "b": 0}
    for second in range(400):
        learnt = second >= 100
        if second == 100:
            tab.reprice(UNLIKE)
        rates = UNLIKE if learnt else EQUAL
        parts = tab.book(HALVES, 1_000_000, 1.0, rates, pay=learnt)
        if learnt:
            assert parts["b"] >= 0
            assert parts["a"] <= 750_000 + 250_000
        booked = {party: booked[party] + part for party, part in parts.items()}
    assert booked["a"] == pytest.approx(0.75 * 400_000_000, rel=1e-3)


def test_who_did_not_work_is_booked_nothing_whatever_he_owes() -> None:
    tab: Tab[str] = Tab()
    for _ in range(100):
        tab.book(HALVES, 1000, 1.0, EQUAL, pay=False)
    tab.reprice(UNLIKE)
    assert tab.book({"b": 0.3, "a": 0.0}, 1000, 1.0, UNLIKE, pay=True) == {"b": 1000}


def test_nobody_worked_or_nothing_was_drawn() -> None:
    assert Tab[str]().book({"a": 0.0}, 1000, 1.0, EQUAL, pay=True) == {}
    assert Tab[str]().book(HALVES, 0, 1.0, EQUAL, pay=True) == {}


def test_the_error_has_the_weights_the_sampling_and_the_debt_in_it() -> None:
    exact = Known(3.0, 1.0)
    exact.exact = True
    tab: Tab[str] = Tab()
    for _ in range(300):
        tab.book(HALVES, 1_000_000, 1.0, exact, pay=True)
    groups = [["a"], ["b"]]
    assert finished(tab.errors(groups, exact)) == pytest.approx([0.0, 0.0], abs=300)
    sampled = finished(tab.errors(groups, UNLIKE))
    assert sampled[0] == pytest.approx(sampled[1])
    # share of a 3/4 through n = 7.2 · 300 samples: 3·1/4² · 2 · √(p(1−p)/n)·…, by the derivative
    assert sampled[0] == pytest.approx(300e6 * 0.375 * (0.5 / (7.2 * 300) ** 0.5) * 2, rel=0.01)
    unsure = Known(3.0, 1.0, sd=0.3)
    unsure.exact = True
    # d share / d rate = β_b/(β_a+β_b)² and −β_a/(…)²
    slope = (1.0**2 + 3.0**2) ** 0.5 / 16
    assert finished(tab.errors(groups, unsure))[0] == pytest.approx(300e6 * slope * 0.3, rel=0.01)


def test_all_together_are_exact() -> None:
    tab: Tab[str] = Tab()
    for _ in range(100):
        tab.book(HALVES, 1_000_000, 1.0, UNLIKE, pay=True)
    (error,) = finished(tab.errors([["a", "b"]], Known(3.0, 1.0, sd=0.5)))
    assert error < 100


def test_a_floor_that_is_off_is_an_error() -> None:
    rates = Known(3.0, 1.0)
    rates.exact = True
    rates.floor = Prior(30.0, 10.0)
    tab: Tab[str] = Tab()
    for _ in range(100):
        tab.book(HALVES, 100_000_000, 1.0, rates, pay=True)
    for group in ("a", "b"):
        (error,) = finished(tab.errors([[group]], rates))
        assert error == pytest.approx(0.25 * 10 * 100 * 1e6, rel=0.01)


def test_a_floor_that_was_not_taken_off_is_an_error_until_it_was() -> None:
    rates = Known(1.0, 1.0)
    rates.exact = True
    rates.floor = Prior(30.0, 0.0)
    for taken_uj, missed_j in ((0, 3000), (30_000_000, 0), (50_000_000, 2000)):
        tab: Tab[str] = Tab()
        for _ in range(100):
            tab.book(HALVES, 100_000_000, 1.0, rates, pay=True)
            tab.unsure(1.0, taken_uj)
        (error,) = finished(tab.errors([["a"]], rates))
        assert error == pytest.approx(missed_j / 2 * 1e6, abs=1)


def test_days_of_sharing_stay_a_few_chunks() -> None:
    tab: Tab[str] = Tab()
    for _ in range(100):
        for _ in range(2):
            tab.book(HALVES, 30_000_000, 30.0, UNLIKE, pay=True)
    assert sum(finished(tab.errors([["a"]], Known(3.0, 1.0, 0.1)))) > 0
    assert tab.is_settled("c")
    tab.forget("a")
    assert tab.parties() == ["b"]


class Rated:
    """Rates of anybody, without errors."""

    exact = True
    floor: Prior | None = None

    def __init__(self, **watts: float) -> None:
        self.watts = watts

    def of(self, party: str) -> float:
        return self.watts[party]

    def covariance(self, _one: str, _other: str) -> float:
        return 0.0

    def whose(self, party: str) -> str:
        return party


THIRDS = {"a": 0.3, "b": 0.3, "c": 0.3}


def test_at_most_half_of_a_seconds_energy_is_booked_otherwise() -> None:
    """a has been booked a third of what was more his: he is paid by the other two."""
    equal, unlike = Rated(a=1, b=1, c=1), Rated(a=2, b=1, c=1)
    tab: Tab[str] = Tab()
    for _ in range(100):
        tab.book(THIRDS, 1_200, 1.0, equal, pay=False)
    tab.reprice(unlike)
    # fair are 600, 300, 300; half of 1200 is 600 more for a, from b and c alike
    assert tab.book(THIRDS, 1_200, 1.0, unlike, pay=True) == {"a": 1_200, "b": 0, "c": 0}
    even: Tab[str] = Tab()
    even.book(THIRDS, 1_200, 1.0, equal, pay=False)
    even.reprice(unlike)
    # of two seconds a should have 1200, has 400, and is due 800: 200 more than his fair 600
    assert even.book(THIRDS, 1_200, 1.0, unlike, pay=True) == {"a": 800, "b": 200, "c": 200}


def test_who_is_away_keeps_what_he_is_owed() -> None:
    equal, unlike = Rated(a=1, b=1, c=1), Rated(a=2, b=1, c=1)
    tab: Tab[str] = Tab()
    tab.book(THIRDS, 1_200, 1.0, equal, pay=False)
    tab.reprice(unlike)
    two = {"b": 0.3, "c": 0.3}
    assert tab.book(two, 1_200, 1.0, unlike, pay=True) == {"b": 600, "c": 600}
    # the chunk as a whole: 2·0.6 s of a beside 0.9 s each of b and c
    parts = tab.book(THIRDS, 1_200, 1.0, unlike, pay=True)
    total_a = 400 + parts["a"]
    assert total_a == pytest.approx(3_600 * 1.2 / 3.0, abs=1)


def test_a_chunk_is_a_minute_and_sixty_four_are_kept() -> None:
    rates = Rated(a=1, b=1)
    tab: Tab[str] = Tab()
    for _ in range(60):
        tab.book(HALVES, 100, 1.0, rates, pay=False)
    assert not tab._chunks
    tab.book(HALVES, 100, 1.0, rates, pay=False)
    assert [chunk.seconds for chunk in tab._chunks] == [60.0]
    assert tab._open.seconds == 1.0
    assert tab._settled == {"a": 3_000.0, "b": 3_000.0}
    for _ in range(64 * 60):
        tab.book(HALVES, 100, 1.0, rates, pay=False)
    assert len(tab._chunks) == 64
    assert tab._frozen == {"a": 3_000.0, "b": 3_000.0}
    assert tab._settled == {"a": 65 * 3_000.0, "b": 65 * 3_000.0}
    tab.reprice(Rated(a=3, b=1))
    # what is frozen stays as it was
    assert tab._settled == {"a": 3_000.0 + 64 * 4_500.0, "b": 3_000.0 + 64 * 1_500.0}


def test_with_many_parties_fewer_chunks_are_kept() -> None:
    names = [f"p{number}" for number in range(400)]
    rates = Rated(**dict.fromkeys(names, 1.0))
    tab: Tab[str] = Tab()
    for minute in range(8):
        for name in names[50 * minute : 50 * minute + 50]:
            tab.book({name: 1.0}, 100, 61.0 / 50, rates, pay=False)
    kept = {name for chunk in tab._chunks for name in chunk.sm_s}
    assert 200 <= len(kept) <= 256
    assert tab.is_settled("p0")
    assert not tab.is_settled("p399")
    tab.forget("p0")
    assert "p0" not in tab.parties()
    assert len(tab.parties()) == 399


def test_the_debt_of_one_who_is_settled_is_his_error() -> None:
    tab: Tab[str] = Tab()
    tab._settled, tab._posted, tab._frozen_sd = {"a": 700.0}, {"a": 1_000.0}, {"a": 400.0}
    assert tab.settled_error("a") == 500.0
    assert tab.settled_error("nobody") == 0.0


def test_a_floor_that_nobody_saw_is_off_by_what_was_taken_and_by_what_is_not_known() -> None:
    chunk = _Chunk[str]({}, seconds=10.0, unsure_s=4.0, unsure_uj=90e6)
    # 30 W for 4 s are 120 J, of which 90 were taken; and 10 W over 4 s, and over the other 6
    assert chunk.floor_errors_uj(Prior(30.0, 10.0)) == pytest.approx((110e6, 50e6))
    assert chunk.floor_errors_uj(None) == (0.0, 0.0)
    assert _Chunk[str]({"a": 1.0, "b": 3.0}, energy_uj=100.0).targets(Rated(a=3, b=1)) == {
        "a": 50.0,
        "b": 50.0,
    }
    assert _Chunk[str]({}, energy_uj=100.0).targets(Rated()) == {}


def test_what_was_used_in_a_chunk_that_is_over_is_said_as_before() -> None:
    used = {"a": 1.5, "b": 0.25}
    over = _Spent(used, {})
    assert over == used
    assert (len(over), "a" in over, "c" in over, over["b"]) == (2, True, False, 0.25)
    with pytest.raises(KeyError):
        over["c"]
    assert _Spent({"a": 2.0, "b": 3.0}, over)._parties is over._parties
    later = _Spent({"b": 3.0, "a": 2.0}, over)
    assert dict(later) == {"b": 3.0, "a": 2.0}
