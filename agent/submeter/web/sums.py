"""A snapshot in, what the live page sums up of it out: one pass over its accounts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from submeter.model import GpuState, Owner, Phase, Snapshot
from submeter.web import doubt

_IDLE_PERCENT: Final = 5  # of utilisation: a context's housekeeping shows as 1 to 3

Phases = Mapping[Phase, int]


class GpuSums(NamedTuple):
    """Of one GPU."""

    energy_uj: dict[Phase, int]
    power_mw: dict[Phase, int]  # as it was split by the last settlement
    owners_uj: dict[Owner, int]  # all components together
    errors_uj: dict[Owner, int]  # standard errors of splitting, since the agent started


def by_gpu(snapshot: Snapshot) -> Mapping[str, GpuSums]:
    """The sums of each GPU, by UUID; of one without any account, too."""
    found: dict[str, GpuSums] = defaultdict(_nothing)
    for gpu in snapshot.gpus:
        found[gpu.info.uuid] = _nothing()
    for (uuid, _, _, owner), energy_uj in snapshot.energy_uj.items():
        sums = found[uuid]
        sums.energy_uj[owner.phase] += energy_uj
        sums.owners_uj[owner] += energy_uj
    for (uuid, _, _, owner), value_mw in snapshot.power_mw.items():
        found[uuid].power_mw[owner.phase] += value_mw
    for (uuid, _, _, owner), error_uj in snapshot.standard_error_uj.items():
        found[uuid].errors_uj[owner] += error_uj
    for gpu in snapshot.gpus:
        split_uj = sum(gpu.energy_by_method_uj.get(method, 0) for method in doubt.SPLIT)
        errors_uj = found[gpu.info.uuid].errors_uj
        for owner, error_uj in errors_uj.items():
            errors_uj[owner] = round(doubt.bounded(error_uj, split_uj))
    return found


def together(parts: Iterable[Phases]) -> Phases:
    """By phase, of several GPUs."""
    sums: dict[Phase, int] = defaultdict(int)
    for each in parts:
        for phase, part in each.items():
            sums[phase] += part
    return sums


def named(phases: Phases) -> Mapping[str, int]:
    """In the phases' own order, by name."""
    return {phase.value: phases.get(phase, 0) for phase in Phase}


def leading(phases: Phases) -> Phase:
    """What has most."""
    return max(phases, key=lambda phase: phases[phase], default=Phase.IDLE)


def is_idling(gpu: GpuState) -> bool:
    """Whether somebody holds a GPU that does nothing now, and in the last seconds never drew much
    more than its floors; where those are not learnt, than its lowest."""
    used = gpu.activity.utilization_percent if gpu.activity else None
    if not gpu.up or not gpu.processes or used is None or used >= _IDLE_PERCENT:
        return False
    if gpu.peaks is None:
        return True
    floor_mw = gpu.floors.idle_mw + gpu.floors.context_mw or gpu.peaks.min_mw
    return 2 * gpu.peaks.max_mw < 3 * floor_mw


def _nothing() -> GpuSums:
    return GpuSums(defaultdict(int), defaultdict(int), defaultdict(int), defaultdict(int))
