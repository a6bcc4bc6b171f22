"""codecarbon's factors of places: as its own class has them, and never its mean of the world."""

import json
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from submeter.errors import InputError
from submeter.footprint import grid

COUNTRIES = (
    *("DEU", "FRA", "SWE", "NOR", "FIN", "POL", "GBR", "IRL", "NLD", "ESP", "ITA", "CHE", "AUT"),
    *("USA", "CAN", "BRA", "ARG", "CHN", "IND", "JPN", "KOR", "AUS", "ZAF", "ISL", "PRT", "DNK"),
    *("BEL", "CZE", "MEX", "TUR"),
)
REGIONS = (
    *(("USA", "california"), ("USA", "texas"), ("USA", "washington")),
    *(("CAN", "quebec"), ("CAN", "alberta"), ("SWE", "SE1"), ("CHN", "Beijing")),
)


@pytest.fixture
def emissions() -> Any:
    """codecarbon's own class; it is installed by `make test-real` only."""
    module = pytest.importorskip("codecarbon.core.emissions")
    return module.Emissions(import_module("codecarbon.input").DataSource())


@pytest.mark.parametrize(("country", "region"), [*((c, "") for c in COUNTRIES), *REGIONS])
def test_a_place_has_codecarbons_factor(emissions: Any, country: str, region: str) -> None:
    energy = import_module("codecarbon.core.units").Energy.from_energy(kWh=123.456)
    names = import_module("codecarbon.input").DataSource().get_global_energy_mix_data()
    where = import_module("codecarbon.external.geography").GeoMetadata(
        country_iso_code=country, country_name=names[country]["country_name"], region=region or None
    )
    grams = 1_000 * emissions.get_private_infra_emissions(energy, where)
    found = grid.answer(grid.Place(country, region))
    assert 123.456 * found.g_per_kwh == pytest.approx(grams, rel=1e-9)
    assert "codecarbon 3." in found.source


def test_it_is_asked_in_a_process_of_its_own(emissions: Any) -> None:
    assert grid.ask(grid.Place(cloud="gcp:europe-west1")).g_per_kwh == 122
    code = "import sys, submeter.footprint.sources; print('codecarbon' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (grid.Place("XXX"), "knows no 'XXX'"),
        (grid.Place("Germany"), "code of three letters"),
        (grid.Place("DEU", "bavaria"), "no factor of its own for 'bavaria' in Germany"),
        (grid.Place(cloud="aws:us-east-1"), "knows no aws:us-east-1"),
    ],
)
def test_an_unknown_place_is_an_error_and_not_the_world(
    emissions: Any, place: grid.Place, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        grid.answer(place)


def test_without_codecarbon_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon.core.emissions", None)
    with pytest.raises(InputError, match=r"pip install 'submeter\[carbon\]'"):
        grid.answer(grid.Place("DEU"))


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("", "gave no factor"),
        ("warning\n[]", "gave no factor"),
        (json.dumps({"error": "no such place"}), "no such place"),
        (json.dumps({"g_per_kwh": "much", "source": "s"}), "gave no factor"),
    ],
)
def test_what_the_process_prints_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, printed: str, said: str
) -> None:
    done = subprocess.CompletedProcess([], 0, printed.encode(), b"")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: done)
    with pytest.raises(InputError, match=said):
        grid.ask(grid.Place("DEU"))
