"""A module's source in, the same source with one thing wrong in it out.

What is wrong is what people get wrong: a comparison off by one, a sign, and for or, a number one
too large, a step that is left out. Only inside functions; text, messages and logging stay.
"""

import ast
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_LEFT_OUT: Final = (ast.AugAssign, ast.Expr, ast.Delete)

_Wrong = Callable[[], None]
"""Makes one thing wrong."""


class Mutant(NamedTuple):
    """One wrong version of a file."""

    path: Path
    number: int
    line: int
    function: int  # the line where the function around it begins, decorators included
    right: str
    wrong: str

    @property
    def file(self) -> str:
        """Below agent/submeter."""
        return self.path.as_posix().rpartition("agent/submeter/")[2]

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"


def count(path: Path) -> int:
    """How many mutants a file has."""
    return sum(1 for _ in _places(_parsed(path)))


def make(path: Path, number: int) -> Mutant:
    """That one of them."""
    tree = _parsed(path)
    line, spoil = next(islice(_places(tree), number, None))
    function = _around(tree, line)
    before = _lines(function)
    spoil()
    right, wrong = _difference(before, _lines(function))
    first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
    return Mutant(path, number, line, first, right, wrong)


def beside(path: Path, right: str) -> list[int]:
    """The numbers of those in functions that have such a line, as ``ast.unparse`` writes it."""
    tree = _parsed(path)
    functions = [_around(tree, line) for line, _ in _places(tree)]
    has = {id(one): right in map(str.strip, _lines(one)) for one in {*functions}}
    return [number for number, one in enumerate(functions) if has[id(one)]]


def source(mutant: Mutant) -> str:
    """The whole file with it."""
    tree = _parsed(mutant.path)
    _, spoil = next(islice(_places(tree), mutant.number, None))
    spoil()
    return ast.unparse(tree) + "\n"


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _lines(function: ast.FunctionDef) -> list[str]:
    return ast.unparse(function).splitlines()


def _around(tree: ast.Module, line: int) -> ast.FunctionDef:
    """The innermost function that a line is in."""
    around = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.lineno <= line <= (each.end_lineno or 0)
    ]
    return max(around, key=lambda each: each.lineno)


def _places(tree: ast.Module) -> Iterator[tuple[int, _Wrong]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for node in _computed(statement):
                yield from ((node.lineno, each) for each in _wrongs(node))  # type: ignore[attr-defined]
        yield from _omissions(function)


def _computed(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's parts: not what errors say, what types are, or functions within, whose turn
    comes by itself; nor ``strict``, which is never asked where all is right."""
    if isinstance(node, ast.FunctionDef | ast.Raise | ast.Assert):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return
    yield node
    for name, child in ast.iter_fields(node):
        if name != "annotation":
            for each in child if isinstance(child, list) else [child]:
                if isinstance(each, ast.AST):
                    yield from _computed(each)


def _wrongs(node: ast.AST) -> Iterator[_Wrong]:
    if isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield partial(setattr, node, "op", _OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield partial(setattr, node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield partial(setattr, node, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield partial(setattr, node, "operand", ast.UnaryOp(ast.Not(), node.operand))
    elif isinstance(node, ast.IfExp):
        yield partial(setattr, node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Name) and node.id in _NAMES:
        yield partial(setattr, node, "id", _NAMES[node.id])
    elif isinstance(node, ast.Constant):
        yield from _constants(node)


def _comparisons(node: ast.Compare) -> Iterator[_Wrong]:
    for place, operator in enumerate(node.ops):
        other = _COMPARISONS.get(type(operator))
        if other is not None:
            yield partial(node.ops.__setitem__, place, other())


def _constants(node: ast.Constant) -> Iterator[_Wrong]:
    if isinstance(node.value, bool):
        yield partial(setattr, node, "value", not node.value)
    elif isinstance(node.value, int):
        yield partial(setattr, node, "value", node.value + 1)


def _omissions(function: ast.FunctionDef) -> Iterator[tuple[int, _Wrong]]:
    """Statements whose value nobody takes, left out one at a time; not text, not logging."""
    inner = [each for each in ast.walk(function) if isinstance(each, ast.FunctionDef)][1:]
    theirs = {id(node) for each in inner for node in ast.walk(each)}
    for parent in ast.walk(function):
        if id(parent) in theirs:
            continue
        for name in ("body", "orelse", "finalbody"):
            block = getattr(parent, name, None)
            if not isinstance(block, list):
                continue
            for place, statement in enumerate(block):
                if isinstance(statement, _LEFT_OUT) and not _is_talk(statement):
                    yield statement.lineno, partial(block.__setitem__, place, ast.Pass())


def _is_talk(statement: ast.stmt) -> bool:
    text = ast.unparse(statement)
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or text.startswith(("_log.", "yield"))


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    """The first line that differs, both ways."""
    for right, wrong in zip(before, after, strict=False):
        if right != wrong:
            return right.strip(), wrong.strip()
    return "", ""
