"""A table from any layer in, checked settings with their origin out; or the error that points."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from submeter import toml_lines
from submeter.config.notation import found_text
from submeter.config.schema import EXPORTERS, KEYS, SECTIONS, Origin
from submeter.errors import InputError

_MAX_DEPTH: Final = 16  # of tables in an exporter's options

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
        dotted = ".".join(path)
        if dotted in KEYS:
            yield Setting(path, _checked(path, value, place), place.origin(path))
        elif dotted in SECTIONS:
            yield from _walk(_table(path, value, place), path, place)
        elif dotted == EXPORTERS:
            for exporter, options in _table(path, value, place).items():
                there = (EXPORTERS, exporter)
                yield from _options(there, _table(there, options, place), place)
        else:
            raise place.error(path, _unknown(path))


def _checked(path: KeyPath, value: object, place: Place) -> object:
    dotted = ".".join(path)
    kind = KEYS[dotted].kind
    converted = kind.convert(value)
    if converted is None:
        raise place.error(path, f"{dotted} must be {kind.expected}, found {found_text(value)}")
    return converted


def _table(path: KeyPath, value: object, place: Place) -> Mapping[str, object]:
    if not isinstance(value, dict):
        dotted = ".".join(path)
        raise place.error(path, f"{dotted} must be a table, [{dotted}], found {found_text(value)}")
    return value


def _options(path: KeyPath, value: object, place: Place) -> Iterator[Setting]:
    """The leaves of what is free-form, so that layers can differ in one of them."""
    if len(path) > _MAX_DEPTH:
        raise place.error(path, f"{'.'.join(path[:2])} has tables nested too deeply")
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _options((*path, name), item, place)
    elif path[2:] == ("enabled",) and not isinstance(value, bool):
        dotted = ".".join(path)
        raise place.error(path, f"{dotted} must be true or false, found {found_text(value)}")
    else:
        yield Setting(path, value, place.origin(path))


_NAMES: Final = (*KEYS, *SECTIONS, EXPORTERS)


def _unknown(path: KeyPath) -> str:
    dotted = found_text(".".join(path))[1:-1]
    same_word = [key for key in KEYS if key.rpartition(".")[2] == path[-1]]
    near = [*same_word, *difflib.get_close_matches(dotted, _NAMES, n=1)]
    if near:
        return f"unknown key {dotted}; did you mean {near[0]}?"
    siblings = [name for name in _NAMES if name.startswith(f"{path[0]}.")]
    top = [name for name in _NAMES if "." not in name]
    return f"unknown key {dotted}; known are {', '.join(sorted(siblings or top))}"
