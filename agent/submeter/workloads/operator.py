"""The operator's rules and a process in, what the operator says it does and is called out.

Rules are the configuration's ``[[classify.rule]]`` tables. They come after what a job declared
itself and before everything that is recognised; the first that applies wins.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from submeter.model import Phase, ProcessFacts, Verdict
from submeter.workloads.naming import Locate
from submeter.workloads.recognise import Judge, command_of, declared, recognise
from submeter.workloads.rules import UNKNOWN

_LOOKED_AT: Final = 4096
"""Characters of a command line that a pattern sees."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold (all of ``tests``), and what is then so; ``phase`` None leaves it open."""

    name: str  # how messages call it
    tests: tuple[tuple[str, re.Pattern[str]], ...]
    phase: Phase | None = None
    workload: str = ""


PATTERNS: Final[Mapping[str, str]] = {
    "program": "the program, script or module that runs, launchers left aside",
    "argument": "any one argument of the command line",
    "title": "the title that the process gave itself",
    "user": "the user's name",
    "unit": "the systemd service",
    "namespace": "the Kubernetes namespace",
    "pod": "the pod's name, or its UID where the name is not known",
    "container": "the container's name or the first 12 characters of its id",
    "job": "the Slurm job",
}
"""What a rule can ask for, each a pattern with ``*``, ``?`` and ``[…]``."""


def compiled(name: str, patterns: Mapping[str, str], phase: str | None, workload: str) -> Rule:
    """A rule from the configuration's texts."""
    tests = tuple((about, re.compile(translate(text))) for about, text in patterns.items())
    return Rule(name, tests, None if phase is None else Phase(phase), workload)


def judge(rules: Sequence[Rule], locate: Locate) -> Judge:
    """`recognise`, with the rules between what is declared and what is recognised."""
    if not any(rule.phase is not None for rule in rules):
        return recognise

    def judged(facts: ProcessFacts) -> Verdict:
        said = declared(facts)
        if said is not None:
            return said
        rule = _first(rules, facts, locate, lambda rule: rule.phase is not None)
        if rule is None or rule.phase is None:
            return recognise(facts)
        source = "none" if rule.phase is UNKNOWN else "rule"
        return Verdict(rule.phase, 1.0, (f"{rule.name} of the configuration",), source)

    return judged


def workload(rules: Sequence[Rule], facts: ProcessFacts, locate: Locate) -> str:
    """What the operator calls it; "" where no rule says."""
    rule = _first(rules, facts, locate, lambda rule: bool(rule.workload))
    return "" if rule is None else rule.workload


def _first(
    rules: Sequence[Rule],
    facts: ProcessFacts,
    locate: Locate,
    wanted: Callable[[Rule], bool],
) -> Rule | None:
    seen: dict[str, tuple[str, ...]] | None = None
    for rule in rules:
        if wanted(rule):
            seen = _seen(facts, locate) if seen is None else seen
            if all(_any(pattern, seen[about]) for about, pattern in rule.tests):
                return rule
    return None


def _any(pattern: re.Pattern[str], texts: tuple[str, ...]) -> bool:
    return any(pattern.match(text) is not None for text in texts if text)


def _seen(facts: ProcessFacts, locate: Locate) -> dict[str, tuple[str, ...]]:
    place = locate(facts.cgroup)
    left = _LOOKED_AT
    arguments = []
    for word in facts.argv:
        if left <= 0:
            break
        arguments.append(word[:left])
        left -= len(word) + 1
    return {
        "program": (command_of(facts).name, facts.comm),
        "argument": tuple(arguments),
        "title": (facts.title or "",),
        "user": (facts.user,),
        "unit": (place.unit, place.unit.removesuffix(".service")),
        "namespace": (place.namespace,),
        "pod": (place.pod,),
        "container": (place.container,),
        "job": (place.job,),
    }
