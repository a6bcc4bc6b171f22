"""TOML text and the path of a key in, the line it was written on out: for messages that point.

`tomllib` keeps no positions. This walks the text once more, after `tomllib` accepted it, and only
notes where each key, table and array element begins. Paths are written ``section.key``,
``gpu[0].name`` (the first ``[[gpu]]``), ``gpu[0].process[1]``, ``shape.kind`` (in an inline table).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

Path = tuple[str | int, ...]


def locate(text: str, dotted_key: str) -> int | None:
    """The line (from 1) where that key, table or array element is written; None if nowhere."""
    return key_lines(text).get(parse_path(dotted_key))


def key_lines(text: str) -> Mapping[Path, int]:
    """Every path of a valid TOML text with the line it begins on."""
    return _Walker(text).walk()


def parse_path(dotted_key: str) -> Path:
    """``"gpu[0].process[1].pid"`` as ``("gpu", 0, "process", 1, "pid")``."""
    path: list[str | int] = []
    for match in _PATH_PART.finditer(dotted_key):
        index, word = match.group("index", "word")
        path.append(int(index) if index is not None else _unquote(word))
    return tuple(path)


def format_path(path: Path) -> str:
    """The inverse of `parse_path`, for messages."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_quote(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def syntax_error_line(error: tomllib.TOMLDecodeError) -> int | None:
    """The line that `tomllib` complains about; None if it names none."""
    match = re.search(r"at line (\d+)", str(error))
    return int(match.group(1)) if match else None


class _Token(NamedTuple):
    kind: str  # word | mark | newline
    text: str
    line: int


_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<word>\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'
                |[^\s\#\[\]{},=."']+)
      | (?P<mark>[\[\]{},=.])""",
    re.VERBOSE | re.DOTALL,
)
_PATH_PART = re.compile(r"""\[(?P<index>\d+)\]|(?P<word>"(?:\\.|[^"\\])*"|'[^']*'|[^.\[\]"']+)""")


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup in {"word", "mark", "newline"}:
            yield _Token(match.lastgroup or "", match.group(), line)
        line += match.group().count("\n")
    yield _Token("newline", "", line)


def _quote(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


def _unquote(word: str) -> str:
    if word[:1] in {'"', "'"}:
        (key,) = tomllib.loads(f"{word} = 0")
        return key
    return word.strip()


class _Walker:
    """One pass over the tokens. Owns the position and what was found so far."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}  # array of tables → index of its last element

    def walk(self) -> Mapping[Path, int]:
        table: Path = ()
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "newline":
                self._at += 1
            elif token.text == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> Path:
        line = self._tokens[self._at].line
        is_element = self._tokens[self._at + 1].text == "["
        self._at += 2 if is_element else 1
        *parents, last = self._key()
        path: Path = ()
        for part in parents:
            path = self._into((*path, part), line)
        path = (*path, last)
        if is_element:
            self._lines.setdefault(path, line)
            self._elements[path] = self._elements.get(path, -1) + 1
        path = self._into(path, line)
        self._lines[path] = line
        self._skip_line()
        return path

    def _into(self, path: Path, line: int) -> Path:
        """A table of that name; of an array of tables, its last element."""
        self._lines.setdefault(path, line)
        return (*path, self._elements[path]) if path in self._elements else path

    def _pair(self, table: Path) -> None:
        path = table
        line = self._tokens[self._at].line
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        """The words of a dotted key; stops at the first token that is none."""
        words: list[str] = []
        while True:
            token = self._tokens[self._at]
            if token.kind == "word":
                words.append(_unquote(token.text))
            elif token.text != ".":
                return words
            self._at += 1

    def _value(self, path: Path) -> None:
        opener = self._tokens[self._at].text
        if opener not in {"[", "{"}:
            self._scalar()
            return
        self._at += 1
        index = 0
        while (token := self._tokens[self._at]).text not in {"]", "}"}:
            if token.kind == "newline" or token.text == ",":
                self._at += 1
            elif opener == "{":
                self._pair(path)
            else:
                self._lines[*path, index] = token.line
                self._value((*path, index))
                index += 1
        self._at += 1

    def _scalar(self) -> None:
        while (token := self._tokens[self._at]).kind != "newline" and token.text not in _ENDS:
            self._at += 1

    def _skip_line(self) -> None:
        while self._tokens[self._at].kind != "newline":
            self._at += 1


_ENDS = frozenset({",", "]", "}"})
