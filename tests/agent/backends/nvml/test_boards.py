"""What is known beforehand of each generation."""

import pytest

from submeter.backends.nvml import boards
from submeter.backends.nvml.boards import Board
from submeter.model import EnergySource
from submeter.units import NS_PER_MS

A100 = Board("NVIDIA A100-SXM4-80GB", "580.95.05", "ampere", (8, 0))
A40 = Board("NVIDIA A40", "580.95.05", "ampere", (8, 6))
H100 = Board("NVIDIA H100 80GB HBM3", "580.95.05", "hopper", (9, 0))
V100 = Board("Tesla V100", "535.1", "volta", (7, 0))
B200 = Board("NVIDIA B200", "580.95.05", "blackwell", (10, 0))
NOBODY = Board("", "", "", None)


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("board", "window"),
    [
        (A100, "25ms"),
        (A40, "100ms"),
        (H100, "25ms"),
        (V100, "10ms"),
        (B200, ""),
        (NOBODY, ""),
        (A40._replace(arch="ada"), "100ms"),
        (A40._replace(arch="turing", capability=(7, 5)), "100ms"),
        (V100._replace(arch="maxwell", capability=(5, 2)), ""),
    ],
)
def test_window_of_the_instantaneous_power(board: Board, window: str) -> None:
    assert boards.instant_window(board) == window


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("board", "means"),
    [
        (A100, (EnergySource.INSTANT, "25ms")),
        (A40, (EnergySource.AVERAGE, "1s")),
        (H100, (EnergySource.AVERAGE, "1s")),
        (B200, (EnergySource.AVERAGE, "1s")),
        (V100, (EnergySource.INSTANT, "10ms")),
        (A40._replace(driver="530.41.03"), (EnergySource.INSTANT, "100ms")),
        (H100._replace(driver="530.30.02"), (EnergySource.AVERAGE, "1s")),
        (NOBODY, (EnergySource.INSTANT, "")),
    ],
)
def test_what_the_old_power_call_means(board: Board, means: tuple[EnergySource, str]) -> None:
    assert boards.usage_means(board) == means


@pytest.mark.parametrize(("board", "ms"), [(V100, 20), (H100, 100), (NOBODY, 100)])
def test_assumed_refresh(board: Board, ms: int) -> None:
    assert boards.refresh_ns(board) == ms * NS_PER_MS


def test_why_a_sensor_is_missing() -> None:
    pascal = Board("Tesla P100", "535.1", "pascal", (6, 0))
    assert "Volta" in boards.why_missing(boards.ENERGY_COUNTER, pascal)
    assert "A100" in boards.why_missing(boards.AVERAGE_POWER, A100)
    assert boards.why_missing(boards.AVERAGE_POWER, H100) == ""
    assert boards.why_missing(boards.ENERGY_COUNTER, NOBODY) == ""
