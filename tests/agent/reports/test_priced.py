"""What a report's energy comes to: the same whole however it is cut, whatever changes when."""

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.footprint.factors import MILLION, Factor, Quantity
from submeter.footprint.rates import KINDS, Factors
from submeter.footprint.tariff import WEEK, Span, week
from submeter.reports.ledger import from_ledger
from submeter.reports.moments import zone
from submeter.reports.priced import Amounts
from submeter.reports.question import KEYS, Question

NOW_S = 1_774_747_815
BERLIN = zone("Europe/Berlin")
SUNDAY = 6 * 1440
TARIFF = week("Europe/Berlin", [Span(0, SUNDAY, 300_000), Span(SUNDAY, WEEK, 100_000)])
FACTORS = (
    Factor(Quantity.PUE, 1_333_333, "s"),
    Factor(Quantity.CARBON, 380 * MILLION, "s"),
    Factor(Quantity.WUE, 1_800_001, "s"),
    Factor(Quantity.PRICE, 0, "s", currency="EUR", week=TARIFF),
)


def amounts(found: Amounts, kind: str) -> int:
    return int(getattr(found, kind) or 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    keys=st.sampled_from([(), *itertools.combinations(KEYS, 2)]),
    changes=st.lists(st.integers(1_774_737_000, 1_774_748_000), max_size=4),
)
def test_rows_phases_and_workloads_sum_to_the_same_total(
    small: Path, keys: tuple[str, ...], changes: list[int]
) -> None:
    rows = [
        Factor(Quantity.CARBON, (at % 997) * MILLION, f"from {at}", from_s=at // 10 * 10)
        for at in sorted(changes)
    ]
    factors = Factors(((*FACTORS, *rows),))
    found = from_ledger(small, Question(keys, zone=BERLIN, factors=factors), NOW_S)
    whole = from_ledger(small, Question((), factors=factors), NOW_S).priced.total
    bare = from_ledger(small, Question(keys, zone=BERLIN), NOW_S)
    assert [row.energy_uj for row in found.rows] == [row.energy_uj for row in bare.rows]
    assert found.priced.total == whole
    for kind in KINDS:
        for parts in (found.amounts(), found.priced.phases.values(), found.priced.uses.values()):
            assert sum(amounts(part, kind) for part in parts) == amounts(whole, kind)


def test_a_tariff_goes_by_the_wall_clock_of_its_zone(small: Path) -> None:
    found = from_ledger(small, Question(("day",), zone=BERLIN, factors=Factors((FACTORS,))), NOW_S)
    saturday, sunday = (each.cost_micro for each in found.amounts())
    exact = [3_000_001 * 1_333_333 * 300_000 / 3.6e18, 2_749_999 * 1_333_333 * 100_000 / 3.6e18]
    assert [saturday, sunday] == [pytest.approx(each, abs=1) for each in exact]
    assert found.priced.currency == "EUR"


def test_two_currencies_are_not_added(small: Path) -> None:
    dollars = Factor(Quantity.PRICE, 1, "s", from_s=1_774_740_600, currency="USD")
    factors = Factors(((*FACTORS, dollars),))
    found = from_ledger(small, Question(factors=factors), NOW_S)
    assert found.priced.total.cost_micro is None
    assert found.priced.notes == ("No cost: prices are in EUR, USD.",)


def test_what_there_was_no_factor_for_is_said_and_not_zero(small: Path) -> None:
    late = Factor(Quantity.CARBON, 100 * MILLION, "s", from_s=1_774_740_600)
    found = from_ledger(small, Question(("day",), zone=BERLIN, factors=Factors(((late,),))), NOW_S)
    assert [each.carbon_ug is None for each in found.amounts()] == [True, False]
    assert found.priced.missing_uj == {"carbon_ug": 3_000_001}
