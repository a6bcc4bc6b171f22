"""A disclosure follows its published schema, sums to its total, and invents nothing."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from submeter.cli import main
from submeter.footprint.factors import MILLION, Factor, Quantity
from submeter.footprint.rates import Factors
from submeter.reports.disclosure import BY, fields, schema
from submeter.reports.disclosure_page import as_html
from submeter.reports.ledger import from_ledger
from submeter.reports.question import Question

NOW_S = 1_774_747_815
CHANGE_S = 1_774_740_600  # between the first and the second use
FACTORS = Factors(
    (
        (
            Factor(Quantity.PUE, 1_250_000, "an audit", "2025"),
            Factor(Quantity.WUE, 1_800_000, "a meter"),
            Factor(Quantity.CARBON, 380 * MILLION, "old", until_s=CHANGE_S),
            Factor(Quantity.CARBON, 100 * MILLION, "new", from_s=CHANGE_S),
        ),
    )
)


def said(state: Path, factors: Factors = FACTORS) -> dict[str, Any]:
    return fields(from_ledger(state, Question(BY, factors=factors), NOW_S))


@pytest.mark.parametrize("factors", [FACTORS, Factors()])
def test_it_follows_the_schema(small: Path, factors: Factors) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(json.dumps(said(small, factors))), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**said(small), "total": {}}, schema())


@pytest.mark.parametrize("parts", ["phases", "workloads"])
def test_parts_sum_to_the_total(small: Path, parts: str) -> None:
    found = said(small)
    for name in ("joules", "facility_joules", "carbon_g", "water_l"):
        amounts = [each[name] for each in found[parts] if each[name] is not None]
        assert sum(map(Decimal, map(str, amounts))) == Decimal(str(found["total"][name])), name


def test_each_joule_is_priced_at_the_factor_of_its_moment(small: Path) -> None:
    found = {each["phase"]: each for each in said(small)["phases"]}
    old, new = 3_000_001 * 380, 250_000 * 100
    grams = (old + new) * 1.25 / 3.6e12
    assert found["training"]["carbon_g"] == pytest.approx(grams, abs=1e-6)
    assert found["inference"]["carbon_g"] == pytest.approx(1.5 * 1.25 * 100 / 3.6e6, abs=1e-6)


@pytest.mark.fault("F95")
def test_no_factor_changes_a_joule_and_without_one_nothing_is_said(small: Path) -> None:
    bare, full = said(small, Factors()), said(small)
    for one, other in zip(bare["workloads"], full["workloads"], strict=True):
        assert one["joules"] == other["joules"]
        assert one["carbon_g"] is one["water_l"] is one["facility_joules"] is None
    assert bare["factors"] == {}
    assert any("no PUE" in each for each in bare["lacking"])


def test_the_page_is_safe_and_has_the_figures(small: Path) -> None:
    text = as_html(from_ledger(small, Question(BY, factors=FACTORS), NOW_S)).decode()
    assert "<script" not in text
    for word in ("training", "inference", "an audit", "arXiv:2312.02741", "Not in it"):
        assert word in text


def test_the_command(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    common = ["report", "--state-dir", str(small), "--disclosure"]
    assert main([*common, "--set", "footprint.pue=1.5", "--output", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["total"]["facility_joules"] == "8.625"
    assert main([*common, "--by", "user"]) == 2
    assert main([*common, "--format", "csv"]) == 2
