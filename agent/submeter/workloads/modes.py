"""A command in, what its modes say is going on out: subcommands, mode options, switches.

A program that can train, test and export says by its mode which of them this is. Modes weigh more
than the program's name: `nnUNetv2_train --val` validates, `train.py --mode inference` infers.
"""

from collections.abc import Iterator

from submeter.model import Phase
from submeter.workloads import cues
from submeter.workloads.command import Command
from submeter.workloads.cues import Cue, Sign, name_words
from submeter.workloads.rules import INFERENCE, TRAINING, UNKNOWN, words
from submeter.workloads.signs import last

_WEAK = 4
_DISTANT = 5


def modes(command: Command, name: Phase | None) -> list[Sign]:
    """Every mode it is in; training first, as who trains and evaluates trains.

    ``name`` is the phase that the program's name stands for: a bare `--eval` of a trainer often
    only sets test data aside.
    """
    said = [*_subcommands(command, name), *_mode_options(command), *_switches(command, name)]
    if len(said) > 1:
        said.sort(key=lambda one: one.cue.phase is not TRAINING)
    return said


def _subcommands(command: Command, name: Phase | None) -> Iterator[Sign]:
    """Of two the one that trains, as in `segment train`; else the first."""
    found: list[Cue] = []
    for word in command.words[:2]:
        text = word.lower().replace("_", "-")
        if name is TRAINING and text in cues.TASKS:
            continue
        cue = cues.MODES.get(text)
        if cue is None and ("-" in text or "train" in text) and _SUBCOMMAND.isdisjoint(text):
            cue = _first_or_last(text.split("-"))
        if cue is not None:
            found.append(cue if not found else Cue(cue.phase, min(cue.points, _DISTANT)))
    if found:
        cue = next((one for one in found if one.phase is TRAINING), found[0])
        yield Sign(cue, f"subcommand says {cue.phase}", "mode")


_SUBCOMMAND = frozenset("/.")
"""What is in paths and names of files, and in no subcommand."""


def _first_or_last(parts: list[str]) -> Cue | None:
    """finetune_lora, instruction_finetune, segtrain; what is in the middle is mostly a model's
    name."""
    cue = cues.MODES.get(parts[-1]) or cues.MODES.get(parts[0])
    if cue is None and "train" in parts[-1] and name_words(parts[-1]) == ["train"]:
        cue = cues.MODES["train"]
    return None if cue is None else Cue(cue.phase, _DISTANT)


def _mode_options(command: Command) -> Iterator[Sign]:
    for option, value in command.options.items():
        if not value or len(value) > _LONGEST_MODE:
            continue
        text = value.lower().replace("_", "-")
        cue = cues.MODES.get(text)
        if cue is None and "-" in text and last(option) in cues.MODE_OPTIONS:
            cue = _first_or_last(text.split("-"))  # ppl_eval, sample_eval
        if cue is None:
            if option in _MODE and text.isalpha() and text not in cues.NO_MODES:
                yield Sign(Cue(UNKNOWN, 0), "option mode says something else", "unclear")
            continue
        name = last(option)
        if name in cues.MODE_OPTIONS:
            yield Sign(cue, f"option {name} says {cue.phase}", "mode")
        elif value.lower() in cues.CLEAR_MODES and cues.NO_MODE.isdisjoint(option.split("-")):
            yield Sign(Cue(cue.phase, _DISTANT), f"an option says {cue.phase}", "mode")


_LONGEST_MODE = 24
_MODE = words("mode run-mode")


def _switches(command: Command, name_phase: Phase | None) -> Iterator[Sign]:
    for option, value in command.options.items():
        name = last(option)
        cue = cues.SWITCHES.get(name) or _only(name)
        short = cue is None and name in cues.SHORT_SWITCHES and command.program == "python"
        if short:
            cue = cues.SHORT_SWITCHES[name]
        if cue is None:
            if not value and name in cues.SIDELINES and name_phase is TRAINING:
                yield Sign(Cue(INFERENCE, 2), f"option {name} is on", "unclear")
            continue
        truth = True if name.endswith("-only") else _truth(value)
        if truth is None or (short and not value and "base" not in command.options):
            continue
        if truth:
            bare = not value and name in cues.BARE_SWITCHES and name_phase is TRAINING
            points = _WEAK if bare else cue.points
            kind = "option" if bare else "mode"
            yield Sign(Cue(cue.phase, points), f"option {name} is on", kind)
        elif cue.phase is TRAINING:
            yield Sign(Cue(INFERENCE, cue.points - 2), f"option {name} is off", "mode")
        elif cue.phase is INFERENCE and value:
            yield Sign(Cue(TRAINING, 2), f"option {name} is off", "option")


def _only(name: str) -> Cue | None:
    """`--render-only`: whatever it is, nothing else is done."""
    if not name.endswith("-only"):
        return None
    for word in name_words(name[:-5]):
        cue = cues.MODES.get(word) or cues.NAME_WORDS.get(word)
        if cue is not None:
            return Cue(cue.phase, 8)
    return None


def _truth(value: str) -> bool | None:
    """None for what is a file or a number rather than yes or no."""
    if not value:
        return True
    text = value.lower()
    if text in cues.TRUE:
        return True
    return False if text in cues.FALSE else None
