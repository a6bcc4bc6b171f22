"""What splitting leaves open: errors of one GPU cancel between its users, those of others don't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.model import Phase
from submeter.web import doubt
from submeter.web.doubt import Share

TRAIN = Share("GPU-0", Phase.TRAINING, "train.py")
SERVE = Share("GPU-0", Phase.INFERENCE, "vllm")
TUNE = Share("GPU-0", Phase.TRAINING, "tune.py")
AFAR = Share("GPU-1", Phase.TRAINING, "train.py")


def test_within_a_phase_nothing_is_open_and_between_two_as_much_for_both() -> None:
    assert doubt.of_phases({TRAIN: 3.0, TUNE: 3.0}) == {Phase.TRAINING: 0.0}
    assert doubt.of_phases({TRAIN: 3.0, SERVE: 3.0}) == {Phase.TRAINING: 3.0, Phase.INFERENCE: 3.0}
    three = doubt.of_phases({TRAIN: 5.0, TUNE: 4.0, SERVE: 2.0})
    assert three == {Phase.TRAINING: 2.0, Phase.INFERENCE: 2.0}


def test_errors_of_several_gpus_are_independent() -> None:
    workloads = doubt.of_workloads({TRAIN: 3.0, AFAR: 4.0, SERVE: 3.0})
    assert workloads == {(Phase.TRAINING, "train.py"): 5.0, (Phase.INFERENCE, "vllm"): 3.0}


def test_what_nobody_has_estimated_is_not_0() -> None:
    found = doubt.scaled({TRAIN: 0}, {TRAIN: 100}, {TRAIN: 50})
    assert found == {TRAIN: None}
    assert doubt.of_workloads(found) == {(Phase.TRAINING, "train.py"): None}
    assert doubt.of_phases({TRAIN: None, SERVE: None}) == {
        Phase.TRAINING: None, Phase.INFERENCE: None,
    }  # fmt: skip


def test_errors_grow_with_the_energy_up_to_all_that_was_split() -> None:
    errors, whole = {TRAIN: 10, SERVE: 10}, {TRAIN: 1_000, SERVE: 1_000}
    assert doubt.scaled(errors, whole, {TRAIN: 500, SERVE: 100}) == {
        TRAIN: pytest.approx(5.0), SERVE: pytest.approx(1.0),
    }  # fmt: skip
    wild = doubt.scaled({TRAIN: 10_000}, {TRAIN: 1_000}, {TRAIN: 500, SERVE: 100})
    assert wild[TRAIN] == 600 / doubt.TIMES


@given(st.dictionaries(st.sampled_from([TRAIN, SERVE, TUNE, AFAR]), st.floats(0, 1e9)))
def test_no_phase_is_less_sure_than_its_workloads_together(errors: dict[Share, float]) -> None:
    known: dict[Share, float | None] = dict(errors)
    for phase, error in doubt.of_phases(known).items():
        parts = [each for share, each in errors.items() if share.phase == phase]
        assert error is not None
        assert error <= sum(parts) * (1 + 1e-9)
