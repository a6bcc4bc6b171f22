"""A ledger's checkpoint and a fresh meter in, a meter that goes on where the last agent ended out.

| the checkpoint is of                 | the meter takes                                           |
|--------------------------------------|-----------------------------------------------------------|
| this boot                            | its times as they are: boot time went on                  |
| this boot, but later than now (a     | its times as now: what the counter shows more than a      |
| virtual machine was put back)        | moment's worth is suspect                                 |
| another boot                         | boot time zero; and how long before it the checkpoint is, |
|                                      | by the wall clock, or 0 if that was or is not set         |
| none that means anything (simulated, | nothing: it begins anew                                   |
| replayed)                            |                                                           |
"""

from typing import Final

from submeter.metering.meter import Meter
from submeter.model import Checkpoint, MeterState
from submeter.units import NS_PER_S

_SET_FROM_NS: Final = 1_735_689_600 * NS_PER_S
"""2025-01-01: a wall clock that shows less was not set."""


def resume(
    meter: Meter, checkpoint: Checkpoint | None, boot_id: str, now_ns: int, wall_ns: int
) -> str:
    """Sets up the meter, before its first reading; says in words what it goes on from, or ""."""
    if checkpoint is None or not boot_id or not checkpoint.boot_id:
        return ""
    state = checkpoint.state
    if checkpoint.boot_id == boot_id:
        meter.resume(_not_later(state, now_ns))
        down_ns = now_ns - state.end_ns
        if down_ns < 0:
            return "the ledger is of a later time than this boot's clock shows"
        return f"no agent for {down_ns // NS_PER_S} s"
    was_set = checkpoint.wall_ns >= _SET_FROM_NS  # where the clock isn't, it shows an earlier time
    before_ns = max(wall_ns - now_ns - checkpoint.wall_ns, 0) if was_set else 0
    meter.resume_rebooted(state, now_ns, before_ns)
    return (
        f"the machine was restarted, {before_ns // NS_PER_S} s after the last agent by the wall "
        f"clock, {now_ns // NS_PER_S} s ago"
    )


def _not_later(state: MeterState, now_ns: int) -> MeterState:
    if state.end_ns <= now_ns:
        return state
    counter = state.counter
    if counter is not None:
        counter = counter._replace(at_ns=min(counter.at_ns, now_ns), marks=())
    return MeterState(now_ns, min(state.read_ns, now_ns), min(state.known_ns, now_ns), counter)
