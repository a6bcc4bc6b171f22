"""A place in, what codecarbon says of a kWh there out: asked in a short process of its own.

codecarbon 3.3 takes 77 MB and starts threads, so the agent never imports it. Where it knows no
place it falls back to the world's mean; here that is an error. Run as
``python -m submeter.footprint.grid '{"country": "DEU"}'`` it prints one JSON object.
"""

import json
import subprocess
import sys
from importlib import import_module
from typing import Any, Final, NamedTuple

from submeter.errors import InputError

_PATIENCE_S: Final = 60.0
_KWH: Final = 1.0
_G_PER_KG: Final = 1_000
INSTALL: Final = "pip install 'submeter[carbon]'"


class Place(NamedTuple):
    """A country by its code of three letters and a region in it, or a cloud as provider:region."""

    country: str = ""
    region: str = ""
    cloud: str = ""


class Intensity(NamedTuple):
    """What a kWh comes to, and who says so."""

    g_per_kwh: float
    source: str


def ask(place: Place) -> Intensity:
    """What codecarbon says. Raises InputError where it isn't installed or knows no such place."""
    command = [sys.executable, "-m", __name__, json.dumps(place._asdict())]
    try:
        done = subprocess.run(  # noqa: S603  our own program
            command, capture_output=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
        said: Any = json.loads(done.stdout.splitlines()[-1])
        if "error" in said:
            raise InputError(str(said["error"]))
        return Intensity(float(said["g_per_kwh"]), str(said["source"]))
    except (OSError, ValueError, LookupError, TypeError, subprocess.TimeoutExpired) as error:
        raise InputError(f"codecarbon gave no factor: {error!r:.200}") from error


def answer(place: Place) -> Intensity:
    """The same, asked in this process. Raises InputError."""
    from importlib.metadata import PackageNotFoundError, version  # here: 4 MB the agent can spare

    try:
        emissions = import_module("codecarbon.core.emissions")
        source = import_module("codecarbon.input").DataSource()
        geography = import_module("codecarbon.external.geography")
        energy = import_module("codecarbon.core.units").Energy.from_energy(kWh=_KWH)
        said = f"codecarbon {version('codecarbon')}"
    except (ImportError, PackageNotFoundError) as error:
        raise InputError(f"the carbon factor of a place needs codecarbon: {INSTALL}") from error
    table = emissions.Emissions(source)
    if place.cloud:
        provider, _, region = place.cloud.partition(":")
        _check_cloud(source, provider, region)
        where = geography.CloudMetadata(provider=provider, region=region)
        return Intensity(_G_PER_KG * table.get_cloud_emissions(energy, where), f"{said}, {region}")
    mix = source.get_global_energy_mix_data()
    if place.country not in mix:
        raise InputError(
            f"footprint.country: codecarbon knows no {place.country[:20]!r}; "
            "expected a code of three letters (ISO 3166), such as DEU"
        )
    name = str(mix[place.country].get("country_name", place.country))

    def kilograms(region: str | None) -> float:
        where = geography.GeoMetadata(
            country_iso_code=place.country, country_name=name, region=region
        )
        return float(table.get_private_infra_emissions(energy, where))

    whole = kilograms(None)
    if not place.region:
        return Intensity(_G_PER_KG * whole, f"{said}, {name}")
    found = kilograms(place.region)
    if found == whole:  # what codecarbon answers where it knows no such region
        raise InputError(
            f"footprint.region: codecarbon has no factor of its own for {place.region[:40]!r} in "
            f"{name}; leave it out to take the country's"
        )
    return Intensity(_G_PER_KG * found, f"{said}, {place.region}, {name}")


def _check_cloud(source: Any, provider: str, region: str) -> None:
    table = source.get_cloud_emissions_data()
    rows = table[(table["provider"] == provider) & (table["region"] == region)]
    if not len(rows):
        known = ", ".join(sorted(set(table["provider"])))
        raise InputError(
            f"footprint.cloud: codecarbon knows no {provider[:20]}:{region[:40]}; expected "
            f"PROVIDER:REGION of {known}, such as gcp:europe-west1"
        )


if __name__ == "__main__":
    try:
        print(json.dumps(answer(Place(**json.loads(sys.argv[1])))._asdict()))
    except InputError as error:
        print(json.dumps({"error": str(error)}))
