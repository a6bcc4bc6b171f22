"""How many inputs every surface has been given by `make fuzz`, ever: nothing is fuzzed here."""

from collections.abc import Mapping
from typing import Final

from submeter_fuzz import counts
from submeter_fuzz.surfaces import SURFACES
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure("fuzz_surfaces", "surfaces that are fuzzed (`make fuzz`)", at_least=26),
    Figure(
        "fuzz_inputs_least",
        "inputs that the least fuzzed surface has had, with no crash or hang left",
        at_least=1_000_000,
    ),
)
MINUTES: Final = 0.1


def measure() -> Mapping[str, float]:
    """From reliability/fuzz.json."""
    known = counts.read()
    inputs = [known[name].inputs if name in known else 0 for name in SURFACES]
    return {"fuzz_surfaces": len(SURFACES), "fuzz_inputs_least": min(inputs)}
