"""For all tests: how Hypothesis searches, and the stand-in NVML library with a scripted world."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from submeter.ticking import Library, compiling, library

if TYPE_CHECKING:
    from tests.standin import standin as standin_module
else:
    _path = Path(__file__).parent / "standin" / "standin.py"
    _spec = importlib.util.spec_from_file_location("standin", _path)
    standin_module = importlib.util.module_from_spec(_spec)
    sys.modules["standin"] = standin_module  # dataclasses look their module up
    _spec.loader.exec_module(standin_module)


# No time limits per example: machines that run tests are busy. CI tries the same examples each
# time, so that a change is judged by itself; everywhere else every run looks somewhere new.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--row F12`: only the tests that claim this fault or threat."""
    parser.addoption("--row", action="append", default=[], help="a row of docs/reliability.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves what `--row` asks for."""
    wanted = set(config.getoption("--row"))
    if wanted:
        items[:] = [item for item in items if wanted & _rows(item)]


def _rows(item: pytest.Item) -> set[object]:
    return {
        row for name in ("fault", "threat") for mark in item.iter_markers(name) for row in mark.args
    }


@pytest.fixture(scope="session")
def standin_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in libnvidia-ml.so.1, built once."""
    if standin_module.compiler() is None:
        pytest.skip("no C compiler: install cc to test against the stand-in NVML library")
    return standin_module.build(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def standin(
    standin_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["standin_module.Standin"]:
    """A scripted world: write() its script, then start a client with env, or load() it here."""
    world = standin_module.Standin(standin_library, tmp_path)
    monkeypatch.setenv(standin_module.SCRIPT_ENV, str(world.script_path))
    monkeypatch.setenv(standin_module.CALLS_ENV, str(world.calls_path))
    yield world
    world.reset()


@pytest.fixture(scope="session")
def ticking_functions(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The compiled half of `submeter.ticking`, from its source as it is now."""
    folder = tmp_path_factory.mktemp("ticking")
    try:
        compiling.build(folder, (*compiling.FLAGS, "-Wconversion", "-Wshadow", "-Werror"))
    except compiling.NotCompiled as error:
        if os.environ.get("CI") or "no C compiler" not in str(error):
            raise
        pytest.skip(str(error))
    found = library(folder)
    assert found is not None
    return found
