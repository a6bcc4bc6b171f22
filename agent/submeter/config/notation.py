"""A value in, its TOML notation out: for messages, listings and the generated reference."""

import datetime
import json
from collections.abc import Mapping

_LONGEST = 60  # characters that a message quotes of what it found


def value_text(value: object) -> str:
    """The value as TOML would have it written; "(not set)" for None."""
    if value is None:
        return "(not set)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(value_text(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(key)} = {value_text(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    return _quoted(str(value))


def number_text(value: float) -> str:
    """A number without a needless ``.0``."""
    return repr(value).removesuffix(".0")


def found_text(value: object) -> str:
    """The value as a message names it: short, on one line."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "an array"
    return shortened(repr(value) if isinstance(value, float) else value_text(value))


def shortened(text: str) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())
