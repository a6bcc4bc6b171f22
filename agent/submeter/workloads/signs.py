"""A command and its surroundings in, signs of what it does out: name, options, arguments, place.

For programs that no rule knows. Texts of signs quote words of our own tables, never a command line.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from submeter.model import Phase, ProcessFacts
from submeter.workloads import cues
from submeter.workloads.command import Command
from submeter.workloads.cues import Cue, Sign, name_words
from submeter.workloads.names import name_sign
from submeter.workloads.placement import placement
from submeter.workloads.rules import (
    ENVIRON_CUES,
    INFERENCE,
    LAUNCHED_BY,
    OTHER,
    TELLING_LIBRARIES,
    TRAINING,
    WRITTEN,
    words,
)

_OPTIONS_MOST: Final = 8
"""Options of one kind count up to that: five learning-rate options don't say five times as much."""


def signs(facts: ProcessFacts, command: Command, name: Sign | None) -> list[Sign]:
    """Everything there is, the name's own sign (``name``) included."""
    said = [] if name is None else [name]
    said.extend(_folders(command))
    said.extend(_options(command))
    said.extend(_arguments(command))
    said.extend(_kind_of_program(command))
    said.extend(_surroundings(facts, command, certain=name is not None))
    return said


def last(option: str) -> str:
    """``trainer.max-epochs`` → ``max-epochs``."""
    return option.rpartition(".")[2]


def _folders(command: Command) -> Iterator[Sign]:
    if command.module:
        folders: Iterable[str] = command.module.split(".")[-2::-1]
    elif command.script and command.folders[-1:] != ("bin",):
        folders = command.folders[-1:-4:-1]
    else:
        return
    for folder in folders:
        for word in (folder.lower(), *name_words(folder)):
            cue = cues.FOLDER_WORDS.get(word)
            if cue is None and word not in cues.TASK_FOLDERS:
                cue = _vaguely(cues.NAME_WORDS.get(word))
            if cue is not None:
                yield Sign(cue, f"kept in a folder “{word}”", "folder")
                return


def _vaguely(cue: Cue | None) -> Cue | None:
    return None if cue is None or cue.points < _TELLING_POINTS else Cue(cue.phase, 2)


def _options(command: Command) -> Iterator[Sign]:
    spent: dict[Phase, int] = {}
    for option in command.options:
        name = option.rpartition(".")[2]
        cue = cues.OPTION_WORDS.get(name)
        if cue is None and name not in cues.NEUTRAL_OPTIONS:
            cue, name = _part(option)
        left = 0 if cue is None else _OPTIONS_MOST - spent.get(cue.phase, 0)
        if cue is not None and left > 0:
            spent[cue.phase] = spent.get(cue.phase, 0) + cue.points
            if cue.points > left:
                cue = Cue(cue.phase, left)
            yield Sign(cue, f"has option {name}", "option")


def _part(option: str) -> tuple[Cue | None, str]:
    """A telling word of a longer option: `--decode-from-file`, `train_loader.dataset`."""
    for part in option.replace(".", "-").split("-"):
        cue = cues.OPTION_PARTS.get(part)
        if cue is not None:
            return cue, f"…{part}…"
    return None, ""


def _arguments(command: Command) -> Iterator[Sign]:
    plain = command.words[:8]
    if plain and not cues.BENCHMARKS.isdisjoint([word.lower() for word in plain[:2]]):
        yield Sign(Cue(INFERENCE, 5), "names a benchmark of language models", "argument")
    values = [*plain, *filter(None, islice(command.options.values(), 40))]
    endings = [value[-_ENDING_CHARACTERS:].lower() for value in values if "." in value]
    if any(ending.endswith(cues.MEDIA) for ending in endings):
        yield Sign(Cue(INFERENCE, 3), "is given a media file", "argument")
    elif any(ending.endswith(cues.CHECKPOINTS) for ending in endings):
        yield Sign(Cue(INFERENCE, 2), "is given a trained model", "argument")
    if any(_is_sentence(value) for value in values if " " in value):
        yield Sign(Cue(INFERENCE, 3), "is given a sentence", "argument")
    if command.options.get("scenario", "").lower() in cues.SCENARIOS:
        yield Sign(Cue(INFERENCE, 6), "is given a scenario of MLPerf inference", "argument")
    for option in _NAMING_BENCHMARKS & command.options.keys():
        named = command.options[option].lower().replace("_", "-").split(",")
        if not cues.BENCHMARKS.isdisjoint(named):
            yield Sign(Cue(INFERENCE, 4), "names a benchmark of language models", "argument")
    yield from _configurations(command)


_ENDING_CHARACTERS: Final = 8
_NAMING_BENCHMARKS: Final = words("tasks task benchmarks datasets dataset")


def _is_sentence(value: str) -> bool:
    return value.count(" ") > 2 and "=" not in value and value[:1].isalpha() and "/" not in value


def _configurations(command: Command) -> Iterator[Sign]:
    """The name of a recipe: `configs/official/llama3_grpo.yaml`."""
    given = [value for name, value in command.options.items() if _holds_configuration(name)]
    given += [word for word in command.words[:3] if word.endswith(_CONFIGURATION_FILES)]
    for path in given[:4]:
        folder, _, file = path[-200:].rpartition("/")
        for text, points in ((file, 4), (folder, 2)):
            sign = name_sign(text)
            if sign is not None and sign.cue.points >= _TELLING_POINTS:
                about = sign.text.replace("its name", "its configuration")
                yield Sign(Cue(sign.cue.phase, points), about, "argument")
                return


_CONFIGURATION_FILES: Final = (".yaml", ".yml", ".toml", ".json", ".gin", ".jsonnet", ".yaml:")
_TELLING_POINTS: Final = 5


def _holds_configuration(option: str) -> bool:
    name = last(option)
    return name in cues.CONFIGURATIONS or name.endswith(("-config", "config-file", "config-name"))


def _kind_of_program(command: Command) -> Iterator[Sign]:
    """What installed commands, and languages other than Python, are mostly used for."""
    if command.program == "python" and command.folders[-1:] == ("bin",):
        if not command.script.endswith((".py", ".sh")):
            yield Sign(Cue(INFERENCE, 2), "an installed command", "surrounding")
    elif command.program in cues.LANGUAGES_OF_SCIENCE:
        yield Sign(Cue(OTHER, 2), "written in a language of simulations", "surrounding")


def _surroundings(facts: ProcessFacts, command: Command, *, certain: bool) -> Iterator[Sign]:
    """Weak evidence from around the process: launcher, ports, libraries, where it was put."""
    yield from _environment(facts, command, certain=certain)
    if facts.listen_ports and _serves(facts):
        yield Sign(Cue(INFERENCE, 3), "listens on a port", "surrounding")
    if facts.libraries:
        yield from _library_signs(facts.libraries)
    if facts.writing:
        for one in WRITTEN:
            if one.kind in facts.writing:
                yield Sign(Cue(one.phase, one.points), f"writes {one.kind}", "file")
    if facts.cgroup or "SLURM_JOB_NAME" in facts.environ:
        yield from _place(facts)


def _environment(facts: ProcessFacts, command: Command, *, certain: bool) -> Iterator[Sign]:
    environ = facts.environ
    launcher = ""
    if environ:
        launcher = next((LAUNCHED_BY[key] for key in environ if key in LAUNCHED_BY), "")
    if launcher or not _TRAINING_LAUNCHERS.isdisjoint(command.launchers):
        points = 2 if certain else 3
        text = f"started by {launcher or 'a distributed launcher'}"
        yield Sign(Cue(TRAINING, points), text, "surrounding")
    if environ:
        for key in sorted(ENVIRON_CUES.keys() & environ.keys())[:1]:
            phase, points = ENVIRON_CUES[key]
            yield Sign(Cue(phase, points), f"environment has {key}", "surrounding")


def _serves(facts: ProcessFacts) -> bool:
    rendezvous = facts.environ.get("MASTER_PORT")
    return any(
        port not in cues.NOT_SERVING and str(port) != rendezvous for port in facts.listen_ports
    )


def _place(facts: ProcessFacts) -> Iterator[Sign]:
    """Names of the job, the pod, the container or the unit it runs in."""
    names = [facts.environ.get("SLURM_JOB_NAME", "")]
    if facts.cgroup:
        place = placement(facts.cgroup)
        names += [place.unit.removesuffix(".service"), place.container, place.pod]
    for word in {word for name in names if name for word in name_words(name)}:
        cue = cues.PLACE_WORDS.get(word)
        if cue is not None:
            yield Sign(cue, f"runs in something named “{word}”", "surrounding")


def _library_signs(libraries: tuple[str, ...]) -> Iterator[Sign]:
    found: dict[Phase, Sign] = {}
    for name in libraries:
        for start, (phase, points) in TELLING_LIBRARIES.items():
            known = found.get(phase)
            if name.startswith(start) and (known is None or known.cue.points < points):
                found[phase] = Sign(Cue(phase, points), f"has {start} loaded", "surrounding")
    yield from found.values()


_TRAINING_LAUNCHERS: Final = words(
    "torchrun torch.distributed.run torch.distributed.launch accelerate accelerate-launch "
    "accelerate.commands.launch deepspeed deepspeed.launcher.launch composer colossalai horovodrun "
    "paddle.distributed.launch"
)
