"""A question on the agent's socket in, what the node's meters say out.

Whoever may connect may know what whole GPUs draw (`/metrics` says the same), and of workloads his
own user's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from submeter.model import Snapshot
from submeter.runtime.labels import Answer, Who
from submeter.sampling.watch import GpuWatch
from submeter.workloads.naming import tidy

_ROOT: Final = 0


def answers(
    snapshot: Callable[[], Snapshot | None],
    watches: Callable[[], Sequence[GpuWatch]],
    name_of: Callable[[int], str],
    notice: Callable[[], str],
) -> Answer:
    """The questions that are understood. ``name_of`` is from a uid to the name in labels;
    ``notice``: what to know about all figures now, as that they are simulated."""

    def answer(fields: Mapping[str, Any], who: Who) -> Mapping[str, object] | None:
        if fields["ask"] == "gpus":
            levels = [_level(watch) for watch in watches() if watch.up]
            said = notice()
            return {"gpus": levels, "notice": said} if said else {"gpus": levels}
        workload = fields.get("workload")
        if fields["ask"] == "used" and isinstance(workload, str):
            user = None if who.uid == _ROOT else name_of(who.uid)
            return {"used": _used(snapshot(), tidy(workload), user)}
        return None

    return answer


def _level(watch: GpuWatch) -> dict[str, object]:
    """`submeter.client.measuring.Level` of a GPU."""
    latest = watch.latest
    power_mw = None
    if latest is not None:
        power_mw = latest.instant_mw if latest.instant_mw is not None else latest.average_mw
    return {
        "uuid": watch.info.uuid,
        "gpu": watch.info.index,
        "energy_uj": None if latest is None else latest.energy_uj,
        "at_ns": 0 if latest is None else latest.at_ns,
        "power_mw": power_mw,
    }


def _used(snapshot: Snapshot | None, workload: str, user: str | None) -> dict[str, int]:
    """Microjoules booked to a workload so far, by GPU; of all users for None."""
    used: dict[str, int] = {}
    for account, energy_uj in (snapshot.energy_uj if snapshot is not None else {}).items():
        if account.owner.workload == workload and user in {None, account.owner.user}:
            used[account.gpu_uuid] = used.get(account.gpu_uuid, 0) + energy_uj
    return used
