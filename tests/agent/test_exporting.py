"""Exporters are found by name, ours and those of other distributions."""

import sys
from pathlib import Path

import pytest

from submeter.errors import InputError
from submeter.exporting import available, check_options, load

PLUG_IN = """
class Acme:
    name, interval_ns = "acme", None
    def __init__(self, options): self.options = options
    def routes(self, source): return {}
    def publish(self, snapshot): pass
    def close(self): pass
create = Acme
"""


def test_built_in_exporters_are_found() -> None:
    assert "prometheus" in available()
    assert not [name for name in available() if name.startswith("_")]
    assert load("prometheus", {}).name == "prometheus"


def test_an_unknown_exporter_is_told_what_there_is() -> None:
    with pytest.raises(InputError, match=r"unknown exporter 'prometeus'; there are .*prometheus"):
        load("prometeus", {})


@pytest.mark.parametrize("name", ["_openmetrics", "../prometheus", "os", ""])
def test_only_exporters_are_loaded(name: str) -> None:
    with pytest.raises(InputError, match="unknown exporter"):
        load(name, {})


def test_a_plug_in_of_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_submeter.py").write_text(PLUG_IN)
    info = tmp_path / "acme_submeter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-submeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[submeter.exporters]\nacme = acme_submeter:create\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "acme" in available()
    exporter = load("acme", {"key": 1})
    assert exporter.name == "acme"
    monkeypatch.delitem(sys.modules, "acme_submeter")


def test_options_are_checked_with_a_hint() -> None:
    check_options("x", {"endpoint": 1}, ("endpoint", "timeout"))
    with pytest.raises(InputError, match=r"x has no option 'endpont'.*did you mean endpoint\?"):
        check_options("x", {"endpont": 1}, ("endpoint", "timeout"))
    with pytest.raises(InputError, match="prometheus has no option 'a': it takes none"):
        load("prometheus", {"a": 1})
