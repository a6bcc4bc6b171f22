"""What a meter believes: how much, how fast, how long."""

from dataclasses import dataclass
from typing import Final

from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds between a measurement, a fault and a lie."""

    headroom: int = 2
    """Times the power limit that is still believed. Limits are enforced on averages, and short
    transients exceed them: an H100 was recorded at 877 W of 700 W."""
    unknown_limit_mw: int = 2_000_000
    """The limit of a board that doesn't tell it: above every single GPU sold so far."""
    burst_ns: int = 250 * NS_PER_MS
    """What may come at once beyond the elapsed time, in time at full headroom: counters step
    every 20 to 100 ms, some boards every 500 ms."""
    jitter_uj: int = 10 * UJ_PER_J
    """A counter that falls by no more than this has jittered, not restarted."""
    recall_ns: int = 600 * NS_PER_S
    """How long a counter that fell or jumped may take to come back to where it was."""
    gap_ns: int = 5 * NS_PER_S
    """Without a reading for longer than this, nobody was watching."""
    join_ns: int = 2 * NS_PER_S
    """Points of power further apart than this (and than three refreshes) are not joined."""
    stall_ns: int = 10 * NS_PER_S
    """A counter that stands still longer than this while power is drawn has stalled."""
    stall_uj: int = 50 * UJ_PER_J
    """…and this is how much must have been drawn: 50,000 steps of a counter of millijoules."""
    patience_ns: int = 60 * NS_PER_S
    """A counter not read for longer than this leaves unmetered seconds. Shorter silences end by
    themselves, such as driver calls that time out after 45 s (XID 119), and the counter then
    covers them."""


DEFAULT: Final = Limits()
