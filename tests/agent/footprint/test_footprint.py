"""Factors: what is valid when, that parts add up, and that nothing absurd is ever a factor."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.config import Override, load
from submeter.errors import InputError
from submeter.footprint import grid
from submeter.footprint.factors import LIMITS, MILLION, Factor, Quantity, micro
from submeter.footprint.history import FILE, note, note_live, read_history
from submeter.footprint.pricing import Pricer, of_names
from submeter.footprint.rates import DIVISORS, Factors, Schedule, rounded, whole
from submeter.footprint.sources import configured, overriding
from submeter.footprint.table import read_table
from submeter.footprint.tariff import WEEK, Span, week
from submeter.model import Phase

KWH_UJ = 3_600_000_000_000
CARBON = Factor(Quantity.CARBON, 380 * MILLION, "a statistic")
PUE = Factor(Quantity.PUE, 1_250_000, "an audit")
BERLIN = "Europe/Berlin"
NIGHT = week(BERLIN, [Span(day * 1440 + a, day * 1440 + b, price) for day in range(7)
                      for a, b, price in ((0, 360, 200_000), (360, 1320, 300_000),
                                          (1320, 1440, 200_000))])  # fmt: skip
PRICE = Factor(Quantity.PRICE, 0, "a contract", currency="EUR", week=NIGHT)


def amount(factors: Factors, kind: str, energy_uj: int, moment_s: int = 0) -> Fraction:
    return Fraction(energy_uj * factors.at(moment_s).multipliers()[kind], DIVISORS[kind])


def test_a_kwh_comes_to_what_the_formulas_say() -> None:
    factors = Factors(
        (
            (
                *(PUE, CARBON, Factor(Quantity.WUE, 1_800_000, "s")),
                Factor(Quantity.WUE_SOURCE, 3_100_000, "s"),
                Factor(Quantity.PRICE, 280_000, "s", currency="EUR"),
            ),
        )
    )
    assert amount(factors, "facility_uj", KWH_UJ) == Fraction(5, 4) * KWH_UJ
    assert amount(factors, "carbon_ug", KWH_UJ) == 475 * MILLION
    assert amount(factors, "water_ul", KWH_UJ) == Fraction("5.675") * MILLION  # 1.8 + 1.25 · 3.1
    assert amount(factors, "cost_micro", KWH_UJ) == 350_000


def test_without_factors_there_is_nothing() -> None:
    assert Factors().at(0).multipliers() == {}
    assert Factors(((PUE,),)).at(0).multipliers().keys() == {"facility_uj"}


@given(
    st.lists(st.integers(-(10**12), 10**15), min_size=1, max_size=50),
    st.integers(1, 10**4 * MILLION),
)
def test_parts_sum_to_the_whole(energies: list[int], value: int) -> None:
    for kind, divisor in DIVISORS.items():
        parts = [energy * value for energy in energies]
        amounts = rounded(parts, divisor)
        assert sum(amounts) == whole(sum(parts), divisor), kind
        for part, found in zip(parts, amounts, strict=True):
            assert abs(Fraction(part, divisor) - found) < 1


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(-5, 5))
def test_a_factor_changes_nothing_before_it(begin: int, length: int, around: int) -> None:
    new = Factor(Quantity.CARBON, 1, "new", from_s=begin, until_s=begin + length)
    before, after = Factors(((CARBON,),)), Factors(((CARBON, new),))
    for edge, inside in ((begin, around >= 0), (begin + length, around < 0)):
        moment = edge + around
        inside = begin <= moment < begin + length
        expected = new if inside else CARBON
        assert after.at(moment).valid[0][1] == expected
        assert inside or after.at(moment) == before.at(moment)
    assert after.edges(-1, 10**7) == sorted({begin, begin + length} - {-1})


@given(st.integers(1_700_000_000, 1_800_000_000), st.integers(1, 14 * 86_400))
def test_a_schedule_is_the_same_as_asking_every_moment(since: int, length: int) -> None:
    factors = Factors(((PRICE, CARBON),))
    schedule = Schedule(factors, since, since + length)
    for moment in range(since, since + length, 1_799):
        assert schedule.rates(schedule.part(moment)) == factors.at(moment)
    for edge in schedule.edges:
        assert schedule.rates(schedule.part(edge)) == factors.at(edge)
        assert schedule.rates(schedule.part(edge - 1)) == factors.at(edge - 1)


@pytest.mark.parametrize(
    ("local", "price"),
    [
        ("2026-03-29T01:59", 200_000),
        ("2026-03-29T03:00", 300_000),  # the clock skips 02:00 to 03:00, and the tariff starts
        ("2026-10-25T02:59", 100_000),
        ("2026-10-25T03:00", 300_000),
    ],
)
def test_tariffs_follow_the_clock_on_the_wall(local: str, price: int) -> None:
    sunday = 6 * 1440
    spans = [Span(0, sunday, 100_000), Span(sunday, sunday + 120, 200_000)]
    spans += [Span(sunday + 120, sunday + 180, 100_000), Span(sunday + 180, WEEK, 300_000)]
    if local < "2026-06":
        spans[2:] = [Span(sunday + 120, sunday + 150, 100_000), Span(sunday + 150, WEEK, 300_000)]
    tariff = week(BERLIN, spans)
    moment = int(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(BERLIN)).timestamp())
    assert tariff.micro_at(moment) == price
    factors = Factors(((Factor(Quantity.PRICE, 0, "s", week=tariff),),))
    schedule = Schedule(factors, moment - 86_400, moment + 86_400)
    assert schedule.rates(schedule.part(moment)) == factors.at(moment)


def test_the_hour_that_comes_twice_is_priced_twice() -> None:
    tariff = week(BERLIN, [Span(0, 8_760, 1), Span(8_760, 8_820, 9), Span(8_820, WEEK, 1)])
    begin = int(datetime(2026, 10, 25, 0, 0, tzinfo=UTC).timestamp())  # 02:00 summer time
    assert [tariff.micro_at(begin + at * 1_800) for at in range(-1, 5)] == [1, 9, 9, 9, 9, 1]


@pytest.mark.fault("F95")
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e9, "x", True, None, "1e400"])
@pytest.mark.parametrize("quantity", [Quantity.PUE, Quantity.CARBON, Quantity.WUE])
def test_no_absurd_figure_is_a_factor(quantity: Quantity, value: object) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        micro(quantity, value)


def test_a_table_is_read(tmp_path: Path) -> None:
    file = tmp_path / "factors.toml"
    file.write_text(
        """
        [[carbon_g_per_kwh]]
        until = 2026-01-01
        value = 380.5
        source = "last year's"
        [[carbon_g_per_kwh]]
        from = 2026-01-01
        value = 363
        source = "this year's"
        [[price]]
        time_zone = "Europe/Berlin"
        currency = "EUR"
        source = "contract"
        hours = [
            { days = "mon-fri", from = "06:00", to = "22:00", value = 0.31 },
            { days = "mon-fri", from = "22:00", to = "06:00", value = 0.22 },
            { days = "mon", from = "00:00", to = "06:00", value = 0.2 },
            { days = "sat", from = "06:00", to = "24:00", value = 0.2 },
            { days = "sun", value = 0.2 },
        ]
        """
    )
    rows = read_table(file)
    new_year = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    factors = Factors((rows,))
    assert factors.at(new_year - 1).value(Quantity.CARBON) == 380_500_000
    assert factors.at(new_year).value(Quantity.CARBON) == 363_000_000
    assert factors.at(new_year).value(Quantity.PRICE) == 220_000  # Thursday, 01:00
    assert factors.at(new_year).currency == "EUR"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[pue]]\nvalue = 0.9\nsource = 's'", "pue must be a number from 1 to 10"),
        ("[[pue]]\nvalue = nan\nsource = 's'", "must be a number"),
        ("[[pue]]\nvalue = 1.2", "needs its source"),
        ("[[pue]]\nvalue = 1.2\nsource = 's'\nform = 1", "unknown key 'form'"),
        ("[[puh]]\nvalue = 1.2", "unknown 'puh'"),
        ("[pue]\nvalue = 1.2", r"expected tables \[\[pue\]\]"),
        ("[[pue]]\nvalue = 1.2\nsource='s'\nfrom=2026-01-01T00:00:00", "needs its offset"),
        ("[[pue]]\nvalue = 1.2\nsource='s'\n[[pue]]\nvalue = 1.3\nsource='s'", "same moment"),
        (
            "[[wue]]\nvalue=1\nsource='a'\nuntil=2026-02-01\n"
            "[[wue]]\nvalue=2\nsource='b'\nfrom=2026-01-01",
            "overlap",
        ),
        ("[[price]]\nsource='s'\nhours=[{value=1}]", "need time_zone"),
        (
            "[[price]]\nsource='s'\ntime_zone='UTC'\nhours=[{days='mon-sat',value=1}]",
            "no price from sun 00:00 to the end of sun",
        ),
        (
            "[[price]]\nsource='s'\ntime_zone='UTC'\nhours=[{value=1},{days='fri',value=1}]",
            "two prices from fri 00:00",
        ),
        ("[[price]]\nsource='s'\ntime_zone='Mars'\nhours=[{value=1}]", "no time zone 'Mars'"),
        ("[[price]]\nsource='s'\ncurrency='euro'\nvalue=1", "three capital letters"),
        ("x = ", "not valid TOML"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "factors.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_table(file)
    assert str(file) in str(error.value)


def test_a_configuration_names_its_factors(tmp_path: Path) -> None:
    config = load(
        None,
        [Override("footprint.pue", "1.3"), Override("footprint.price", "0.28")],
        {"SUBMETER_FOOTPRINT__COUNTRY": "DEU", "HOME": str(tmp_path)},
    )
    rows = configured(config, lambda place: grid.Intensity(380.95, f"somebody, {place.country}"))
    assert [(row.quantity, row.micro, row.currency) for row in rows] == [
        (Quantity.CARBON, 380_950_000, ""),
        (Quantity.PUE, 1_300_000, ""),
        (Quantity.PRICE, 280_000, "XXX"),
    ]
    assert [row.quantity for row in overriding(config)] == [Quantity.PUE, Quantity.PRICE]
    config = load(None, [Override("footprint.country", "DEU")], {"HOME": str(tmp_path)})
    said = overriding(config, ask=lambda place: grid.Intensity(380.95, place.country))
    assert [(row.micro, row.source) for row in said] == [(380_950_000, "DEU")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"region": "california"}, "needs footprint.country"),
        ({"cloud": "gcp:europe-west1", "country": "DEU"}, "not both"),
        ({"price": "1", "currency": "dollars"}, "three capital letters"),
        ({"table": "/nowhere.toml"}, "can't be read"),
    ],
)
def test_what_does_not_fit_together_is_said(settings: dict[str, str], said: str) -> None:
    config = load(
        None,
        [Override(f"footprint.{key}", text) for key, text in settings.items()],
        {"HOME": "/root"},
    )
    with pytest.raises(InputError, match=said):
        configured(config, lambda place: grid.Intensity(1.0, "s"))


def test_history_keeps_what_was_valid_when(tmp_path: Path) -> None:
    note(tmp_path, [CARBON, PUE], 1_007)
    note(tmp_path, [CARBON, PUE], 2_000)  # the same: nothing is added
    note(tmp_path, [CARBON._replace(micro=1)], 3_000)
    note_live(tmp_path, Factor(Quantity.CARBON, 7, "live", from_s=4_000, until_s=5_000))
    assert len((tmp_path / FILE).read_text().splitlines()) == 3
    factors = Factors((read_history(tmp_path).rows,))
    values = {at: factors.at(at).value(Quantity.CARBON) for at in (999, 1_000, 2_999, 3_000, 4_500)}
    assert values == {999: None, 1_000: 380 * MILLION, 2_999: 380 * MILLION, 3_000: 1, 4_500: 7}
    assert factors.at(5_000).value(Quantity.CARBON) == 1
    assert factors.at(3_000).value(Quantity.PUE) is None


def test_history_survives_a_half_written_line_and_absurd_ones(tmp_path: Path) -> None:
    note(tmp_path, [PRICE], 1_000)
    with (tmp_path / FILE).open("a") as file:
        absurd = {"quantity": "pue", "micro": -1, "source": "s"}
        file.write(json.dumps({"noted_s": 1_500, "factors": [absurd]}) + '\n{"noted_s": 15')
    note(tmp_path, [CARBON], 2_000)
    history = read_history(tmp_path)
    assert history.unreadable == 2
    assert history.rows == (
        PRICE._replace(from_s=1_000, until_s=2_000),
        CARBON._replace(from_s=2_000),
    )


@given(st.lists(st.tuples(st.sampled_from(Phase), st.integers(0, 10**12)), max_size=40))
def test_counters_are_the_sum_of_what_was_priced(parts: list[tuple[Phase, int]]) -> None:
    pricer = Pricer(Factors(((CARBON, PUE),)))
    for at, (phase, energy_uj) in enumerate(parts):
        pricer.add(phase, energy_uj, at)
    totals = of_names(pricer.names())
    for phase in {phase for phase, _ in parts}:
        energy_uj = sum(part for of, part in parts if of is phase)
        factor = 380 * MILLION * PUE.micro
        assert totals["carbon_ug", "", phase] == energy_uj * factor // DIVISORS["carbon_ug"]
        assert totals["facility_uj", "", phase] == energy_uj * PUE.micro // MILLION


def test_limits_are_said_for_every_quantity() -> None:
    assert set(LIMITS) == set(Quantity)
