"""An interval and who held the GPU in, postings that add up to it out.

Energy = floor (component idle) + step because somebody holds the GPU (context) + work (dynamic).

| who held it                    | floor and step        | the rest                              |
|--------------------------------|-----------------------|---------------------------------------|
| no agent was running           | unattributed, "(agent down)", all of it                       |
| nobody watched                 | unattributed, "(not observed)", all of it                     |
| the driver can't list holders  | unattributed, "(unknown holders)", all of it                  |
| nobody                         | idle, all of it       | (idle too, unless the driver names SM |
|                                |                       | time of strangers: theirs)            |
| one owner                      | theirs, exclusive     | theirs, exclusive                     |
| several, weights learnt        | equally by holder     | weighted: learnt watts × SM time      |
| several, SM time known         | equally by holder     | proportional to SM time               |
| several MIG instances, their   | equally by holder     | mig: to instances by slices × busy    |
| … busy time known              |                       | time, in them equally by holder; or   |
|                                |                       | weighted, once weights are learnt     |
| … and no SM time at all        | equally by holder     | equally by holder: nobody worked      |
| … and no such signal           | equally by holder     | unattributed, "(no signal)"           |

Several holders with one owner are one account. SM time of PIDs that are no known holder is its own
share, unattributed, "(unknown process)". When the driver says that nobody worked, what exceeds the
bare floor is there because somebody holds the GPU (context), and where the bare floor isn't learnt
yet, the two can't be told apart: idle. What goes to an owner that is itself unattributed (a PID
that means nothing here) is unattributed by method, too.

For the cost game v(S) = floor + step·[S ≠ ∅] + Σ work, this split is its Shapley value.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Final, NamedTuple

from submeter.attribution.apportion import apportion
from submeter.model import (
    Account,
    Component,
    Floors,
    Interval,
    Method,
    Owner,
    Phase,
    Posting,
    Usage,
)
from submeter.units import PJ_PER_UJ

IDLE: Final = Owner(Phase.IDLE)
AGENT_DOWN: Final = Owner(Phase.UNATTRIBUTED, workload="(agent down)")
NOT_OBSERVED: Final = Owner(Phase.UNATTRIBUTED, workload="(not observed)")
UNKNOWN_HOLDERS: Final = Owner(Phase.UNATTRIBUTED, workload="(unknown holders)")
UNKNOWN_PROCESS: Final = Owner(Phase.UNATTRIBUTED, workload="(unknown process)")
NO_SIGNAL: Final = Owner(Phase.UNATTRIBUTED, workload="(no signal)")


class _Who(NamedTuple):
    """An owner on a MIG instance: an account but for the component."""

    owner: Owner
    mig: str = ""


class _Slice(NamedTuple):
    """Some energy of one component, to be shared by weight."""

    component: Component
    method: Method
    energy_uj: int
    weights: dict[_Who, int]


def split(
    interval: Interval, usage: Usage | None, floors: Floors, turn: int = 0
) -> tuple[Posting, ...]:
    """Who used the interval's energy; Σ of the postings = ``interval.energy_uj``, always.

    ``usage`` None: the driver can't list the holders. ``turn``: counts up with every interval, so
    that single microjoules which can't be divided go round.
    """
    slices = _slices(interval, usage, floors)
    postings: list[Posting] = []
    for part in slices:
        postings += _posted(part, interval.gpu_uuid, turn)
    if len({part.component for part in slices}) < len(slices):
        postings = _merged(postings)
    return tuple(postings)


def dynamic_uj(interval: Interval, floors: Floors) -> int:
    """The interval's energy without floor and context step."""
    return _layers(interval, floors)[2]


def _posted(part: _Slice, uuid: str, turn: int) -> list[Posting]:
    component, method, total_uj, weights = part
    unattributed, nobody = Method.UNATTRIBUTED, Phase.UNATTRIBUTED
    shares = apportion(total_uj, list(weights.values()), turn)
    return [
        Posting(
            Account(uuid, mig, component, owner),
            unattributed if owner[0] is nobody else method,
            energy_uj,
        )
        for (owner, mig), energy_uj in zip(weights, shares, strict=True)
        if energy_uj
    ]


def _merged(postings: Sequence[Posting]) -> list[Posting]:
    """One posting by account and method."""
    merged: dict[tuple[Account, Method], int] = {}
    for account, method, energy_uj in postings:
        merged[account, method] = merged.get((account, method), 0) + energy_uj
    return [Posting(account, method, energy_uj) for (account, method), energy_uj in merged.items()]


def _slices(interval: Interval, usage: Usage | None, floors: Floors) -> Sequence[_Slice]:
    total_uj = interval.energy_uj
    if not interval.observed:
        return [_unattributed(total_uj, AGENT_DOWN if interval.agent_down else NOT_OBSERVED)]
    if usage is None:
        return [_unattributed(total_uj, UNKNOWN_HOLDERS)]
    idle_uj, context_uj, rest_uj = _layers(interval, floors)
    if not usage.holders:
        return _nobody(total_uj, idle_uj, usage)
    each = _each(usage)
    holders = _holders(each)
    alone = len(holders) == 1 and not usage.foreign_sm_time
    equally = Method.EXCLUSIVE if alone else Method.EQUAL
    return [
        _Slice(Component.IDLE, equally, idle_uj, holders),
        _Slice(Component.CONTEXT, equally, context_uj, holders),
        _rest(rest_uj, usage, floors, each, alone),
    ]


def _layers(interval: Interval, floors: Floors) -> tuple[int, int, int]:
    """Floor, context step and the rest, in µJ; their sum is the interval's energy."""
    duration_ns = interval.end_ns - interval.start_ns
    left_uj = interval.energy_uj
    idle_uj = min(left_uj, floors.idle_mw * duration_ns // PJ_PER_UJ)
    left_uj -= idle_uj
    context_uj = min(left_uj, floors.context_mw * duration_ns // PJ_PER_UJ)
    return idle_uj, context_uj, left_uj - context_uj


def _nobody(total_uj: int, idle_uj: int, usage: Usage) -> Sequence[_Slice]:
    nobody = {_Who(IDLE): 1}
    if not usage.foreign_sm_time:
        return [_Slice(Component.IDLE, Method.IDLE, total_uj, nobody)]
    return [
        _Slice(Component.IDLE, Method.IDLE, idle_uj, nobody),
        _unattributed(total_uj - idle_uj, UNKNOWN_PROCESS),
    ]


def _rest(energy_uj: int, usage: Usage, floors: Floors, each: list[_Who], alone: bool) -> _Slice:
    """What exceeds the floor and the step."""
    worked = None if usage.sm_time is None else _worked(usage, each)
    if worked is not None and not worked:
        component = Component.CONTEXT if floors.idle_mw else Component.IDLE
        return _Slice(
            component, Method.EXCLUSIVE if alone else Method.EQUAL, energy_uj, _holders(each)
        )
    if alone:
        return _Slice(Component.DYNAMIC, Method.EXCLUSIVE, energy_uj, _holders(each))
    if worked is None:
        return _unattributed(energy_uj, NO_SIGNAL)
    if usage.weights is not None:
        weighted = _weighted(each, usage.weights, usage.foreign_weight)
        if weighted:
            return _Slice(Component.DYNAMIC, Method.WEIGHTED, energy_uj, weighted)
    by_time = Method.MIG if usage.mig else Method.PROPORTIONAL
    return _Slice(Component.DYNAMIC, by_time, energy_uj, worked)


def _unattributed(energy_uj: int, owner: Owner) -> _Slice:
    return _Slice(Component.DYNAMIC, Method.UNATTRIBUTED, energy_uj, {_Who(owner): 1})


def _holders(each: list[_Who]) -> dict[_Who, int]:
    """How many processes of each account hold the GPU."""
    return Counter(each)


def _worked(usage: Usage, each: list[_Who]) -> dict[_Who, int]:
    """SM time of each account, strangers included; only those that worked."""
    return _tally(each, usage.sm_time or {}, usage.foreign_sm_time)


def _weighted(each: list[_Who], weights: Mapping[int, int], foreign: int) -> dict[_Who, int]:
    """Learnt weight of each account, strangers included."""
    return _tally(each, weights, foreign)


def _each(usage: Usage) -> list[_Who]:
    migs = usage.mig or repeat("")
    return list(map(_Who, usage.holders, migs))


def _tally(each: list[_Who], parts: Mapping[int, int], foreign: int) -> dict[_Who, int]:
    """By account; ``parts`` are by the index of the holder."""
    tally: dict[_Who, int] = {}
    for i, part in parts.items():
        if part > 0:
            tally[each[i]] = tally.get(each[i], 0) + part
    if foreign > 0:
        stranger = _Who(UNKNOWN_PROCESS)
        tally[stranger] = tally.get(stranger, 0) + foreign
    return tally
