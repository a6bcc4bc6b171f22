"""Callbacks for trainers, against stand-ins that call what the real ones call, in their order.

The orders are those of transformers 4 and 5 (`Trainer._inner_training_loop`, `evaluation_loop`,
`predict`) and Lightning 2 (`Trainer._run`, `_EvaluationLoop`), read there and checked with both.
"""

import math
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import submeter
from submeter.client import callbacks
from submeter.client import link as link_module


class Recorder:
    """A link that keeps the phases and names that are sent."""

    connected = True

    def __init__(self) -> None:
        self.said: list[str] = []

    def send(self, line: bytes, *, greeting: tuple[bytes, ...]) -> bool:
        self.said.append(line.decode().split('"')[3])
        return True

    def ask(self, line: bytes) -> None:
        return None

    def page(self, now_ns: int) -> None:
        return None


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr("submeter.client.measuring._NVML.levels", list)
    recorder = Recorder()
    before = link_module.use(recorder)
    yield recorder.said
    submeter.workload("")
    link_module.use(before)


class TrainerCallback:
    """transformers.TrainerCallback: every event is a method that does nothing."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...


class Callback:
    """lightning.pytorch.callbacks.Callback."""

    def setup(self, trainer: Any, module: Any, stage: str) -> None: ...


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transformers", "pytorch_lightning.callbacks", "lightning.pytorch.callbacks"):
        module = ModuleType(name)
        module.TrainerCallback = TrainerCallback  # type: ignore[attr-defined]
        module.Callback = Callback  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("HuggingFace", "Lightning"):
        monkeypatch.delitem(vars(callbacks), name, raising=False)


def call(callback: Any, *events: str) -> None:
    """As transformers' CallbackHandler does: three positional arguments and more by name."""
    for event in events:
        getattr(callback, event)(object(), object(), object(), model=None, metrics={})


def lightning_call(callback: Any, *events: str) -> None:
    for event in events:
        getattr(callback, event)(object(), object())


def test_hugging_face_trains_and_evaluates(said: list[str]) -> None:
    callback = callbacks.HuggingFace(workload="nightly")
    assert isinstance(callback, TrainerCallback)
    evaluation = ("on_prediction_step", "on_prediction_step", "on_evaluate")
    call(callback, "on_train_begin", "on_step_begin", *evaluation, "on_step_begin", "on_train_end")
    assert said == ["nightly", "training", "inference", "training", ""]
    said.clear()
    call(callback, *evaluation, "on_prediction_step", "on_predict")
    assert said == ["inference", "", "inference", ""]


def test_hugging_face_after_an_evaluation_that_broke(said: list[str]) -> None:
    callback = callbacks.HuggingFace()
    call(callback, "on_train_begin", "on_prediction_step", "on_step_begin", "on_train_begin")
    call(callback, "on_train_end")
    assert said[-1] == ""
    assert said.count("inference") == 1


def test_lightning_fits_validates_tests(said: list[str]) -> None:
    callback = callbacks.Lightning()
    assert isinstance(callback, Callback)
    sanity = ("on_validation_start", "on_validation_end")
    lightning_call(callback, "on_fit_start", *sanity, *sanity, "on_fit_end")
    assert said == ["training", "inference", "training", "inference", "training", ""]
    said.clear()
    lightning_call(callback, "on_test_start", "on_test_end")
    lightning_call(callback, "on_predict_start", "on_predict_end")
    assert said == ["inference", "", "inference", ""]


def test_lightning_and_an_exception(said: list[str]) -> None:
    callback = callbacks.Lightning()
    lightning_call(callback, "on_fit_start", "on_validation_start")
    callback.on_exception(object(), object(), KeyboardInterrupt())
    assert said[-1] == ""


def test_joules_of_the_fit(said: list[str]) -> None:
    callback = callbacks.Lightning()
    assert math.isnan(callback.joules)
    lightning_call(callback, "on_fit_start", "on_fit_end")
    assert math.isnan(callback.joules)  # nobody measures here, and nothing is invented
    assert said[-1] == ""


def test_the_library_that_the_job_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_lightning", ModuleType("pytorch_lightning"))
    other = type("Callback", (), {})
    monkeypatch.setattr(sys.modules["pytorch_lightning.callbacks"], "Callback", other)
    assert issubclass(callbacks.Lightning, other)


def test_without_the_library_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="HuggingFace needs transformers"):
        callbacks.HuggingFace()
    with pytest.raises(AttributeError):
        _ = callbacks.Nonsense
