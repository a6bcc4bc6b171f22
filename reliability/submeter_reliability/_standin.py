"""The stand-in NVML library of the tests, and other files of theirs: tests/ can't be imported."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Unavailable


def load(name: str, path: str) -> Any:
    """The module of that name from a path below the repository; loaded once."""
    loaded: ModuleType | None = sys.modules.get(name)
    if loaded is None:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded  # dataclasses look their module up
        spec.loader.exec_module(loaded)
    return loaded


def module() -> Any:
    """tests/standin/standin.py, by the name under which the tests' own conftest loads it."""
    return load("standin", "tests/standin/standin.py")


def library(folder: Path) -> Path:
    """The library, compiled into that folder. Raises Unavailable without a C compiler."""
    standin = module()
    try:
        built: Path = standin.build(folder)
    except standin.BuildError as error:
        raise Unavailable(str(error)) from None
    return built
