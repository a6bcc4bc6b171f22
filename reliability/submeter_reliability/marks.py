"""The tests' sources → which row of the catalogue each test claims, by ``pytest.mark.fault("F1")``.

Read from the sources, not from a run: so it is the same whatever is selected, skipped or installed.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from submeter_reliability.catalogue import ROOT, CatalogueError, Group

KINDS: Final = ("fault", "threat")
"""The markers. pyproject.toml describes them."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Claim(NamedTuple):
    """One test, or a class or file of tests (``name`` is ""), that claims a row."""

    kind: str
    id: str
    path: str
    name: str


def find(tests: Path = ROOT / "tests") -> tuple[Claim, ...]:
    """Every claim below ``tests``, in the order of paths and lines. Raises CatalogueError."""
    found: list[Claim] = []
    for path in sorted(tests.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if any(f"mark.{kind}(" in text for kind in KINDS):
            found += _of_file(path.relative_to(tests.parent).as_posix(), ast.parse(text))
    return tuple(found)


def check(groups: Sequence[Group], claims: Sequence[Claim]) -> list[str]:
    """What is wrong: claimed rows that don't exist, rows that nobody claims and that give no
    reason, and reasons of rows that are tested all the same."""
    known = {(group.kind, row.id) for group in groups for row in group.rows}
    claimed = {(claim.kind, claim.id) for claim in claims}
    wrong = [
        f"{claim.path}::{claim.name} claims {claim.kind} {claim.id}, which doesn't exist"
        for claim in claims
        if (claim.kind, claim.id) not in known
    ]
    for group in groups:
        for row in group.rows:
            if (group.kind, row.id) in claimed and row.untested:
                wrong.append(f"{row.id} has tests, and a reason why it has none")
            if (group.kind, row.id) not in claimed and not row.untested:
                wrong.append(f"{row.id} has neither a test nor a reason why not")
    return wrong


def _of_file(path: str, tree: ast.Module) -> Iterator[Claim]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and _names(statement) == ["pytestmark"]:
            yield from _of(path, "", statement.value)
        elif isinstance(statement, ast.ClassDef):
            yield from _of_definition(path, statement.name, statement)
            for inner in statement.body:
                if isinstance(inner, _Definition):
                    yield from _of_definition(path, f"{statement.name}::{inner.name}", inner)
        elif isinstance(statement, _Definition):
            yield from _of_definition(path, statement.name, statement)


def _of_definition(path: str, name: str, definition: _Definition) -> Iterator[Claim]:
    for decorator in definition.decorator_list:
        for claim in _of(path, name, decorator):
            if not name.rpartition("::")[2].lower().startswith("test"):
                raise CatalogueError(f"{path}: {name} is marked, but is no test")
            yield claim


def _of(path: str, name: str, marked: ast.expr) -> Iterator[Claim]:
    for node in ast.walk(marked):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in KINDS or ast.unparse(node.func.value) != "pytest.mark":
            continue
        if node.keywords or not node.args:
            raise CatalogueError(f"{path}:{node.lineno}: rows are named by their ids")
        for argument in node.args:
            if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                raise CatalogueError(f"{path}:{node.lineno}: a row's id is written out")
            yield Claim(node.func.attr, argument.value, path, name)


def _names(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]
