"""What the build adds to a wheel: the compiled library where it can be, nothing where it can't."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INTERFACE = "hatchling.builders.hooks.plugin.interface"


class Hook:
    """What hatchling gives a hook, as far as ours uses it."""

    def __class_getitem__(cls, _: object) -> type["Hook"]:
        return cls

    def __init__(self) -> None:
        self.root = str(ROOT)
        self.target_name = "wheel"
        self.app = self
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Runs the hook; gives it and what it has done to the wheel."""
    stub = ModuleType(INTERFACE)
    stub.BuildHookInterface = Hook  # type: ignore[attr-defined]
    for end in range(1, len(INTERFACE.split("."))):
        monkeypatch.setitem(sys.modules, ".".join(INTERFACE.split(".")[:end]), ModuleType("stub"))
    monkeypatch.setitem(sys.modules, INTERFACE, stub)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def build(wanted: str = "") -> tuple[Any, dict[str, Any]]:
        monkeypatch.setenv("SUBMETER_COMPILED", wanted)
        hook = module.CompileHook()
        data: dict[str, Any] = {"force_include": {}, "pure_python": True}
        hook.initialize("standard", data)
        return hook, data

    return build


def test_with_a_compiler_the_wheel_is_for_this_platform(
    built: Callable[..., tuple[Any, dict[str, Any]]], ticking_functions: object
) -> None:
    hook, data = built()
    ((library, place),) = data["force_include"].items()
    assert place == "submeter/ticking/libsubmeter_ticking.so"
    assert Path(library).read_bytes().startswith(b"\x7fELF")
    assert data["tag"].startswith("py3-none-linux_")
    assert data["pure_python"] is False
    hook.finalize("standard", data, "submeter.whl")
    assert not Path(library).exists()


@pytest.mark.parametrize("wanted", ["", "0"])
def test_without_one_it_is_for_any(
    built: Callable[..., tuple[Any, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    hook, data = built(wanted)
    assert data == {"force_include": {}, "pure_python": True}
    assert [("no C compiler" in text) for text in hook.warnings] == [True] * (not wanted)


def test_who_asks_for_it_is_told_that_it_can_not_be(
    built: Callable[..., tuple[Any, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Exception, match="no C compiler"):
        built("1")
