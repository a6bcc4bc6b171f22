"""``[[classify.rule]]`` tables in, checked rules out; or the error that points to the line."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from submeter.config.notation import found_text, shortened

PHASES: Final = ("training", "inference", "other", "unknown")

RULE_KEYS: Final[Mapping[str, str]] = {
    "program": 'Program, script or module that runs, such as "train_*.py" or "acme.serve*".',
    "argument": 'Any one argument of the command line, such as "--mode=offline".',
    "title": "Title that the process gave itself (setproctitle).",
    "user": "User's name.",
    "unit": 'systemd service, such as "render@*.service".',
    "namespace": "Kubernetes namespace.",
    "pod": "Name of the pod, or its UID where the name is not known.",
    "container": "Name of the container, or the first 12 characters of its id.",
    "job": "Slurm job.",
    "phase": 'Result: "training", "inference", "other" or "unknown".',
    "workload": "Result: the name that its energy is booked under.",
}
"""Every key of a rule, with its help. All but the last two are patterns (``*``, ``?``, ``[…]``)
that must all match."""

RESULTS: Final = ("phase", "workload")
MOST_RULES: Final = 200
_LONGEST: Final = 256

Fail = Callable[[tuple[str | int, ...], str], Exception]
"""The error to raise about a place within ``classify.rule``."""


@dataclass(frozen=True, slots=True)
class ClassifyRule:
    """One rule as the operator wrote it."""

    patterns: Mapping[str, str]
    phase: str | None = None
    workload: str = ""


def classify_rules(value: object, fail: Fail) -> tuple[ClassifyRule, ...]:
    """The rules of an array of tables. ``fail`` makes the error for a path within it."""
    if not isinstance(value, list):
        found = found_text(value)
        raise fail((), f"classify.rule must be [[classify.rule]] tables, found {found}")
    if len(value) > MOST_RULES:
        raise fail((), f"classify.rule: expected at most {MOST_RULES} rules, found {len(value)}")
    return tuple(_rule(index, table, fail) for index, table in enumerate(value))


def _rule(index: int, table: object, fail: Fail) -> ClassifyRule:
    name = f"classify.rule[{index}]"
    if not isinstance(table, dict):
        raise fail((index,), f"{name} must be a table, found {found_text(table)}")
    for key, message in _wrong(name, table):
        raise fail((index, key), message)
    patterns = {key: text for key, text in table.items() if key not in RESULTS}
    if not patterns:
        asked = ", ".join(key for key in RULE_KEYS if key not in RESULTS)
        raise fail((index,), f"{name} applies to everything: give one of {asked}")
    if not any(key in table for key in RESULTS):
        raise fail((index,), f"{name} says nothing: give phase, workload or both")
    return ClassifyRule(patterns, table.get("phase"), table.get("workload", ""))


def _wrong(name: str, table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Each key that is wrong, and why."""
    for key, value in table.items():
        if key not in RULE_KEYS:
            near = difflib.get_close_matches(key, RULE_KEYS, n=1)
            known = f"did you mean {near[0]}?" if near else f"known are {', '.join(RULE_KEYS)}"
            yield key, f"unknown key {name}.{shortened(key)}; {known}"
        elif not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
            yield key, f"{name}.{key} must be a text, found {found_text(value)}"
        elif key == "phase" and value not in PHASES:
            words = ", ".join(f'"{phase}"' for phase in PHASES)
            yield key, f"{name}.phase must be one of {words}, found {found_text(value)}"
