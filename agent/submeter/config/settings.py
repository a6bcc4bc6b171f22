"""A table from any layer in, checked settings with their origin out; or the error that points."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from submeter import toml_lines
from submeter.config.notation import found_text, shortened
from submeter.config.rules import ClassifyRule, classify_rules
from submeter.config.schema import EXPORTERS, KEYS, SECTIONS, Origin
from submeter.errors import InputError

_MAX_DEPTH: Final = 16  # of tables and arrays in an exporter's options
_EXPORTER_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

RULES: Final = "classify.rule"
KeyPath = tuple[str, ...]


class Setting(NamedTuple):
    """One checked value and where it was set."""

    path: KeyPath
    value: object
    origin: Origin


class Place(NamedTuple):
    """Where a table was written: the file with the line of each key, or a variable or flag."""

    source: str
    lines: Mapping[toml_lines.Path, int] = {}

    def origin(self, path: KeyPath) -> Origin:
        """Where that key of the table was written."""
        return Origin(self.source, self.lines.get(path))

    def error(self, path: KeyPath, message: str) -> InputError:
        """An error that points to that key."""
        return InputError(message, source=self.source, line=self.lines.get(path))


def settings(table: Mapping[str, object], place: Place) -> Iterator[Setting]:
    """Every setting of a whole table. Raises InputError at the first that is wrong."""
    return _walk(table, (), place)


def _walk(table: Mapping[str, object], prefix: KeyPath, place: Place) -> Iterator[Setting]:
    for name, value in table.items():
        path = (*prefix, name)
        dotted = toml_lines.format_path(path)
        if dotted in KEYS:
            yield Setting(path, _checked(path, value, place), place.origin(path))
        elif dotted == RULES:
            yield Setting(path, _rules(path, value, place), place.origin(path))
        elif dotted in SECTIONS:
            yield from _walk(_table(path, value, place), path, place)
        elif dotted == EXPORTERS:
            for exporter, options in _table(path, value, place).items():
                yield from _exporter((*path, exporter), options, place)
        else:
            raise place.error(path, _unknown(path))


def _checked(path: KeyPath, value: object, place: Place) -> object:
    dotted = ".".join(path)
    key = KEYS[dotted]
    converted = key.kind.convert(value)
    if converted is None:
        raise place.error(path, f"{dotted} must be {key.accepts}, found {found_text(value)}")
    return converted


def _table(path: KeyPath, value: object, place: Place) -> Mapping[str, object]:
    if not isinstance(value, dict):
        dotted = toml_lines.format_path(path)
        raise place.error(path, f"{dotted} must be a table, [{dotted}], found {found_text(value)}")
    return value


def _exporter(path: KeyPath, value: object, place: Place) -> Iterator[Setting]:
    dotted = toml_lines.format_path(path)
    if not _EXPORTER_NAME.fullmatch(path[-1]):
        raise place.error(path, f"{dotted}: an exporter is named in letters, digits, _ and -")
    options = _table(path, value, place)
    if _is_deeper(options, _MAX_DEPTH):
        raise place.error(path, f"{dotted} is nested too deeply")
    yield from _options(path, options, place)


def _options(path: KeyPath, value: object, place: Place) -> Iterator[Setting]:
    """The leaves of what is free-form, so that layers can differ in one of them."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _options((*path, name), item, place)
    elif path[2:] == ("enabled",) and not isinstance(value, bool):
        dotted = toml_lines.format_path(path)
        raise place.error(path, f"{dotted} must be true or false, found {found_text(value)}")
    else:
        yield Setting(path, value, place.origin(path))


def _is_deeper(value: object, levels: int) -> bool:
    """True if tables and arrays are nested further than that: no recursion shall fail on it."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)
    return False


def _rules(path: KeyPath, value: object, place: Place) -> tuple[ClassifyRule, ...]:
    def fail(within: tuple[str | int, ...], message: str) -> InputError:
        line = place.lines.get((*path, *within), place.lines.get(path))
        return InputError(message, source=place.source, line=line)

    return classify_rules(value, fail)


_NAMES: Final = (RULES, *KEYS, *SECTIONS, EXPORTERS)


def _unknown(path: KeyPath) -> str:
    dotted = shortened(toml_lines.format_path(path))
    same_word = [key for key in KEYS if key.rpartition(".")[2] == path[-1]]
    near = [*same_word, *difflib.get_close_matches(dotted, _NAMES, n=1)]
    if near:
        return f"unknown key {dotted}; did you mean {near[0]}?"
    siblings = [name for name in _NAMES if name.startswith(f"{path[0]}.")]
    top = [name for name in _NAMES if "." not in name]
    return f"unknown key {dotted}; known are {', '.join(sorted(siblings or top))}"
