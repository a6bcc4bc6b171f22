"""A Hugging Face Trainer or a Lightning Trainer in, its phases told to the agent out.

    from submeter.client.callbacks import HuggingFace
    trainer = Trainer(…, callbacks=[HuggingFace(workload="nightly")])

    from submeter.client.callbacks import Lightning
    trainer = lightning.Trainer(…, callbacks=[Lightning()])

While the trainer fits, the process trains; while it evaluates, tests or predicts, in the middle of
a fit or by itself, it infers; afterwards nothing is said any more. ``joules`` is what the GPUs used
from the beginning to the end of the last fit (see `submeter.measure`).

Neither library is imported here: both call methods by name, Lightning those of `Callback` and
Transformers those of `TrainerCallback`, and a class made on demand derives from theirs.
"""

import importlib
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from submeter.client.labels import phase, workload
from submeter.client.measuring import Measurement

_LIGHTNING: Final = ("lightning.pytorch.callbacks", "pytorch_lightning.callbacks")
_TRANSFORMERS: Final = ("transformers",)


class Progress:
    """The phases of one trainer: a fit, and within it or without it evaluations. One thread."""

    def __init__(self, workload_name: str = "") -> None:
        self._workload = workload_name
        self._open: list[tuple[str, phase]] = []
        self._measured: Measurement | None = None

    @property
    def joules(self) -> float:
        """What the GPUs used in the last fit, so far if it goes on; nan where that isn't known."""
        return math.nan if self._measured is None else self._measured.joules

    def begin_fit(self) -> None:
        """A fit begins; one that was left by an exception is over."""
        self.end_all()
        self._begin("training")
        self._measured = Measurement("fit").__enter__()

    def end_fit(self) -> None:
        """The fit is over, and whatever went on within it."""
        fitting = any(name == "training" for name, _ in self._open)
        self.end_all()
        if fitting and self._measured is not None:
            self._measured.__exit__(None, None, None)

    def begin_inference(self) -> None:
        """Evaluates from now on; told of each batch, says it once."""
        if not self._open or self._open[-1][0] != "inference":
            self._begin("inference")

    def end_inference(self) -> None:
        """Goes on with what was before."""
        if self._open and self._open[-1][0] == "inference":
            self._open.pop()[1].__exit__(None, None, None)

    def end_all(self) -> None:
        """Nothing goes on any more, as after an exception."""
        while self._open:
            self._open.pop()[1].__exit__(None, None, None)

    def _begin(self, name: str) -> None:
        if self._workload:
            workload(self._workload)
        block = phase(name)
        block.__enter__()
        self._open.append((name, block))


class _Callback:
    """What any library's callback has, besides the methods that it calls."""

    def __init__(self, workload: str = "") -> None:
        super().__init__()
        self.progress = Progress(workload)

    @property
    def joules(self) -> float:
        return self.progress.joules


class _HuggingFace(_Callback):
    """`transformers.TrainerCallback`: https://huggingface.co/docs/transformers/main_classes/callback.

    There is no event for the beginning of an evaluation: its first batch is it.
    """

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.progress.begin_fit()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.progress.end_fit()

    def on_prediction_step(self, *_: Any, **__: Any) -> None:
        self.progress.begin_inference()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.progress.end_inference()

    def on_predict(self, *_: Any, **__: Any) -> None:
        self.progress.end_inference()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.progress.end_inference()  # after an evaluation that nobody ended


class _Lightning(_Callback):
    """`lightning.pytorch.callbacks.Callback`, of lightning or pytorch_lightning."""

    def on_fit_start(self, *_: Any) -> None:
        self.progress.begin_fit()

    def on_fit_end(self, *_: Any) -> None:
        self.progress.end_fit()

    def on_exception(self, *_: Any) -> None:
        self.progress.end_fit()

    def on_validation_start(self, *_: Any) -> None:
        self.progress.begin_inference()

    def on_validation_end(self, *_: Any) -> None:
        self.progress.end_inference()

    def on_test_start(self, *_: Any) -> None:
        self.progress.begin_inference()

    def on_test_end(self, *_: Any) -> None:
        self.progress.end_inference()

    def on_predict_start(self, *_: Any) -> None:
        self.progress.begin_inference()

    def on_predict_end(self, *_: Any) -> None:
        self.progress.end_inference()


_MADE: Final[dict[str, Callable[[], type]]] = {
    "HuggingFace": lambda: _derived("HuggingFace", _HuggingFace, "TrainerCallback", _TRANSFORMERS),
    "Lightning": lambda: _derived("Lightning", _Lightning, "Callback", _LIGHTNING),
}

if TYPE_CHECKING:
    HuggingFace = _HuggingFace
    Lightning = _Lightning


def __getattr__(name: str) -> Any:
    """`HuggingFace` and `Lightning` are made when first asked for, of the library that is there.
    Raises ImportError where it isn't."""
    make = _MADE.get(name)
    if make is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = make()
    return made


def _derived(name: str, ours: type, theirs: str, modules: tuple[str, ...]) -> type:
    """A class of ours as one of theirs: of the module that the job uses already, if it does."""
    missing: ImportError | None = None
    for module in sorted(modules, key=lambda one: one.partition(".")[0] not in sys.modules):
        try:
            base = getattr(importlib.import_module(module), theirs)
        except ImportError as error:
            missing = error
        else:
            return type(name, (ours, base), {"__doc__": ours.__doc__, "__module__": __name__})
    raise ImportError(f"{name} needs {' or '.join(modules)}, which can't be imported") from missing
