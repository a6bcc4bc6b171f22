"""A snapshot in, what workloads did and what one of it took out: tokens, requests, steps.

Since the ledger began, so that energy and work are of the same time.
"""

from collections import defaultdict
from collections.abc import Mapping

from submeter.model import Owner, Phase, Snapshot
from submeter.units import UJ_PER_J, UNCOUNTED
from submeter.web import figures
from submeter.web.markup import safe
from submeter.web.sums import GpuSums


def section(snapshot: Snapshot, sums: Mapping[str, GpuSums]) -> str:
    """A table; nothing where no workload told anything."""
    told = [key for key in snapshot.done if key[1] != UNCOUNTED]
    if not told and not snapshot.work_servers:
        return ""
    energy_uj: dict[Owner, int] = defaultdict(int)
    for each in sums.values():
        for owner, part_uj in each.owners_uj.items():
            energy_uj[owner] += part_uj
    told.sort(key=lambda key: (-energy_uj[key[0]], key))
    lines = "".join(_line(owner, unit, snapshot, energy_uj[owner]) for owner, unit in told)
    head = (
        '<tr><th scope="col">who</th><th scope="col">did</th><th scope="col">at</th>'
        '<th scope="col">each</th></tr>'
    )
    table = (
        '<div class="wide" tabindex="0" role="region" aria-label="work"><table>'
        f"<thead>{head}</thead><tbody>{lines}</tbody></table></div>"
        if told
        else ""
    )
    return (
        '<section class="card" id="work" aria-labelledby="work-name"><h2 id="work-name">What it did'
        f" <span>as servers and jobs count it, since the ledger began</span></h2>{table}"
        f"{_troubles(snapshot)}</section>"
    )


def _line(owner: Owner, unit: str, snapshot: Snapshot, energy_uj: int) -> str:
    amount = snapshot.done[owner, unit]
    is_somebodys = owner.phase is not Phase.UNATTRIBUTED
    joules = energy_uj / UJ_PER_J / amount if amount and is_somebodys else None
    gap_ns = snapshot.done.get((owner, UNCOUNTED), 0)
    gap = f"<small>{figures.duration(gap_ns)} of it nobody counted</small>" if gap_ns else ""
    return (
        f'<tr><td><i class="phase-{owner.phase}"></i>{safe(owner.workload)}{gap}</td>'
        f"<td>{amount:,} {safe(figures.unit(unit))}</td>"
        f"<td>{figures.energy(energy_uj) if is_somebodys else figures.UNKNOWN}</td>"
        f"<td>{figures.per_unit(joules)}</td></tr>"
    )


def _troubles(snapshot: Snapshot) -> str:
    return "".join(
        f'<p class="quiet">{safe(each.address)} ({safe(each.workload or "nobody’s")}) does not '
        f"tell what it does: {safe(each.trouble)}.</p>"
        for each in snapshot.work_servers
        if not each.up
    )
