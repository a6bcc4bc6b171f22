"""A snapshot in, what the live page sums up of it out."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from submeter.model import Account, GpuState, Phase, Snapshot

_IDLE_PERCENT: Final = 5  # of utilisation: a context's housekeeping shows as 1 to 3


def by_phase(snapshot: Snapshot, gpu_uuids: set[str]) -> Mapping[str, int]:
    """Energy of these GPUs by phase in µJ, in the phases' own order."""
    return _phases(snapshot.energy_uj, gpu_uuids)


def now_by_phase(snapshot: Snapshot, gpu_uuids: set[str]) -> Mapping[str, int]:
    """Power of these GPUs by phase in mW, as it was split by the last settlement."""
    return _phases(snapshot.power_mw, gpu_uuids)


def is_idling(gpu: GpuState) -> bool:
    """Whether somebody holds a GPU that does nothing now, and in the last seconds, as far as its
    floors are learnt, never drew much more than them."""
    used = gpu.activity.utilization_percent if gpu.activity else None
    if not gpu.up or not gpu.processes or used is None or used >= _IDLE_PERCENT:
        return False
    floor_mw = gpu.floors.idle_mw + gpu.floors.context_mw
    return not (floor_mw and gpu.peaks) or 2 * gpu.peaks.max_mw < 3 * floor_mw


def _phases(parts: Mapping[Account, int], gpu_uuids: set[str]) -> Mapping[str, int]:
    sums: dict[Phase, int] = defaultdict(int)
    for account, part in parts.items():
        if account.gpu_uuid in gpu_uuids:
            sums[account.owner.phase] += part
    return {phase.value: sums[phase] for phase in Phase}
