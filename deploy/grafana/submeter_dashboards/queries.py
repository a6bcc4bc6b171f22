"""Two sources of the same figures: the agents' own counters, or what recording rules made of them.

The counters (RAW) need nothing but a scrape and are right for some tens of nodes. A fleet is asked
through deploy/prometheus/rules/recording.yml (RECORDED): as many series as there are workloads and
nodes, not nodes × workloads. docs/fleet.md has the measured times of both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CLUSTER: Final = 'cluster=~"$cluster"'
OWNERS: Final = f'{CLUSTER}, namespace=~"$namespace", user=~"$user"'

_ENERGY = "submeter_energy_joules_total"
_GPU = "cluster, instance, gpu"
_PERIOD_S = 60  # how often recording.yml is evaluated


@dataclass(frozen=True, slots=True)
class Source:
    """Gives expressions: by which labels to sum, and which series to take (a selector)."""

    suffix: str  # of uid and title
    power: Callable[[str, str], str]  # watts
    energy: Callable[[str, str], str]  # joules in the chosen time
    energy_of_day: Callable[[str, str], str]  # joules of the last 24 h
    gpus: str
    held: str
    working: str
    stranded: Callable[[str], str]  # watts, by labels
    trend_days: int


def _sum(by: str, expression: str) -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def _raw_power(by: str, where: str) -> str:
    return _sum(by, f"rate({_ENERGY}{{{where}}}[$__rate_interval])")


def _raw_energy(by: str, where: str) -> str:
    return _sum(by, f"increase({_ENERGY}{{{where}}}[$__range])")


def _raw_day(by: str, where: str) -> str:
    return _sum(by, f"increase({_ENERGY}{{{where}}}[1d])")


_RAW_WORKING = (
    _raw_power(_GPU, f'{CLUSTER}, component="dynamic"') + f" > 0.1 * {_raw_power(_GPU, CLUSTER)}"
)


def _raw_stranded(by: str) -> str:
    held = f'{CLUSTER}, component=~"idle|context", phase!~"idle|unattributed"'
    return _sum(by, f"{_raw_power(_GPU, held)} unless on ({_GPU}) ({_RAW_WORKING})")


def _recorded(by: str, where: str) -> str:
    """The series with the fewest labels that has all that are asked for."""
    asked = by + where
    if "instance" in asked:
        level = "instance_phase_component"
    elif any(label in asked for label in ("workload", "user", "namespace")):
        level = "owner_component"
    else:
        level = "cluster_phase_component"
    return f"{level}:submeter_power_watts:rate5m{{{where}}}"


def _over(by: str, where: str, window: str) -> str:
    joules = _sum(by, f"sum_over_time({_recorded(by, where)}[{window}])")
    return f"({joules} * {_PERIOD_S})"


RAW: Final = Source(
    suffix="",
    power=_raw_power,
    energy=_raw_energy,
    energy_of_day=_raw_day,
    gpus=f"count(submeter_gpu_up{{{CLUSTER}}} == 1)",
    held=f"count(count by ({_GPU}) (submeter_process_info{{{CLUSTER}}}))",
    working=f"count({_RAW_WORKING})",
    stranded=_raw_stranded,
    trend_days=7,
)

RECORDED: Final = Source(
    suffix="recorded",
    power=lambda by, where: _sum(by, _recorded(by, where)),
    energy=lambda by, where: _over(by, where, "$__range"),
    energy_of_day=lambda by, where: _over(by, where, "1d"),
    gpus=f"sum(cluster:submeter_gpus:count{{{CLUSTER}}})",
    held=f"sum(cluster:submeter_gpus_held:count{{{CLUSTER}}})",
    working=f"sum(cluster:submeter_gpus_working:count{{{CLUSTER}}})",
    stranded=lambda by: _sum(by, f"instance:submeter_stranded_watts:rate5m{{{CLUSTER}}}"),
    trend_days=30,
)


def named(uid: str, title: str, source: Source) -> tuple[str, str]:
    """uid and title of the dashboard that reads from this source."""
    if not source.suffix:
        return uid, title
    return f"{uid}-{source.suffix}", f"{title} ({source.suffix})"
