"""Four unlike processes for five minutes: what is booked to each, and how sure, stays what it is.

A change of these figures is a change of everybody's bill: look at `benchmarks/bench_split.py`
before accepting it (`SUBMETER_WRITE_GOLDEN=1 pytest` of this file writes them anew).
"""

import json
import os
from pathlib import Path
from random import Random

import pytest

from submeter.attribution import Party, Sharing
from submeter.model import Floors, Owner, Phase, ProcessKey

GOLDEN = Path(__file__).parents[2] / "golden" / "split.json"
WATTS = {"train": 480.0, "serve": 60.0, "batch": 210.0, "other": 120.0}
SECONDS = 300


def test_what_is_booked_to_whom() -> None:
    random = Random(7)
    sharing = Sharing("board")
    owners = {name: Owner(Phase.OTHER, name) for name in WATTS}
    keys = {name: ProcessKey("boot", i, i) for i, name in enumerate(WATTS)}
    sharing.present({keys[name]: owners[name] for name in WATTS})
    booked, true = dict.fromkeys(WATTS, 0.0), dict.fromkeys(WATTS, 0.0)
    for second in range(SECONDS):
        used = {name: 0.22 if (second // (5 + 8 * i)) % 2 else 0.03 for i, name in enumerate(WATTS)}
        seen = _through_the_ring(used, random)
        watts = sum(WATTS[name] * share for name, share in used.items())
        sharing.together({keys[name]: share for name, share in seen.items()}, watts, Floors())
        parties = {Party(keys[name], owners[name]): share for name, share in seen.items()}
        parts = sharing.allot(parties, round(watts * 1e6), 1.0).weights
        for name in WATTS:
            true[name] += WATTS[name] * used[name]
            booked[name] += parts.get(Party(keys[name], owners[name]), 0) / 1e6
    errors = sharing.standard_errors(now=True)
    found = {
        name: {
            "booked_joules": round(booked[name]),
            "true_joules": round(true[name]),
            "standard_error_joules": round(errors[owners[name], ""] / 1e6),
        }
        for name in WATTS
    }
    if os.environ.get("SUBMETER_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
    expected = json.loads(GOLDEN.read_text())
    assert sum(booked.values()) == pytest.approx(sum(true.values()))
    for name, figures in expected.items():  # sums of floats differ a little between Pythons
        assert found[name] == pytest.approx(figures, rel=0.01, abs=5), name


def _through_the_ring(used: dict[str, float], random: Random) -> dict[str, float]:
    """Seven samples that name one process each."""
    busy = sum(used.values())
    seen = random.choices(list(used), list(used.values()), k=7)
    return {name: busy * seen.count(name) / 7 for name in used}
