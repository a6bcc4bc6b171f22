"""A name in, the published JSON Schema of what a report prints out."""

import json
from importlib import resources
from typing import Any


def load(name: str) -> dict[str, Any]:
    """The schema of that name and version, as ``disclosure-2``."""
    text = resources.files(__package__).joinpath(f"{name}.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
