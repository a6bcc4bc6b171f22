"""What can be seen of a process in, training, inference, other or unknown out, with the reasons.

In order: what the job declared; the operator's rules (`submeter.workloads.operator`); titles and
programs known by name; for everybody else, signs from the script's name, modes, options, launcher,
ports and place, weighed against each other; and for helpers that say nothing themselves, who
started them. Evidence quotes words of our own tables, never the command line.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from submeter.model import Phase, ProcessFacts, Verdict
from submeter.workloads import cues
from submeter.workloads.command import Command, parse
from submeter.workloads.cues import Sign
from submeter.workloads.modes import modes
from submeter.workloads.names import name_sign
from submeter.workloads.rules import (
    DECLARABLE,
    DECLARED_PHASE,
    INFERENCE,
    OTHER,
    TITLES,
    TRAINING,
    UNKNOWN,
    Tool,
)
from submeter.workloads.signs import signs
from submeter.workloads.tools import NATIVE_ONLY, TOOLS
from submeter.workloads.weighing import weighed

Judge = Callable[[ProcessFacts], Verdict]
"""What `recognise` is, and what a configuration's rules make of it."""

_NATIVE: Final = Verdict(
    OTHER, 0.89, ("a program of its own that nothing marks as machine learning",), "recognised"
)
"""Simulations, graphics, tools: of programs that are no script and that no table knows, most."""

_ANY_NATIVE: Final = Verdict(OTHER, 0.8, _NATIVE.evidence, "recognised")
"""The same of one whose name doesn't even say which program it is: ./a.out, build/run."""

_OF_A_PARENT: Final = 0.95
_OF_A_VAGUE_PARENT: Final = 0.85


def recognise(facts: ProcessFacts) -> Verdict:
    """What that process does with the GPU, how sure that is (0…1), and why."""
    said = declared(facts)
    if said is not None:
        return said
    titled = _titled(facts.title)
    if titled is not None:
        return titled
    command = command_of(facts)
    if _is_helper(command) and facts.parent_argv:
        return _by_parent(facts, _OF_A_PARENT) or _judged(facts, command)
    verdict = _judged(facts, command)
    if verdict.phase is UNKNOWN and facts.parent_argv and verdict.source == "none":
        return _by_parent(facts, _OF_A_VAGUE_PARENT) or verdict
    return verdict


def command_of(facts: ProcessFacts) -> Command:
    """What runs: from the argv, a title that reads like one, or at least the process's name."""
    if facts.argv and facts.title is None:
        return parse(facts.argv)
    text = facts.title or facts.comm
    return parse(tuple(text[:_TITLE_CHARACTERS].split()))


_TITLE_CHARACTERS: Final = 4096


def _judged(facts: ProcessFacts, command: Command) -> Verdict:
    name = name_sign(command.name, native=command.native and not command.imported)
    tool = _tool(command, None if name is None else name.cue.phase)
    found = modes(command, None if tool is not None or name is None else name.cue.phase)
    if tool is not None:
        return _known(tool, found)
    said = [*found, *signs(facts, command, name)]
    if not said and facts.argv and command.native:
        return _NATIVE if command.name not in cues.ANY_PROGRAM else _ANY_NATIVE
    mode = next((one.cue.phase for one in found if one.kind == "mode"), None)
    return weighed(said, mode)


def _is_helper(command: Command) -> bool:
    """Code on the command line, or a module that only starts what its parent tells it."""
    if command.module:
        return command.module.startswith(cues.HELPERS)
    if command.imported:
        return command.imported.startswith(cues.HELPERS)
    return command.program == "python" and not command.script and not command.launchers


def _by_parent(facts: ProcessFacts, share: float) -> Verdict | None:
    """What the parent does, if that is clear: its workers do it for it."""
    parent = replace(facts, argv=facts.parent_argv, title=None, comm="", parent_argv=())
    verdict = _judged(parent, parse(facts.parent_argv))
    if verdict.phase is UNKNOWN or verdict in {_NATIVE, _ANY_NATIVE}:
        return None
    evidence = ("started by a process of which: " + verdict.evidence[0], *verdict.evidence[1:])
    return Verdict(verdict.phase, verdict.confidence * share, evidence, "recognised")


def declared(facts: ProcessFacts) -> Verdict | None:
    """What the job says of itself in its environment; None if nothing."""
    phase = facts.environ.get(DECLARED_PHASE, "").strip().lower()
    if phase not in DECLARABLE:
        return None
    return Verdict(Phase(phase), 1.0, (f"{DECLARED_PHASE} is set to {phase}",), "declared")


def _titled(title: str | None) -> Verdict | None:
    if title is None:
        return None
    for rule in TITLES:
        if title.startswith(rule.prefixes):
            evidence = (f"titled {rule.label}",)
            return Verdict(rule.phase, rule.confidence, evidence, "recognised")
    if title.startswith("ray::"):
        # Class.method of an actor, method of the moment: ray::TorchLearner.update()
        owner, _, method = title[5:].split("(")[0].partition(".")
        said = [sign for text in (owner, method) if (sign := name_sign(text)) is not None]
        return weighed(said[:1], None)
    return None


def _tool(command: Command, said: Phase | None) -> Tool | None:
    """``said``: what the name of the script or the module itself says."""
    scripted = bool(command.module or command.script or command.imported)
    for depth, name in enumerate(_names(command)):
        for tool in TOOLS.get(name, ()):
            if scripted and tool.label in NATIVE_ONLY:
                continue
            if command.module and depth and tool.phase is INFERENCE and _inside(command, said):
                return None
            if not tool.verbs or not tool.verbs.isdisjoint(command.words[:2]):
                return tool
    return None


def _inside(command: Command, said: Phase | None) -> bool:
    """A package to run models with has modules that train or convert them, and that measure or
    test its kernels."""
    parts = command.module.lower().replace("_", "-").split(".")
    return said in {TRAINING, OTHER} or not _NOT_RUNNING.isdisjoint(parts)


_NOT_RUNNING: Final = frozenset({"kernel", "kernels", "tests", "csrc", "custom-ops"})


def _names(command: Command) -> Iterator[str]:
    """The keys a program may have in the table; a module's packages from the inside out."""
    name = (command.imported or command.name).lower().replace("_", "-")
    if command.module or command.imported:
        while name:
            yield name
            name = name.rpartition(".")[0]
        return
    yield name
    if name.endswith(".py"):
        return
    stem = name.removesuffix(".exe").rstrip("0123456789.-")
    yield stem
    if not command.script:
        yield from (known for known in cues.FAMILIES if stem.startswith(known))
        if stem.removesuffix("-mpi").endswith("-perf"):
            yield "nccl-tests"  # all_reduce_perf, sendrecv_perf_mpi, …


def _known(tool: Tool, found: list[Sign]) -> Verdict:
    evidence = f"runs {tool.label}"
    mode = next((one for one in found if one.kind == "mode"), None)
    if tool.phase is TRAINING and mode is not None and mode.cue.phase is not TRAINING:
        return Verdict(mode.cue.phase, 0.87, (mode.text, evidence), "recognised")
    if tool.confidence >= _KNOWN_WELL:
        confidence = 1 - _DOUBT * (1 - tool.confidence)
    elif tool.confidence >= _KNOWN:
        confidence = min(tool.confidence + _MODESTY, _ALMOST)
    else:
        confidence = tool.confidence
    return Verdict(tool.phase, confidence, (evidence,), "recognised")


_KNOWN_WELL: Final = 0.9
_DOUBT: Final = 0.12
_KNOWN: Final = 0.8
_MODESTY: Final = 0.07
_ALMOST: Final = 0.899
"""Names of the tables are right more often than the tables' authors dared to say: all of 254 at 0.9
and more and 33 of 33 between 0.8 and 0.9, so most of the doubt is taken away
(docs/recognition.md)."""
