"""Inputs that a surface was given in, all that it ever was out: reliability/fuzz.json."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

PATH: Final = Path(__file__).resolve().parents[1] / "fuzz.json"


@dataclass(frozen=True, slots=True)
class Count:
    """Of one surface: all inputs ever, and the day (UTC) of the last ones."""

    inputs: int = 0
    date: str = ""


def read(path: Path = PATH) -> dict[str, Count]:
    """By surface."""
    if not path.exists():
        return {}
    return {name: Count(**said) for name, said in json.loads(path.read_text("utf-8")).items()}


def add(new: Mapping[str, int], path: Path = PATH) -> None:
    """Adds inputs of today."""
    known, today = read(path), datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    for name, inputs in new.items():
        known[name] = Count(known.get(name, Count()).inputs + inputs, today)
    text = json.dumps({name: asdict(known[name]) for name in sorted(known)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
