"""A snapshot's standard errors in, what splitting leaves open of sums of them out.

Energy that was split wrongly on a GPU went from one of its users to another: errors of one GPU add
up in the worst case, and what all users of a phase have too much, the others have too little.
Errors of different GPUs are independent of each other. What nobody knows yet is None, never 0: the
agent estimates errors every half minute or so, and until then has none of what it split.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import hypot
from typing import Final, NamedTuple

from submeter.model import Method, Phase, Snapshot

SPLIT: Final = frozenset({Method.WEIGHTED, Method.PROPORTIONAL})
"""The methods by which shares are estimated."""

TIMES: Final = 2
"""Standard errors that are shown: the truth is within in 90-99 % of cases."""


class Share(NamedTuple):
    """Somebody's part of what was split on one GPU."""

    gpu_uuid: str
    phase: Phase
    workload: str


def errors(snapshot: Snapshot) -> dict[Share, int]:
    """The standard error of each share in µJ, since the agent started."""
    found: dict[Share, int] = defaultdict(int)
    for account, error_uj in snapshot.standard_error_uj.items():
        found[Share(account.gpu_uuid, account.owner.phase, account.owner.workload)] += error_uj
    return found


def bounded(error_uj: float, split_uj: int) -> float:
    """No share can be wrong by more than all that was split on its GPU."""
    return min(error_uj, split_uj / TIMES)


def scaled(
    errors_uj: Mapping[Share, int], whole_uj: Mapping[Share, int], part_uj: Mapping[Share, int]
) -> dict[Share, float | None]:
    """Errors of the part of what was split that is looked at, from those of the whole: a share
    that is estimated too high is so all the time, so they grow with the energy."""
    found: dict[Share, float | None] = {}
    most_uj: dict[str, int] = defaultdict(int)  # split there
    for share, energy_uj in part_uj.items():
        most_uj[share.gpu_uuid] += energy_uj
    for share, energy_uj in part_uj.items():
        error_uj, total_uj = errors_uj.get(share, 0), whole_uj.get(share, 0)
        if energy_uj:
            known = error_uj > 0 and total_uj > 0
            found[share] = (
                bounded(error_uj * energy_uj / total_uj, most_uj[share.gpu_uuid]) if known else None
            )
    return found


def of_workloads(errors_uj: Mapping[Share, float | None]) -> dict[tuple[Phase, str], float | None]:
    """By phase and workload: independent of each other on different GPUs."""
    found: dict[tuple[Phase, str], list[float | None]] = defaultdict(list)
    for share, error_uj in errors_uj.items():
        found[share.phase, share.workload].append(error_uj)
    return {key: _together(parts) for key, parts in found.items()}


def of_phases(errors_uj: Mapping[Share, float | None]) -> dict[Phase, float | None]:
    """By phase: on a GPU as much as is open within the phase, or in all others together."""
    gpus: dict[str, dict[Phase, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for share, error_uj in errors_uj.items():
        gpus[share.gpu_uuid][share.phase].append(error_uj)
    found: dict[Phase, list[float | None]] = defaultdict(list)
    for phases in gpus.values():
        for phase in phases:
            others = [each for other, parts in phases.items() if other != phase for each in parts]
            found[phase].append(_least(_sum(phases[phase]), _sum(others)))
    return {phase: _together(parts) for phase, parts in found.items()}


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else sum(each for each in known if each is not None)


def _least(one: float | None, other: float | None) -> float | None:
    """The smaller one: either bounds it. Nobody else on the GPU: 0, nothing could go wrong."""
    known = [each for each in (one, other) if each is not None]
    return min(known) if known else None


def _together(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else hypot(*(each for each in known if each is not None))
