"""The stand-in NVML library of the tests, by path: tests/ is no package that can be imported."""

import importlib.util
import sys
from types import ModuleType
from typing import Any, Final

from submeter_reliability.catalogue import ROOT

_NAME: Final = "standin"


def module() -> Any:
    """tests/standin/standin.py, loaded once, as the tests' own conftest does."""
    loaded: ModuleType | None = sys.modules.get(_NAME)
    if loaded is None:
        spec = importlib.util.spec_from_file_location(_NAME, ROOT / "tests/standin/standin.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = loaded  # dataclasses look their module up
        spec.loader.exec_module(loaded)
    return loaded
