"""reliability/equivalents.toml: mutants that no test can see, or none needs to, each with why."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from submeter_reliability.catalogue import ROOT
from submeter_reliability.mutants import Mutant

FILE: Final = ROOT / "reliability/equivalents.toml"


@dataclass(frozen=True, slots=True)
class Equivalent:
    """One line of one file with that mistake in it. ``why`` it makes no difference that matters."""

    file: str  # below agent/submeter
    right: str
    wrong: str
    why: str

    def is_of(self, mutant: Mutant) -> bool:
        """Whether that is the mutant."""
        return (self.file, self.right, self.wrong) == (mutant.file, mutant.right, mutant.wrong)


def load(path: Path = FILE) -> tuple[Equivalent, ...]:
    """All of them. Raises TypeError for a row that isn't as it must be."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return tuple(Equivalent(**row) for row in rows)
