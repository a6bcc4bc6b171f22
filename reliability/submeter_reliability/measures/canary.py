"""Secrets planted wherever an agent meets some: in how many outputs one of them was found."""

from collections.abc import Mapping
from typing import Final

from submeter_reliability import _tests
from submeter_reliability.figures import Figure

FIGURES: Final = (
    Figure(
        "canary_outputs",
        "answers, pages, logs, files, reports and messages that are searched for secrets planted"
        " on command lines, in environments, logins, requests, labels and receivers",
        at_least=20,
    ),
    Figure("canary_leaks", "… in which one was found, in any of its encodings", at_most=0),
)
MINUTES: Final = 0.5


def measure() -> Mapping[str, float]:
    """A test that fails for another reason than a leak counts as one."""
    done = _tests.run("tests/e2e/test_canary.py")
    return {
        "canary_outputs": done.recorded["searched"],
        "canary_leaks": max(done.recorded["leaks"], done.failed),
    }
