"""Signs in, a verdict out: points added up per phase, the lead turned into a probability.

The table of probabilities is measured, on command lines of projects that the tables of words were
not written for; `docs/recognition.md` has the reliability diagram.
"""

from typing import Final

from submeter.model import Phase, Verdict
from submeter.workloads.cues import Sign
from submeter.workloads.rules import INFERENCE, OTHER, TRAINING, UNKNOWN

_CONFIDENCE: Final = (
    (9, 0.993),
    (8, 0.985),
    (4, 0.899),
    (3, 0.89),
    (2, 0.75),
)
"""From the lead over the next best phase, in points, to the share that is right. A lead of less
than 2 is no answer."""

_TRAINING: Final = ((9, 0.993), (6, 0.985), (4, 0.96), (3, 0.899), (2, 0.85))
"""Nothing but a trainer is named or steered like one, while much besides inference has a port, a
prompt or an "app" in its name: of 180 with a lead of 3 and more all were right, of 113 that
inferred 108."""

_NOT_KNOWN: Final = 0.2
"""Few processes that say nothing are of the kind of which nobody could tell."""

NOTHING: Final = Verdict(UNKNOWN, _NOT_KNOWN, ("nothing says what it does",), "none")


def weighed(said: list[Sign], mode: Phase | None) -> Verdict:
    """The phase with the most points, if it leads."""
    act = None if mode is not None else next((one for one in said if one.kind == "act"), None)
    points = _points(said, mode, None if act is None else act.cue.phase)
    first, second, _ = sorted(points, key=points.__getitem__, reverse=True)
    lead = points[first] - points[second]
    contradicted = lead < _CONTRADICTED * points[second]
    for least, confidence in _TRAINING if first is TRAINING else _CONFIDENCE:
        if lead >= least and not contradicted:
            mine = tuple(one.text for one in said if one.cue.phase is first)
            return Verdict(first, min(confidence, _most(said, first)), mine, "recognised")
    if not said:
        return NOTHING
    evidence = (*(one.text for one in said), "too little, or contradictory")
    return Verdict(UNKNOWN, _NOT_KNOWN, evidence, "none")


def _points(said: list[Sign], mode: Phase | None, act: Phase | None) -> dict[Phase, int]:
    """Where a mode says that something else is going on, the training in a name or folder is the
    program's, not the moment's, and doesn't count; its options count half, since all modes of a
    program share them. So do the scripts of many a project: what is an option of its `train.py` is
    one of its `test.py` (``act``: what the name says is done). Who trains and evaluates trains.
    """
    points = dict.fromkeys((TRAINING, INFERENCE, OTHER), 0)
    elsewhere = mode is not None and mode is not TRAINING
    for one in said:
        phase, worth = one.cue
        if elsewhere and phase is TRAINING:
            worth = 0 if one.kind in _OF_THE_PROGRAM else worth // 2
        elif act is not None and one.kind == "option" and phase is not act:
            worth //= 2
        elif mode is TRAINING and phase is INFERENCE and one.kind == "mode":
            worth = 0
        if worth:
            points[phase] += worth
    return points


def _most(said: list[Sign], first: Phase) -> float:
    """How sure it can be, by the kinds of signs there are."""
    mine: list[Sign] = []
    others: set[str] = set()
    for one in said:
        if one.cue.phase is first:
            mine.append(one)
        else:
            others.add(one.kind)
    kinds = {one.kind for one in mine}
    if kinds <= _NOT_OF_ITS_OWN:
        return _KEPT if "folder" in kinds else _SURROUNDED
    if "act" in others and "mode" not in kinds:
        return _UNLIKE_ITS_NAME
    if len(mine) == 1 and mine[0].kind == "option" and mine[0].cue.points < _TELLING:
        return _LONE
    if "unclear" in others or (first is TRAINING and kinds == {"name"}):
        return _UNCLEAR
    return _ONE_KIND if len(kinds) == 1 and first is not TRAINING else 1.0


_OF_THE_PROGRAM: Final = frozenset({"act", "name", "folder"})
_UNLIKE_ITS_NAME: Final = 0.75
_TELLING: Final = 3
_LONE: Final = 0.8
"""One option of those that everybody has, and nothing else: --batch-size."""
_UNCLEAR: Final = 0.87
"""A mode that no table knows, or a method of training that is named and nothing else."""
_ONE_KIND: Final = 0.899
_NOT_OF_ITS_OWN: Final = frozenset({"surrounding", "folder"})
_SURROUNDED: Final = 0.65
_KEPT: Final = 0.75
"""Where a process runs and is kept, what it listens on and what started it prove little by
themselves."""
_CONTRADICTED: Final = 0.4
"""A lead that is less than this share of what speaks against it is none: 8 to 6 is a draw."""
