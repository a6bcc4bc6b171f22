"""A line of JSON that describes a process in, the facts that recognition judges out.

The form is that of `submeter classify --jsonl`: ``id``, ``argv``, ``title``, ``env``, ``cgroup``,
``listen``, ``libs``, ``parent``; every field optional but one of ``argv`` and ``title``. Fields
of other names are not looked at.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, NoReturn, TypeVar

from submeter.errors import InputError
from submeter.model import ProcessFacts, ProcessKey, Verdict

_NOBODY: Final = ProcessKey("", 0, 0)
_PORTS: Final = range(65_536)
_T = TypeVar("_T")


class Described(NamedTuple):
    """A process that somebody else looked at; ``id`` is theirs, whatever JSON it is."""

    id: object
    facts: ProcessFacts


def described(line: bytes) -> Described:
    """The process that a line describes. Raises InputError where it is not of the form."""
    try:
        fields = _DECODER.decode(line.decode("utf-8"))
    except RecursionError as error:
        raise InputError("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte 0x{line[error.start]:02x}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} (column {error.colno})") from error
    except ValueError as error:
        raise InputError(
            "not usable: a number that JSON doesn't have, or a very long one"
        ) from error
    if not isinstance(fields, dict):
        raise InputError(f"expected an object, found {_kind(fields)}")
    return Described(fields.get("id"), _facts(fields))


def answer(id_: object, verdict: Verdict) -> Mapping[str, object]:
    """What `submeter classify` says of a process."""
    return {
        "id": id_,
        "phase": str(verdict.phase),
        "confidence": round(verdict.confidence, 4),
        "evidence": list(verdict.evidence),
    }


def _facts(fields: Mapping[str, object]) -> ProcessFacts:
    argv = _field(fields, "argv", _texts, "an array of texts") or ()
    title = _field(fields, "title", _text, "a text")
    if not argv and title is None:
        raise InputError("expected argv or title, found neither")
    return ProcessFacts(
        _NOBODY,
        argv=argv,
        title=title,
        environ=_field(fields, "env", _variables, "an object of texts") or {},
        cgroup=_field(fields, "cgroup", _text, "a text") or "",
        listen_ports=_field(fields, "listen", _ports, "an array of port numbers") or (),
        libraries=_field(fields, "libs", _texts, "an array of texts") or (),
        parent_argv=_field(fields, "parent", _texts, "an array of texts") or (),
    )


def _field(
    fields: Mapping[str, object], name: str, convert: Callable[[object], _T | None], expected: str
) -> _T | None:
    value = fields.get(name)
    if value is None:
        return None
    converted = convert(value)
    if converted is None:
        raise InputError(f"{name} must be {expected}, found {_kind(value)}")
    return converted


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return None
    return tuple(value)


def _variables(value: object) -> Mapping[str, str] | None:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        return None
    return value


def _ports(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(one) is int and one in _PORTS for one in value):
        return None
    return tuple(value)


def _no_number(_name: str) -> NoReturn:
    raise ValueError  # NaN, Infinity: Python's, not JSON's


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


def _kind(value: object) -> str:
    """What it is, without quoting it: a command line may hold secrets."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "a truth value"}
    return names.get(type(value), "nothing" if value is None else "a number") + (
        " of something else" if isinstance(value, dict | list) and value else ""
    )
