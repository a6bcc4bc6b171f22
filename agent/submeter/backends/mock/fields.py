"""Strict tables: a TOML table and its fields in, checked values or an InputError with line out."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from submeter.errors import InputError
from submeter.toml_lines import Path, format_path, key_lines

REQUIRED: Final = object()


class Field(NamedTuple):
    """One key of a table: what it holds, what it is when absent, what values it may have."""

    kind: str  # a key of _KINDS
    default: object = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


class Table:
    """One table of a file, read key by key; every complaint names file, line and key."""

    def __init__(self, text: str, source: str, path: Path, raw: Mapping[str, object]) -> None:
        self._text = text
        self._source = source
        self._path = path
        self._raw = raw

    def read(self, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Every field's value, checked; absent ones have their default."""
        for key in self._raw:
            if key not in fields:
                raise self.wrong(key, f"unknown key{self.suggest(key, fields)}")
        return {key: self._value(key, field) for key, field in fields.items()}

    def read_key(self, key: str, field: Field) -> object:
        """One field, where it decides which others there may be; None if absent."""
        return self._value(key, field._replace(default=None))

    def wrong(self, key: str | None, message: str) -> InputError:
        """An error about that key of this table, or about the table."""
        path = self._path if key is None else (*self._path, key)
        lines = key_lines(self._text)
        line = lines.get(path) or lines.get(self._path)
        where = format_path(path)
        return InputError(
            f"{where}: {message}" if where else message, source=self._source, line=line
        )

    @staticmethod
    def suggest(found: str, known: Iterable[str]) -> str:
        """The nearest known word, or all there are."""
        words = list(known)
        near = difflib.get_close_matches(found, words, n=1)
        if near:
            return f'; did you mean "{near[0]}"?'
        return f"; known: {', '.join(words)}"

    def inner(self, key: str) -> "Table | None":
        """A table within; None if absent."""
        raw = self._raw.get(key)
        if raw is None:
            return None
        return Table(self._text, self._source, (*self._path, key), _mapping(raw))

    def elements(self, key: str) -> list["Table"]:
        """The tables of an array of tables, perhaps none."""
        raw = self._raw.get(key, [])
        assert isinstance(raw, list)
        return [
            Table(self._text, self._source, (*self._path, key, index), _mapping(element))
            for index, element in enumerate(raw)
        ]

    def _value(self, key: str, field: Field) -> object:
        if key not in self._raw:
            if field.default is REQUIRED:
                raise self.wrong(None, f'"{key}" is missing; it takes {_expected(field)}')
            return field.default
        value = self._raw[key]
        if not _KINDS[field.kind].fits(value) or not _allowed(value, field):
            raise self.wrong(key, f"found {_found(value)}, expected {_expected(field)}")
        return value


class _Kind(NamedTuple):
    name: str
    fits: Callable[[object], bool]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_integer(value)


def _is_list(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(fits(item) for item in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


_KINDS: Final = {
    "integer": _Kind("a whole number", _is_integer),
    "number": _Kind("a number", _is_number),
    "text": _Kind("a text", _is_text),
    "boolean": _Kind("true or false", lambda value: isinstance(value, bool)),
    "texts": _Kind("an array of texts", lambda value: _is_list(value, _is_text)),
    "integers": _Kind("an array of whole numbers", lambda value: _is_list(value, _is_integer)),
    "index": _Kind(
        "a whole number or an array of them",
        lambda value: _is_integer(value) or (_is_list(value, _is_integer) and bool(value)),
    ),
    "code": _Kind(
        "an error code (1…30, 999) or its name",
        lambda value: _is_integer(value) or _is_text(value),
    ),
    "table": _Kind("a table", _is_table),
    "text_table": _Kind(
        "a table of texts",
        lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    ),
    "tables": _Kind("an array of tables", lambda value: _is_list(value, _is_table)),
}


def _allowed(value: object, field: Field) -> bool:
    if field.choices:
        return value in field.choices
    numbers = value if isinstance(value, list) else [value]
    return all(
        (field.low is None or number >= field.low) and (field.high is None or number <= field.high)
        for number in numbers
        if isinstance(number, int | float)
    )


def _expected(field: Field) -> str:
    if field.choices:
        return " or ".join(f'"{choice}"' for choice in field.choices)
    name = _KINDS[field.kind].name
    if field.low is not None and field.high is not None:
        return f"{name} from {field.low:g} to {field.high:g}"
    return name if field.low is None else f"{name}, at least {field.low:g}"


def _found(value: object) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _mapping(raw: object) -> Mapping[str, object]:
    assert isinstance(raw, dict)
    return raw
