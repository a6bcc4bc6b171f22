"""Two sources of the same figures: the agents' own counters, or what recording rules made of them.

The counters (RAW) need nothing but a scrape and are right for some tens of nodes. A fleet is asked
through deploy/prometheus/rules/recording.yml (RECORDED): as many series as there are workloads and
nodes, not nodes × workloads. docs/fleet.md has the measured times of both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

CLUSTER: Final = 'cluster=~"$cluster"'
OWNERS: Final = f'{CLUSTER}, namespace=~"$namespace", user=~"$user"'

KWH: Final = "3.6e6"
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
    meaning: "Callable[[str, Meaning], str]"  # in the chosen time, by labels
    meaning_rate: "Callable[[str, Meaning], str]"  # a second, by labels
    done: Callable[[str, str], str]  # work in the chosen time, by labels, of an `UNITS`
    done_rate: Callable[[str, str], str]  # a second
    trend_days: int


class Meaning(NamedTuple):
    """What energy comes to: as the agents price it, and for nodes without a factor, as assumed."""

    metric: str  # of the agents
    recorded: str
    assumed: str  # of a joule
    where: str = ""  # more of the agents' labels


FACILITY: Final = Meaning("submeter_facility_energy_joules_total", "facility_watts", "* $pue")
CARBON: Final = Meaning("submeter_carbon_grams_total", "carbon_grams", f"/ {KWH} * $pue * $carbon")
WATER: Final = Meaning("submeter_water_litres_total", "water_litres", f"/ {KWH} * $wue")
COST: Final = Meaning(
    "submeter_cost_total", "cost", f"/ {KWH} * $pue * $price", 'currency="$currency"'
)

UNITS: Final = {
    "generated": ("submeter_tokens_total", 'kind="generation"', "tokens"),
    "prompt": ("submeter_tokens_total", 'kind="prompt"', "tokens"),
    "requests": ("submeter_requests_total", "", "requests"),
}


def _raw_meaning(by: str, what: Meaning, function: str, window: str) -> str:
    """Measured where a node has a factor, else assumed: a node is one or the other."""
    where = f"{CLUSTER}, {what.where}" if what.where else CLUSTER
    levels = f"cluster, instance, {by}" if by else "cluster, instance"
    priced = f"sum by ({levels}) ({function}({what.metric}{{{where}}}[{window}]))"
    energy = f"sum by ({levels}) ({function}({_ENERGY}{{{CLUSTER}}}[{window}]))"
    has = f"group by (cluster, instance) ({what.metric}{{{CLUSTER}}})"
    return _sum(by, f"{priced} or ({energy} unless on (cluster, instance) {has}) {what.assumed}")


def _recorded_meaning(by: str, what: Meaning, function: str, window: str, scale: str) -> str:
    where = f"{CLUSTER}, {what.where}" if what.where else CLUSTER
    series = f"cluster_phase:submeter_{what.recorded}:rate5m{{{where}}}{window}"
    other = f'cluster_phase:submeter_unpriced_watts:rate5m{{{CLUSTER}, kind="{what.recorded}"}}'
    priced = f"{function}({series}){scale}" if function else f"{series}{scale}"
    rest = f"{function}({other}{window}){scale}" if function else f"{other}{scale}"
    return _sum(by, f"{priced} or {rest} {what.assumed}")


def _raw_done(by: str, unit: str, function: str, window: str) -> str:
    metric, where, _ = UNITS[unit]
    chosen = f"{CLUSTER}, {where}" if where else CLUSTER
    return _sum(by, f"{function}({metric}{{{chosen}}}[{window}])")


def _recorded_done(by: str, unit: str, *, over: bool) -> str:
    _, where, name = UNITS[unit]
    chosen = f"{CLUSTER}, {where}" if where else CLUSTER
    series = f"owner:submeter_{name}:rate5m{{{chosen}}}"
    if not over:
        return _sum(by, series)
    return f"({_sum(by, f'sum_over_time({series}[$__range])')} * {_PERIOD_S})"


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
    meaning=lambda by, what: _raw_meaning(by, what, "increase", "$__range"),
    meaning_rate=lambda by, what: _raw_meaning(by, what, "rate", "$__rate_interval"),
    done=lambda by, unit: _raw_done(by, unit, "increase", "$__range"),
    done_rate=lambda by, unit: _raw_done(by, unit, "rate", "$__rate_interval"),
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
    meaning=lambda by, what: _recorded_meaning(
        by, what, "sum_over_time", "[$__range]", f" * {_PERIOD_S}"
    ),
    meaning_rate=lambda by, what: _recorded_meaning(by, what, "", "", ""),
    done=lambda by, unit: _recorded_done(by, unit, over=True),
    done_rate=lambda by, unit: _recorded_done(by, unit, over=False),
    trend_days=30,
)


def named(uid: str, title: str, source: Source) -> tuple[str, str]:
    """uid and title of the dashboard that reads from this source."""
    if not source.suffix:
        return uid, title
    return f"{uid}-{source.suffix}", f"{title} ({source.suffix})"
