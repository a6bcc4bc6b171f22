"""A file, the environment or command-line text in, checked settings with their origin out."""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from submeter import toml_lines
from submeter.config.notation import found_text
from submeter.config.schema import KEYS
from submeter.config.settings import Place, Setting, settings
from submeter.errors import InputError

MAX_FILE_BYTES: Final = 256 * 1024


class Override(NamedTuple):
    """One setting from the command line, as text."""

    key: str
    text: str
    source: str = "--set"


def parse_override(text: str, source: str = "--set") -> Override:
    """``key=value`` taken apart. Raises InputError where there is no ``=`` or no key."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(
            f"expected KEY=VALUE, such as sampling.rate_hz=10, found {found_text(text)}",
            source=source,
        )
    return Override(key.strip(), value.strip(), source)


def override_settings(overrides: Iterable[Override]) -> Iterator[Setting]:
    """What the command line sets, in its order."""
    for each in overrides:
        yield from _text_settings(each.key.split("."), each.text, each.source)


def environment_settings(environ: Mapping[str, str]) -> Iterator[Setting]:
    """What ``SUBMETER_SECTION__KEY`` and ``SUBMETER__KEY`` (no section) set.

    Names without a double underscore are none of ours: Kubernetes makes SUBMETER_SERVICE_HOST
    of a Service called submeter, and SUBMETER_PHASE labels a job.
    """
    for name in sorted(environ):
        head, *parts = name.split("__")
        if parts and (head == "SUBMETER" or head.startswith("SUBMETER_")):
            section = head.removeprefix("SUBMETER").removeprefix("_")
            path = [part.lower() for part in ([section] if section else []) + parts]
            yield from _text_settings(path, environ[name], f"environment {name}")


def file_settings(path: Path) -> Iterator[Setting]:
    """What a TOML file sets; relative paths in it start at its own folder."""
    source = str(path)
    text = _read(path)
    table = _parse(text, source)
    for each in settings(table, Place(source, toml_lines.key_lines(text))):
        value = path.parent / each.value if isinstance(each.value, Path) else each.value
        yield each._replace(value=value)


def _read(path: Path) -> str:
    source = str(path)
    try:
        content = _read_bytes(path)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", source=source) from error
    except ValueError as error:
        raise InputError("can't be read: no file has a NUL in its name", source=source) from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"expected at most {MAX_FILE_BYTES} bytes, found more", source=source)
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"expected UTF-8 text, found byte 0x{content[error.start]:02x}"
        raise InputError(message, source=source, line=line) from error


def _read_bytes(path: Path) -> bytes:
    # Opened without blocking and judged by what was opened: a FIFO must not hang the agent.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError("expected a regular file", source=str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)


def _parse(text: str, source: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = toml_lines.syntax_error_line(error) or text.count("\n") + 1  # "end of document"
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise InputError(f"not valid TOML: {reason}", source=source, line=line) from error
    except ValueError as error:  # Python refuses to convert more than 4,300 digits
        raise InputError("not usable: a number has too many digits", source=source) from error
    except RecursionError as error:
        raise InputError("not usable: nested too deeply", source=source) from error


def _text_settings(path: Sequence[str], text: str, source: str) -> Iterator[Setting]:
    key = KEYS.get(".".join(path))
    *parents, last = path
    table: dict[str, object] = {last: _plain(text) if key and key.kind.bare else _typed(text)}
    for part in reversed(parents):
        table = {part: table}
    return settings(table, Place(source))


def _plain(text: str) -> str:
    """Text that needs no quotes but may have them."""
    value = _typed(text) if text[:1] in {'"', "'"} else text
    return value if isinstance(value, str) else text


def _typed(text: str) -> object:
    """Text as a TOML value; what is none stands for itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
