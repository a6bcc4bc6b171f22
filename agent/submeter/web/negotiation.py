"""What a client accepts: `Accept` and `Accept-Encoding` with their weights (RFC 9110 §12.5)."""

from collections.abc import Mapping
from typing import NamedTuple

_LONGEST = 64  # choices looked at; a browser sends ten


class Choice(NamedTuple):
    """One element of an Accept header, lower case, with its weight 0…1."""

    value: str
    parameters: Mapping[str, str]
    weight: float


def choices(header: str) -> list[Choice]:
    """The elements of an Accept or Accept-Encoding header. What makes no sense weighs 0."""
    return [
        _choice(item) for item in header.lower().split(",", _LONGEST)[:_LONGEST] if item.strip()
    ]


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    weights = {choice.value: choice.weight for choice in choices(header)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _choice(item: str) -> Choice:
    value, *rest = (part.strip() for part in item.split(";"))
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip(): content.strip().strip('"') for name, _, content in pairs}
    return Choice(value, parameters, _weight(parameters.pop("q", "1")))


def _weight(text: str) -> float:
    """qvalue: 0 to 1 with at most three digits; anything else is nothing."""
    digits = text.replace(".", "", 1)
    if len(text) > len("0.000") or not (digits.isascii() and digits.isdigit()):
        return 0.0
    return min(float(text), 1.0)
