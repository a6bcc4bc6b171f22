"""The exporter that CONTRIBUTING.md shows: as it stands there it is found, checked and served."""

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import submeter_exporters
from submeter import backends
from submeter.config.schema import KEYS
from submeter.exporting import OptionError, available, check, load
from submeter.model import Snapshot
from submeter.testing.snapshots import node
from submeter.web.http import Request, Response

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def watts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example as a module of submeter_exporters, for as long as the test takes."""
    (code,) = re.findall(r"^ *```python\n(.*?)^ *```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "watts.py").write_text(textwrap.dedent(code))
    spec = submeter_exporters.__spec__
    assert spec is not None
    places = [*submeter_exporters.__path__, os.fspath(tmp_path)]
    monkeypatch.setattr(submeter_exporters, "__path__", places)
    monkeypatch.setattr(spec, "submodule_search_locations", places)
    return "watts"


def test_one_file_is_an_exporter(watts: str) -> None:
    assert watts in available()
    check(watts, {})
    with pytest.raises(OptionError, match="did you mean path"):
        check(watts, {"pahth": "/w"})
    current: list[Snapshot | None] = [None]
    watch = load(watts, {"path": "/w"}).routes(lambda: current[0])["/w"]
    said: list[tuple[int, bytes]] = []
    for current[0] in (None, node(), node(second_gpu_up=False)):
        answer: Any = watch(Request("/w"))
        assert isinstance(answer, Response)
        said.append((answer.status, answer.body.strip()))
    assert said == [(503, b"not yet"), (200, b"684.156 W"), (200, b"unknown")]


def test_the_backends_are_those_that_can_be_chosen() -> None:
    said = KEYS["backend"].kind.expected
    assert [name for name in backends.NAMES if f'"{name}"' not in said] == []
