"""A board's marketing name to its architecture and to what its ``power.draw`` means.

Source of the meanings: Yang, Adámek, Armour, "Part-time Power Measurements: nvidia-smi's Lack of
Attention" (arXiv 2312.02741) and nvml.h, nvmlDeviceGetPowerUsage: "on Ampere (except GA100) or
newer GPUs, the API returns power averaged over 1 sec interval. On GA100 and older architectures,
instantaneous power is returned".
"""

import re
from typing import Final, NamedTuple


class Board(NamedTuple):
    """``averages`` says whether ``power.draw`` is the 1-s average; None where nobody knows."""

    arch: str
    averages: bool | None


UNKNOWN: Final = Board("", None)

_BOARDS: Final = tuple(
    (re.compile(pattern), Board(arch, averages))
    for pattern, arch, averages in (
        (r"\bG?B[123]00\b|\bGB10\b|RTX 50\d\d|RTX PRO", "blackwell", True),
        (r"\bG?H(100|200|800|20)\b", "hopper", True),
        (r"RTX 40\d\d|\bL(4|20|40)S?\b|\bAda\b", "ada", True),
        (r"\bA(100|800|30)X?\b", "ampere", False),
        (r"RTX 30\d\d|\bA(2|10|16|40)G?\b|RTX A\d", "ampere", True),
        (r"RTX 20\d\d|GTX 16\d\d|\bT4G?\b|Quadro RTX|TITAN RTX", "turing", False),
        (r"\bV100|TITAN V", "volta", False),
        (r"\bP(100|40|4)\b|GTX 10\d\d|TITAN X", "pascal", False),
    )
)


def board_of(name: str) -> Board:
    """What is known of a board of that name; UNKNOWN where nothing is."""
    return next((board for pattern, board in _BOARDS if pattern.search(name)), UNKNOWN)
