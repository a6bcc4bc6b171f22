"""The build hook: compiles `submeter.ticking` where there is a C compiler, else goes on.

With the library a wheel is for this platform (``py3-none-linux_x86_64``), without it for any.
``SUBMETER_COMPILED=0`` never compiles, ``SUBMETER_COMPILED=1`` fails where it can't be done.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = Path("agent/submeter/ticking")


class CompileHook(BuildHookInterface[Any]):
    """Runs before a wheel, or an editable one, is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library to what the wheel includes; in an editable one it lies in the tree."""
        wanted = os.environ.get("SUBMETER_COMPILED", "")
        if self.target_name != "wheel" or wanted == "0" or sys.platform != "linux":
            return
        place = Path(self.root) / PACKAGE
        compiling = _load(place / "compiling.py")
        editable = version == "editable"
        self._folder = None if editable else Path(tempfile.mkdtemp(prefix="submeter-"))
        try:
            library = compiling.build(self._folder or place)
        except compiling.NotCompiled as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"not compiled, sensors will be polled in Python: {error}")
            return
        if not editable:
            build_data["force_include"][str(library)] = f"submeter/ticking/{library.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was compiled."""
        folder = getattr(self, "_folder", None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _load(path: Path) -> ModuleType:
    """The module by its path: the package is not installed while it is built."""
    spec = importlib.util.spec_from_file_location("submeter_compiling", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
