"""Rounds of boards in, the one that is to be metered out: polled in C while a thread waits.

What the boards said is understood in C as well.

Optional: without the compiled library (`library` gives None) lanes poll in Python, and everything
comes out the same, at about three times the cost (benchmarks/README.md).
"""

from submeter.ticking.pacer import Busy, Gate, Guard, Library, Pacer, Room, Ticks, address, library
from submeter.ticking.understanding import Understanding

__all__ = [
    "Busy",
    "Gate",
    "Guard",
    "Library",
    "Pacer",
    "Room",
    "Ticks",
    "Understanding",
    "address",
    "library",
]
