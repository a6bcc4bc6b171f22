"""Inputs that a surface was given in, all that its parser as it is now ever was out:
reliability/fuzz.json."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from submeter_fuzz.parsers import PARSERS, version

PATH: Final = Path(__file__).resolve().parents[1] / "fuzz.json"


@dataclass(frozen=True, slots=True)
class Count:
    """Of one surface: all inputs of its parser of this version, and the day (UTC) of the last."""

    inputs: int = 0
    date: str = ""
    parser: str = ""


def read(path: Path = PATH) -> dict[str, Count]:
    """By surface; those of parsers that were changed since are left out."""
    if not path.exists():
        return {}
    stored = {name: Count(**said) for name, said in json.loads(path.read_text("utf-8")).items()}
    return {
        name: count
        for name, count in stored.items()
        if name in PARSERS and count.parser == version(name)
    }


def add(new: Mapping[str, int], path: Path = PATH) -> None:
    """Adds inputs of today."""
    known, today = read(path), datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    for name, inputs in new.items():
        before = known.get(name, Count()).inputs
        known[name] = Count(before + inputs, today, version(name))
    text = json.dumps({name: asdict(known[name]) for name in sorted(known)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
