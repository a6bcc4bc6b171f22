"""What can be seen of a process in, training, inference, other or unknown out, with the reasons.

In order: what the job declared; titles and programs known by name; for everybody else, cues from
the script's name, modes, options, launcher, ports and place, weighed against each other. Modes come
before a trainer's name: `nnUNetv2_train --val` validates, `train.py --mode inference` infers.
Evidence quotes words of our own tables, never the command line.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from submeter.model import Phase, ProcessFacts, Verdict
from submeter.workloads import cues
from submeter.workloads.command import Command, parse
from submeter.workloads.cues import Cue, name_words
from submeter.workloads.placement import placement
from submeter.workloads.rules import (
    DECLARABLE,
    DECLARED_PHASE,
    INFERENCE,
    LAUNCHED_BY,
    OTHER,
    TITLES,
    TRAINING,
    UNKNOWN,
    Tool,
    words,
)
from submeter.workloads.tools import TOOLS

_FAMILIES: Final = 6
"""Options of one kind count up to that: five learning-rate options don't say five times as much."""

_CONFIDENCE: Final = ((12, 0.92), (9, 0.88), (7, 0.84), (6, 0.8), (5, 0.74), (4, 0.68), (3, 0.6))
"""From the lead over the next best phase, in points, to the share that is right. A lead of less
than 3 is no answer. Kept below what the development corpus shows, since the tables were written
with that in view."""

_NOTHING: Final = Verdict(UNKNOWN, 0.4, ("nothing says what it does",), "none")

_NATIVE: Final = Verdict(
    OTHER, 0.55, ("a program of its own that nothing marks as machine learning",), "recognised"
)
"""Simulations, graphics, tools: 9 of the 12 such programs in the development corpus, if none of
them is in the table."""


Judge = Callable[[ProcessFacts], Verdict]
"""What `recognise` is, and what a configuration's rules make of it."""


class _Said(NamedTuple):
    """One cue that applies, and how it reads."""

    cue: Cue
    text: str


def recognise(facts: ProcessFacts) -> Verdict:
    """What that process does with the GPU, how sure that is (0…1), and why."""
    declared = _declared(facts)
    if declared is not None:
        return declared
    titled = _titled(facts.title)
    if titled is not None:
        return titled
    command = command_of(facts)
    modes = tuple(_modes(command))
    tool = _tool(command)
    if tool is not None:
        return _known(tool, modes)
    said = [*modes, *_cues(facts, command)]
    if not said and facts.argv and command.native and command.name not in cues.ANY_PROGRAM:
        return _NATIVE
    return _weighed(said, mode=modes[0].cue.phase if modes else None)


def command_of(facts: ProcessFacts) -> Command:
    """What runs: from the argv, a title that reads like one, or at least the process's name."""
    if facts.argv and facts.title is None:
        return parse(facts.argv)
    text = facts.title or facts.comm
    return parse(tuple(text.split()))


def _declared(facts: ProcessFacts) -> Verdict | None:
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
    return None


def _tool(command: Command) -> Tool | None:
    for name in _names(command):
        for tool in TOOLS.get(name, ()):
            if not tool.verbs or not tool.verbs.isdisjoint(command.words[:2]):
                return tool
    return None


def _names(command: Command) -> Iterator[str]:
    """The keys a program may have in the table; a module's packages from the inside out."""
    name = command.name.lower().replace("_", "-")
    if command.module:
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
        if stem.endswith("-perf"):
            yield "nccl-tests"  # all_reduce_perf, sendrecv_perf, …


def _known(tool: Tool, modes: tuple[_Said, ...]) -> Verdict:
    evidence = f"runs {tool.label}"
    if tool.phase is TRAINING and modes and modes[0].cue.phase is not TRAINING:
        return Verdict(modes[0].cue.phase, 0.87, (modes[0].text, evidence), "recognised")
    return Verdict(tool.phase, tool.confidence, (evidence,), "recognised")


def _modes(command: Command) -> Iterator[_Said]:
    """What subcommands, mode options and switches say; training first, as who trains and
    evaluates trains."""
    said = [*_subcommands(command), *_mode_options(command), *_switches(command)]
    return iter(sorted(said, key=lambda one: one.cue.phase is not TRAINING))


def _subcommands(command: Command) -> Iterator[_Said]:
    for word in command.words[:1]:
        cue = cues.MODES.get(word.lower().replace("_", "-"))
        if cue is not None:
            yield _Said(cue, f"subcommand says {cue.phase}")


def _mode_options(command: Command) -> Iterator[_Said]:
    for option, value in command.options.items():
        if _last(option) in cues.MODE_OPTIONS:
            cue = cues.MODES.get(value.lower().replace("_", "-"))
            if cue is not None:
                yield _Said(cue, f"option {_last(option)} says {cue.phase}")


def _switches(command: Command) -> Iterator[_Said]:
    for option, value in command.options.items():
        name = _last(option)
        cue = cues.SWITCHES.get(name) or cues.SHORT_SWITCHES.get(name)
        if cue is None:
            continue
        truth = _truth(value)
        if truth is None or (not value and name in cues.SHORT_SWITCHES):
            continue
        if truth:
            yield _Said(cue, f"option {name} is on")
        elif cue.phase is TRAINING:
            yield _Said(Cue(INFERENCE, cue.points - 2), f"option {name} is off")


def _truth(value: str) -> bool | None:
    """None for what is a file or a number rather than yes or no."""
    text = value.lower()
    if not text or text in cues.TRUE:
        return True
    return False if text in cues.FALSE else None


def _cues(facts: ProcessFacts, command: Command) -> Iterator[_Said]:
    name = _name_cue(command.name)
    if name is not None:
        yield name
    yield from _folder_cues(command)
    yield from _option_cues(command)
    yield from _argument_cues(command)
    yield from _surrounding_cues(facts, command, certain=name is not None)


def _name_cue(name: str) -> _Said | None:
    """The weightiest word of the name; of several, the first: generate_train_data generates."""
    stem = name.rpartition(".")[0] if name.endswith((".py", ".sh", ".jl")) else name
    best: _Said | None = None
    for word in name_words(stem.rpartition(".")[2]):
        cue = cues.NAME_WORDS.get(word)
        if cue is not None and (best is None or cue.points > best.cue.points):
            best = _Said(cue, f"its name says “{word}”")
    return best


def _folder_cues(command: Command) -> Iterator[_Said]:
    folders = command.module.split(".")[:-1] if command.module else command.folders[-3:]
    if not command.module and (not command.script or folders[-1:] == ("bin",)):
        return
    for folder in reversed(folders):
        for word in (folder.lower(), *name_words(folder)):
            cue = cues.FOLDER_WORDS.get(word)
            if cue is not None:
                yield _Said(cue, f"kept in a folder “{word}”")
                return


def _option_cues(command: Command) -> Iterator[_Said]:
    spent: dict[Phase, int] = {}
    for option in command.options:
        cue = cues.OPTION_WORDS.get(option) or cues.OPTION_WORDS.get(_last(option))
        left = 0 if cue is None else _FAMILIES - spent.get(cue.phase, 0)
        if cue is not None and left > 0:
            spent[cue.phase] = spent.get(cue.phase, 0) + cue.points
            yield _Said(Cue(cue.phase, min(cue.points, left)), f"has option {_last(option)}")


def _argument_cues(command: Command) -> Iterator[_Said]:
    words = [word.lower() for word in command.words[:8]]
    if not cues.BENCHMARKS.isdisjoint(words[:2]):
        yield _Said(Cue(INFERENCE, 5), "names a benchmark of language models")
    if any(word.endswith(cues.MEDIA) for word in words):
        yield _Said(Cue(INFERENCE, 3), "is given a media file")


def _surrounding_cues(facts: ProcessFacts, command: Command, *, certain: bool) -> Iterator[_Said]:
    """Weak evidence from around the process: launcher, ports, libraries, where it was put."""
    launcher = next((who for key, who in LAUNCHED_BY.items() if key in facts.environ), "")
    if launcher or any(name in _TRAINING_LAUNCHERS for name in command.launchers):
        points = 2 if certain else 3
        yield _Said(Cue(TRAINING, points), f"started by {launcher or 'a distributed launcher'}")
    rendezvous = facts.environ.get("MASTER_PORT")
    if any(port not in cues.NOT_SERVING and str(port) != rendezvous for port in facts.listen_ports):
        yield _Said(Cue(INFERENCE, 3), "listens on a port")
    if any(name.startswith(("libnvinfer", "libonnxruntime")) for name in facts.libraries):
        yield _Said(Cue(INFERENCE, 4), "has an inference library loaded")
    place = placement(facts.cgroup)
    for word in _place_words((place.unit.removesuffix(".service"), place.container, place.pod)):
        yield _Said(cues.PLACE_WORDS[word], f"runs in something named “{word}”")


_TRAINING_LAUNCHERS: Final = words(
    "torchrun torch.distributed.run torch.distributed.launch accelerate accelerate-launch "
    "accelerate.commands.launch deepspeed deepspeed.launcher.launch composer colossalai horovodrun"
)


def _place_words(names: Iterable[str]) -> Iterator[str]:
    return (word for name in names for word in name_words(name) if word in cues.PLACE_WORDS)


def _weighed(said: list[_Said], mode: Phase | None) -> Verdict:
    """The phase with the most points, if it leads.

    Where a mode says that something else is going on, the training in a name or folder is the
    program's, not the moment's, and doesn't count.
    """
    if mode is not None and mode is not TRAINING:
        said = [one for one in said if one.cue.phase is not TRAINING or _is_option(one)]
    points = dict.fromkeys((TRAINING, INFERENCE, OTHER), 0)
    for one in said:
        points[one.cue.phase] += one.cue.points
    first, second = sorted(points, key=lambda phase: -points[phase])[:2]
    lead = points[first] - points[second]
    evidence = tuple(one.text for one in said)
    for least, confidence in _CONFIDENCE:
        if lead >= least:
            mine = tuple(one.text for one in said if one.cue.phase is first)
            return Verdict(first, confidence, mine, "recognised")
    if not said:
        return _NOTHING
    return Verdict(UNKNOWN, 0.5, (*evidence, "too little, or contradictory"), "none")


def _is_option(one: _Said) -> bool:
    return one.text.startswith(("has option", "option"))


def _last(option: str) -> str:
    """``trainer.max-epochs`` → ``max-epochs``."""
    return option.rpartition(".")[2]
