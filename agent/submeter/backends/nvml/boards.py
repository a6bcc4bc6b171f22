"""What is known of GPU generations beforehand: a board in, what its sensors mean out.

Windows and update periods are those of Yang, Adámek, Armour, "Part-time Power Measurements",
arXiv 2312.02741 (more than 70 boards); what isn't known there stays unknown here.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from submeter.model import EnergySource
from submeter.units import NS_PER_MS

ENERGY_COUNTER: Final = "energy counter"
INSTANT_POWER: Final = "instant power"
AVERAGE_POWER: Final = "average power"

ARCHITECTURES: Final[Mapping[int, str]] = {  # NVML_DEVICE_ARCH_*
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}

_GA100: Final = (8, 0)
"""Compute capability of A100 and A30, Ampere boards whose power sensor is of the older kind."""
_WITH_AVERAGE: Final = frozenset({"ampere", "ada", "hopper", "blackwell", "rubin"})
_INSTANT_WINDOWS: Final[Mapping[str, str]] = {
    "hopper": "25ms",
    "ada": "100ms",
    "ampere": "100ms",
    "turing": "100ms",
    "volta": "10ms",
    "pascal": "10ms",
}
_REFRESH_NS: Final = {"pascal": 20 * NS_PER_MS, "volta": 20 * NS_PER_MS}
_REFRESH_OTHERWISE_NS: Final = 100 * NS_PER_MS
_SHORT_WINDOW_DRIVER: Final = "530"
"""Driver 530 gave GA10x and Ada boards a 100 ms window in place of the 1 s of all others."""
_BEFORE_VOLTA: Final = frozenset({"kepler", "maxwell", "pascal"})
_COUNTS_THE_MODULE: Final = ("GH200",)
"""Boards whose energy counter covers CPU and memory as well (ml-energy/zeus pull request 172)."""


class Board(NamedTuple):
    """What a board's sensors depend on."""

    name: str
    driver: str
    arch: str  # "" if unknown
    capability: tuple[int, int] | None


def refresh_ns(board: Board) -> int:
    """How often the sensors give a new value, until that is measured."""
    return _REFRESH_NS.get(board.arch, _REFRESH_OTHERWISE_NS)


def has_average(board: Board) -> bool:
    """Whether the board's plain power reading is a 1-s average (nvml.h: Ampere, except GA100)."""
    return board.arch in _WITH_AVERAGE and board.capability != _GA100


def instant_window(board: Board) -> str:
    """Over how long a time the instantaneous power is taken; empty if unknown."""
    if board.capability == _GA100:
        return "25ms"
    return _INSTANT_WINDOWS.get(board.arch, "")


def usage_means(board: Board) -> tuple[EnergySource, str]:
    """What the oldest power call gives on this board: average or instant, and its window."""
    short = board.driver.partition(".")[0] == _SHORT_WINDOW_DRIVER
    if has_average(board) and not (short and board.arch in ("ampere", "ada")):
        return EnergySource.AVERAGE, "1s"
    return EnergySource.INSTANT, instant_window(board)


def counts_the_module(board: Board) -> bool:
    """Whether the energy counter is that of the whole superchip."""
    return any(name in board.name for name in _COUNTS_THE_MODULE)


def why_missing(sensor: str, board: Board) -> str:
    """Why boards of this kind lack a sensor; empty where they should have it."""
    if sensor == ENERGY_COUNTER and board.arch in _BEFORE_VOLTA:
        return "boards before Volta have none"
    if sensor == AVERAGE_POWER and board.arch and not has_average(board):
        return "only Ampere boards (but A100 and A30) and newer ones have it"
    return ""
