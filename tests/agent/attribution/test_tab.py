"""What is owed is paid, within limits; nobody pays for a second he did not work in."""

import pytest

from submeter.attribution.learnt import Prior
from submeter.attribution.steps import finished
from submeter.attribution.tab import Tab


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
