"""A mutant in, an importer out that gives it in the place of its file; nothing is written."""

import importlib.abc
import importlib.machinery
from pathlib import Path
from types import CodeType

from submeter_reliability.mutants import Mutant, source


class Finder(importlib.abc.MetaPathFinder):
    """Finds a mutant where its file, below ``sources``, would be found."""

    def __init__(self, mutant: Mutant, sources: Path) -> None:
        parts = mutant.path.relative_to(sources).with_suffix("").parts
        self._name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._mutant = mutant

    def find_spec(self, fullname: str, *_where: object) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file = str(self._mutant.path)
        loader = _Loader(fullname, file, source(self._mutant))
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=file, is_package=self._mutant.path.name == "__init__.py"
        )
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(str(self._mutant.path.parent))
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        code: CodeType = compile(self._text, self.path, "exec", dont_inherit=True)
        return code
