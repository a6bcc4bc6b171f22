"""The published figures come out of their stated inputs, and a fleet is what its formula says."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from submeter.cli import main
from submeter.footprint.fleet import Fleet, Measured
from submeter.footprint.outlooks import outlooks, read_at_source
from submeter.reports.outlook import Outlook, as_json, fleet_lines, plainly, schema
from submeter.reports.outlook_page import as_html

PUBLISHED = {
    "devries-2023-delivered": (5.7, 8.9),
    "devries-2023-2027": (85.4, 134.0),
    "devries-2023-search": (29.2,),
    "devries-gao-2025": (201.0,),
    "gpt3-homes": (120.0, 130.0),
}


def test_the_published_figures_come_out_within_their_rounding() -> None:
    found = {each.id: each for each in outlooks().estimates}
    assert {name: each.published for name, each in found.items()} == PUBLISHED
    assert all(each.agrees for each in found.values())
    assert found["devries-2023-delivered"].computed == pytest.approx((5.694, 8.9352))
    assert found["devries-2023-2027"].computed == pytest.approx((85.41, 134.028))
    assert found["devries-2023-search"].computed == pytest.approx((29.2000277,))
    wrong = found["devries-2023-search"]._replace(computed=(29.26,))
    assert not wrong.agrees


def test_every_figure_has_its_source_and_date() -> None:
    table = outlooks()
    assert all(each.source and each.dated and each.checked for each in table.estimates)
    assert all(each.source and each.year and each.checked for each in table.comparators)


def test_a_fleet_is_what_its_formula_says() -> None:
    fleet = Fleet(1_000, 10_000, utilisation=0.5, pue=1.2, idle_watts=2_000, uncertainty=0.1)
    assert fleet.watts == 6_000
    assert fleet.gigawatts == pytest.approx(0.0072)
    assert fleet.twh_per_year == pytest.approx(0.063072)
    assert fleet.range_twh == pytest.approx((0.0567648, 0.0693792))


def test_the_command_as_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    arguments = ["--servers", "512821", "--watts-per-server", "6500", "--inference-share", "0.7"]
    assert main(["project", *arguments, "--json"]) == 0
    fields = json.loads(capfdbinary.readouterr().out)
    assert fields["fleet"]["twh_per_year"] == pytest.approx(29.2, abs=0.05)
    assert fields["fleet"]["inputs"]["servers"] == 512_821
    assert all(each["agrees"] for each in fields["published"])
    assert fields["inference"]["difference"] == pytest.approx(0.1)
    ireland = next(each for each in fields["comparators"] if each["name"] == "Ireland")
    assert ireland["fleet_ratio"] == pytest.approx(29.2 / 30.6, rel=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--servers", "1e5", "--watts-per-server", "6500", "--uncertainty", "0.1"],
        ["--inference-share", "0.7"],
    ],
)
def test_the_json_follows_its_schema(
    arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["project", *arguments, "--json"]) == 0
    said = json.loads(capfdbinary.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(said, schema())
    for broken in ({**said, "more": 1}, {**said, "published": [{}]}, {**said, "schema": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema())


def test_a_measured_fleet_follows_the_schema() -> None:
    measured = Measured(8, 1e9, 86_400.0, 6e8, 3e8, 0.99, "nvml")
    fleet = Fleet(1e5, 8 * measured.gpu_watts, source="measured")
    found = Outlook(outlooks(), fleet, measured)
    jsonschema.validate(json.loads(as_json(found)), schema())


def test_quoted_figures_say_so_wherever_they_are_shown(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert read_at_source("statistic")
    assert not read_at_source("press: somebody; statistic: an office")
    assert main(["project", "--json"]) == 0
    said = json.loads(capfdbinary.readouterr().out)
    hands = {each["id"]: each["first_hand"] for each in said["published"]}
    assert hands == dict.fromkeys(PUBLISHED, False)
    assert {each["name"] for each in said["comparators"] if each["first_hand"]} == {
        "Ireland",
        "Netherlands",
    }
    assert main(["project"]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert text.count("[q]") == len(PUBLISHED) + 5 + 1 + 1  # comparators, inference, the note
    page = as_html(Outlook(outlooks())).decode()
    assert page.count("quoted, not read in the publication itself") == len(PUBLISHED) + 5


def test_the_command_as_a_table(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["project", "--servers", "100000", "--watts-per-server", "10200"]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert "fleet: 8.935 TWh a year, 1.02 GW" in text
    assert "DIFFERS" not in text
    assert "85.41 to 134.03" in text


def test_the_command_as_a_page(tmp_path: Path) -> None:
    page = tmp_path / "fleet.html"
    command = ["project", "--servers", "1e5", "--watts-per-server", "6500", "--output", str(page)]
    assert main(command) == 0
    text = page.read_text()
    assert "<script" not in text
    assert re.search(r"this fleet</text><rect", text)


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        (1, "fleet: 89.35 MWh a year, 10.2 kW"),
        (20_000, "fleet: 1.787 TWh a year, 204 MW"),
        (1e9, "fleet: 89,350 TWh a year, 10,200 GW"),
        (0, "fleet: 0 TWh a year, 0 GW"),
    ],
)
def test_a_fleet_is_said_in_a_unit_that_suits_it(servers: float, said: str) -> None:
    fleet = Fleet(servers, 10_200)
    lines = fleet_lines(Outlook(outlooks(), fleet))
    assert lines[0] == said


def test_no_figure_for_people_has_powers_of_ten() -> None:
    assert [plainly(each) for each in (4.59e-05, 0.0367, 1.5, 85.41, 24_398.0)] == [
        *("0.0000459", "0.0367", "1.5", "85.41", "24,400")
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--servers", "1"],
        ["--servers", "nan", "--watts-per-server", "1"],
        ["--servers", "-1", "--watts-per-server", "1"],
        ["--servers", "1", "--watts-per-server", "1", "--pue", "0.5"],
        ["--servers", "1", "--watts-per-server", "1", "--utilisation", "60"],
        ["--servers", "1", "--watts-per-server", "1", "--idle-watts", "2"],
    ],
)
def test_nonsense_is_wrong_usage(
    wrong: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    try:
        code = main(["project", *wrong])
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2
