"""The bill of materials: what is in the folder, the same each time, and compared with the locks."""

import json
from pathlib import Path

import pytest

from submeter_supply import locks, sbom

pytestmark = pytest.mark.slow  # cyclonedx-py takes a second to begin


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with what pip writes about two packages and submeter, as `make bundle` has them."""
    versions = {name: str(locks.read("agent")[name].version) for name in ("h11", "psutil")}
    for name, version in {**versions, "submeter": "0.1.0"}.items():
        about = tmp_path / f"{name}-{version}.dist-info"
        about.mkdir()
        needs = "Requires-Dist: h11\n" * (name == "submeter")
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
            f"License-Expression: MIT\n{needs}"
        )
    return tmp_path


@pytest.mark.threat("T29")
def test_it_names_what_is_there(bundle: Path) -> None:
    text = sbom.bill(bundle)
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "submeter"
    found = {each["name"]: each for each in bill["components"]}
    assert {"h11", "psutil"} <= found.keys()
    locked = locks.read("agent")["h11"]
    assert found["h11"]["purl"] == f"pkg:pypi/h11@{locked.version}"
    assert found["h11"]["licenses"] == [{"expression": "MIT", "acknowledgement": "declared"}] or [
        each["license"]["id"] for each in found["h11"]["licenses"]
    ] == ["MIT"]
    assert sbom.bill(bundle) == text
    assert sbom.strangers(text, ["agent"]) == []


@pytest.mark.threat("T29")
def test_what_no_lock_names_is_said(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = next(bundle.glob("psutil-*"))
    about.rename(bundle / "psutil-1.0.dist-info")
    metadata = bundle / "psutil-1.0.dist-info/METADATA"
    metadata.write_text("Metadata-Version: 2.4\nName: psutil\nVersion: 1.0\n")
    target = bundle / "bill.json"
    assert sbom.main([str(bundle), str(target)]) == 1
    assert "psutil 1.0 is in no lock" in capsys.readouterr().err
    assert json.loads(target.read_text())["components"]
