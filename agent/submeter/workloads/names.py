"""A name of a script, a module or a recipe in, the sign of its weightiest word out.

Names are little sentences: `prepare_training_data` prepares, `eval_ppo` evaluates what PPO trained,
`prune_and_finetune` trains, `training_free_editing` doesn't.
"""

from typing import Final, NamedTuple

from submeter.workloads import cues
from submeter.workloads.cues import Cue, Sign, name_words
from submeter.workloads.rules import INFERENCE, OTHER, TRAINING, words


class _Word(NamedTuple):
    """A telling word of a name, and its place there."""

    at: int
    text: str
    cue: Cue


def name_sign(name: str, *, native: bool = False) -> Sign | None:
    """The word of a name that says what is done. ``native``: it is a program's, no script's."""
    stem = name.rpartition(".")[0] if name.endswith(_ENDINGS) else name
    said = name_words(stem.rpartition(".")[2])
    if not cues.BENCHES.isdisjoint(said) and not cues.OPERATORS.isdisjoint(said):
        return Sign(Cue(OTHER, 4), "its name says that it measures an operation", "name")
    if not _TESTS.isdisjoint(said) and not _OF_CODE.isdisjoint(said):
        return None
    found = _telling(said, native=native)
    if not found:
        return None
    word = _deciding(said, found) if len(found) > 1 else found[0]
    if word is None:
        return None
    kind = "act" if word.text in cues.ACTIONS or word.text in cues.TRAINING_ACTS else "name"
    cue = word.cue
    if word.text in _GENERATING and not cues.TRAINING_ACTS.isdisjoint(said[word.at + 1 :]):
        cue = Cue(cue.phase, 2)
    return Sign(cue, f"its name says “{word.text}”", kind)


_ENDINGS: Final = (
    *(".py", ".pyc", ".sh", ".jl", ".R", ".r", ".lua", ".pl", ".rb", ".js", ".mjs", ".m", ".ipynb"),
    *(".yaml", ".yml", ".toml", ".json", ".gin"),
)
_GENERATING: Final = words("generate generation gen")
"""Data to train on: with a model, or with a simulation, or out of other data."""
_TESTS: Final = words("test tests testing")
_OF_CODE: Final = words(
    "unit integration implementation component components module modules layer layers setup env "
    "environment install installation import imports gpu gpus cuda connection config utils loader "
    "dataloader op ops kernel kernels smoke regression build driver torch pytorch tensorflow jax"
)
"""Whose tests are tests of code or of the machine."""


def _telling(said: list[str], *, native: bool) -> list[_Word]:
    """Its words of the tables, but for training that is denied or only described."""
    found: list[_Word] = []
    trains = converts = False
    for at, text in enumerate(said):
        cue = cues.NAME_WORDS.get(text)
        if cue is None or (native and text in cues.UNSAID_BY_PROGRAMS):
            continue
        trains = trains or cue.phase is TRAINING
        if cue.phase is OTHER and not cues.PRODUCED.isdisjoint(said):
            cue = Cue(INFERENCE, cue.points)
        converts = converts or cue.phase is OTHER
        found.append(_Word(at, text, cue))
    if not trains or len(said) == 1:
        return found
    acting = not cues.ACTIONS.isdisjoint(said)
    return [
        word
        for word in found
        if word.cue.phase is not TRAINING
        or not _denied(said, word.at, acting=acting, converting=converts)
    ]


def _denied(said: list[str], at: int, *, acting: bool, converting: bool) -> bool:
    """`training_free`, `without_training`, `post_training_quantization`, `plot_training_curves`."""
    before = said[at - 1] if at else ""
    behind = said[at + 1] if at + 1 < len(said) else ""
    if behind == "free" or before in _DENYING or (before == "post" and converting):
        return True
    if said[at] not in cues.TRAINING_ACTS:
        return False
    return behind in _WITHOUT_NETWORK or (behind in _OF_TRAINING and (at > 0 or acting))


_DENYING: Final = words("no without non")
_OF_TRAINING: Final = words(
    "data dataset datasets set sets split splits features curves curve logs log images samples "
    "examples checkpoint checkpoints embeddings corpus metrics results stats labels history list "
    "lists manifest manifests record records tuples pairs"
)
_WITHOUT_NETWORK: Final = words("tokenizer tokenizers tokeniser bpe spm sentencepiece vocab")
"""What is trained on the processor."""


def _deciding(said: list[str], found: list[_Word]) -> _Word | None:
    """Of several words the weightiest, of equals the first: generate_train generates. But what
    is done comes before what it is done to or with."""
    best = max(found, key=lambda word: word.cue.points)
    acts = [word for word in found if word.text in cues.TRAINING_ACTS]
    actions = [word for word in found if word.text in cues.ACTIONS]
    if not actions:
        return best
    if not acts:  # sac_play, sft_generate: a method of training names what was trained
        weightiest = max(actions, key=lambda word: word.cue.points)
        return weightiest if best.cue.phase is TRAINING else best
    if not _JOINING.isdisjoint(said):
        return acts[-1]
    first, last = actions[0], actions[-1]
    if first.text == "test" and first.at == 0 and acts[0].at == 1:
        return None  # a test of training, or on the data for training
    behind = said[acts[0].at + 1] if acts[0].at + 1 < len(said) else ""
    if first.at < acts[0].at and first.text in cues.PREPARING and behind != "model":
        return first
    if last.at > acts[-1].at and acts[-1].text in _EARLIER and last.cue.phase is INFERENCE:
        return last  # finetune_inference
    return best


_JOINING: Final = words("and then aware")
_EARLIER: Final = words("finetune finetuning pretrain pretraining posttrain retrain")
"""What was done before what else the name says: not so in train_eval, which does both."""
