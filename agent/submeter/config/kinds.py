"""A value as TOML or text gave it in, a typed value out: what each kind of key accepts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from submeter.config.notation import number_text


class Kind(NamedTuple):
    """What a key may hold."""

    expected: str
    """Completes "must be …"."""
    convert: Callable[[object], object | None]
    """The typed value; None where it is not of this kind."""
    bare: bool = False
    """Text from the command line or environment is the value itself and needs no TOML quotes."""


class Address(NamedTuple):
    """Where to listen. Port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_remote(self) -> bool:
        """True if it is spelled out and not a loopback one. What a name stands for is only known
        when the socket is opened, and asked again there."""
        return bool(_LITERAL.fullmatch(self.host) and not _LOOPBACK.fullmatch(self.host))


def number(low: float, high: float) -> Kind:
    """A float within both bounds; neither nan nor a boolean."""

    def convert(value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if low <= value <= high else None

    return Kind(f"a number from {number_text(low)} to {number_text(high)}", convert)


def integer(low: int, high: int) -> Kind:
    """An int within both bounds."""

    def convert(value: object) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return value if low <= value <= high else None

    return Kind(f"a whole number from {low} to {high}", convert)


def boolean() -> Kind:
    """``true`` or ``false``."""
    return Kind("true or false", lambda value: value if isinstance(value, bool) else None)


def choice(*names: str) -> Kind:
    """One of a few words."""
    *others, last = (f'"{name}"' for name in names)
    expected = f"{', '.join(others)} or {last}" if others else last
    return Kind(expected, lambda value: value if value in names else None, bare=True)


def word_or(word: str, kind: Kind) -> Kind:
    """That word, or a value of the other kind."""

    def convert(value: object) -> object | None:
        return value if value == word else kind.convert(value)

    return Kind(f'"{word}" or {kind.expected}', convert)


def text() -> Kind:
    """One line that isn't empty."""

    def convert(value: object) -> str | None:
        return value if isinstance(value, str) and value and value.isprintable() else None

    return Kind("a text", convert, bare=True)


def path() -> Kind:
    """A file or folder; whether it exists is not asked here."""

    def convert(value: object) -> Path | None:
        # "~" is the shell's to expand: a folder of that name would be a surprise
        usable = isinstance(value, str) and value and value[0] != "~" and "\0" not in value
        return Path(str(value)) if usable else None

    return Kind('a path, with any "~" written out', convert, bare=True)


def absolute_path() -> Kind:
    """A file or folder, named from the root: where an agent is started from means nothing."""

    def convert(value: object) -> Path | None:
        usable = isinstance(value, str) and value[:1] == "/" and "\0" not in value
        return Path(str(value)) if usable else None

    return Kind("an absolute path", convert, bare=True)


def file_mode() -> Kind:
    """Permissions in octal, as a text: ``"0644"``."""

    def convert(value: object) -> int | None:
        usable = isinstance(value, str) and _MODE.fullmatch(value)
        return int(str(value), 8) if usable else None

    return Kind('permissions such as "0644"', convert, bare=True)


def texts() -> Kind:
    """A table of texts."""

    def convert(value: object) -> dict[str, str] | None:
        if not isinstance(value, dict):
            return None
        one_line = all(isinstance(each, str) and each.isprintable() for each in value.values())
        return dict(value) if one_line else None

    return Kind("a table of texts", convert)


def path_or_name() -> Kind:
    """A file, or a name (a text) where it is a single word without dot and slash."""
    file = path()

    def convert(value: object) -> object | None:
        is_name = isinstance(value, str) and _NAME.fullmatch(value)
        return value if is_name else file.convert(value)

    return Kind(f"a name or {file.expected}", convert, bare=True)


def address() -> Kind:
    """``HOST:PORT``; an IPv6 host in brackets."""

    def convert(value: object) -> Address | None:
        match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
        if match is None or int(match["port"]) > _MAX_PORT:
            return None
        return Address(match["host"] or match["host6"], int(match["port"]))

    return Kind('"HOST:PORT", such as "127.0.0.1:10046" or "[::1]:10046"', convert, bare=True)


_MAX_PORT = 65_535
_ADDRESS = re.compile(
    r"(?:(?P<host>[A-Za-z0-9._-]+)|\[(?P<host6>[0-9A-Fa-f:.]+)\]):(?P<port>[0-9]{1,5})"
)
_LITERAL = re.compile(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
_LOOPBACK = re.compile(r"::1|127(?:\.\d{1,3}){3}")
_MODE = re.compile(r"0?[0-7]{3}")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
