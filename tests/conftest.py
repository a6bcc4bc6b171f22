"""Fixtures for all tests: the stand-in NVML library and one scripted world on it."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.standin import standin as standin_module
else:
    _path = Path(__file__).parent / "standin" / "standin.py"
    _spec = importlib.util.spec_from_file_location("standin", _path)
    standin_module = importlib.util.module_from_spec(_spec)
    sys.modules["standin"] = standin_module  # dataclasses look their module up
    _spec.loader.exec_module(standin_module)


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
