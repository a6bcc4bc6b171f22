"""reliability/faults.toml and threats.toml: every fault and threat that submeter answers for."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The repository."""

FILES: Final = (ROOT / "reliability/faults.toml", ROOT / "reliability/threats.toml")

_TEXTS: Final = ("id", "happens", "does", "untested")


class CatalogueError(Exception):
    """A row that isn't as it must be, or a test that claims one that doesn't exist."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that may happen, and what submeter does about it.

    ``untested`` is the reason why no test shows it; "" where tests do.
    """

    id: str
    happens: str
    does: str
    untested: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one kind, in their order. ``kind`` is the marker: fault or threat."""

    kind: str
    title: str
    rows: tuple[Row, ...]


def load(files: Sequence[Path] = FILES) -> tuple[Group, ...]:
    """The groups of all files. Raises CatalogueError."""
    groups = tuple(
        _group(path, each)
        for path in files
        for each in tomllib.loads(path.read_text(encoding="utf-8"))["group"]
    )
    ids = [row.id for group in groups for row in group.rows]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise CatalogueError(f"there are two rows {', '.join(twice)}")
    return groups


def _group(path: Path, about: Mapping[str, Any]) -> Group:
    rows = []
    for each in about["row"]:
        strange = set(each) - set(_TEXTS)
        if strange or not each.get("happens") or not each.get("does"):
            raise CatalogueError(f"{path.name}: row {each.get('id')}: {_TEXTS} are expected")
        rows.append(Row(*(each.get(name, "") for name in _TEXTS)))
    return Group(about["kind"], about["title"], tuple(rows))
