"""Every byte of a ledger and of its log flipped, every length cut: detected or harmless."""

from collections.abc import Mapping
from typing import Final

from submeter_reliability import _tests
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure("ledger_flips", "bytes flipped, one at a time, and lengths cut", at_least=50_000),
    Figure(
        "ledger_flips_undetected",
        "of those: neither detected by `submeter verify` nor harmless, or an agent that doesn't go"
        " on from it",
        at_most=0,
    ),
)
MINUTES: Final = 12


def measure() -> Mapping[str, float]:
    """The tests stop at the first byte that isn't detected: failures count tests."""
    done = _tests.run("tests/agent/ledger/test_damage.py")
    return {
        "ledger_flips": done.recorded["damaged"],
        "ledger_flips_undetected": done.failed,
    }
