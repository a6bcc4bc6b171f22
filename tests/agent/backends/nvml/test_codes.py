"""The table of NVML's codes is total: what the binding knows, and what it doesn't."""

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.backends.nvml.codes import (
    CODES,
    TABLE,
    Action,
    Code,
    Fault,
    code_of,
    error_of,
    unavailable,
)
from submeter.errors import DeviceLost, DriverUnavailable, ReadFailed

KNOWN = {
    name.removeprefix("NVML_ERROR_").lower(): int(value)
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_ERROR_")
}


def test_every_code_of_the_binding_has_its_row_under_its_name() -> None:
    assert KNOWN.items() <= {code.name: code.number for code in TABLE}.items()


def test_no_number_twice_and_every_row_says_why() -> None:
    assert len(CODES) == len(TABLE)
    assert all(code.reason for code in TABLE)


def test_every_action_is_somebodys() -> None:
    assert {code.action for code in TABLE} == set(Action)


@pytest.mark.fault("F6")
@given(st.integers())
def test_every_number_at_all_has_an_answer(number: int) -> None:
    code = code_of(number)
    assert code.number == number
    if number not in CODES:
        assert code.action is Action.RETRY


@pytest.mark.parametrize("code", TABLE, ids=lambda code: code.name)
def test_every_code_becomes_one_of_the_three_errors(code: Code) -> None:
    error = error_of(Fault("nvmlDeviceGetName", code.number))
    lost = {Action.DEVICE_LOST: DeviceLost, Action.DRIVER_LOST: DriverUnavailable}
    assert type(error) is lost.get(code.action, ReadFailed)
    assert code.name in str(error)
    assert "nvmlDeviceGetName" in str(error)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (12, "library_missing"),
        (9, "driver_not_loaded"),
        (18, "version_mismatch"),
        (4, "no_permission"),
        (28, "no_gpu"),
        (1, "unknown"),
        (999, "unknown"),
        (12345, "unknown"),
    ],
)
def test_why_the_driver_is_unavailable(number: int, reason: str) -> None:
    assert unavailable(Fault("nvmlInitWithFlags", number)).reason == reason


def test_a_lost_gpu_says_which_way() -> None:
    error = error_of(Fault("nvmlDeviceGetFieldValues", 16))
    assert isinstance(error, DeviceLost)
    assert error.reason == "reset_required"
