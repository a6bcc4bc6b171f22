"""The dashboard *Footprint*: carbon, water, cost, budget – from energy, and from assumptions."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from submeter_dashboards.elements import (
    BAD,
    GOOD,
    WARN,
    Column,
    Panel,
    Query,
    assumption,
    bars,
    build,
    datasource_variable,
    figure,
    label_variable,
    lines,
    listing,
    row,
    words,
)
from submeter_dashboards.queries import CLUSTER, Source, named

UID: Final = "submeter-footprint"

_OWNER = "phase, workload, user, namespace"
_KWH = "3.6e6"
_YEAR_H = 8760
_BUDGET = f"(sum(submeter_node_power_budget_watts{{{CLUSTER}}}) or vector($budget_kw * 1000))"

_TEXT: Final = """\
Measured: the energy of the GPUs, by their own counters. **Assumed, and set at the top of this
page**: PUE **$pue**, carbon **$carbon g/kWh**, water **$wue l/kWh**, price
**$price $currency/kWh**, and, where no node has a power budget, **$budget_kw kW**.

Building = GPUs × PUE · carbon and cost = building × factor · water = GPUs × WUE (The Green Grid
defines WUE by the energy of the IT equipment). Processors, memory, fans and network of the servers
are not in any of it: submeter meters GPUs. One factor is used for the whole time, so figures of the
past change when you change it.
"""


def footprint(source: Source) -> Dashboard:
    """A cluster or several, with one set of factors."""
    uid, title = named(UID, "submeter / Footprint", source)
    variables = [
        datasource_variable(),
        label_variable(
            "cluster", "Cluster", "label_values(submeter_build_info, cluster)",
            "External label of the Prometheus that scrapes; none on a single one.",
        ),
        assumption(
            "pue", "PUE (assumed)", "1.56",
            "Energy of the building by that of its computers. 1.56 is the mean of Uptime"
            " Institute's Global Data Center Survey 2024.",
        ),
        assumption(
            "carbon", "gCO2e/kWh (assumed)", "473",
            "Carbon intensity of the electricity. 473 is the world's mean of 2024 (Ember, Global"
            " Electricity Review 2025).",
        ),
        assumption(
            "wue", "Water l/kWh (assumed)", "1.8",
            "Water for cooling by energy of the computers. 1.8 is the average that the U.S."
            " Department of Energy's guidance on cooling water in data centres names.",
        ),
        assumption("price", "Price a kWh (assumed)", "0.15", "A placeholder: put yours."),
        assumption("currency", "Currency", "EUR", "Only a word beside the price."),
        assumption(
            "budget_kw", "Power budget kW (assumed)", "10",
            "Used where no node has a power budget of its own (node.power_budget_watts).",
        ),
    ]  # fmt: skip
    panels = [
        row("Footprint of the chosen time"), *_totals(source),
        words("What is measured and what is assumed", _TEXT),
        row("By phase"), *_phases(source),
        row("By workload"), *_workloads(source),
        row("Budget and headroom"), *_budget(source),
    ]  # fmt: skip
    return build(
        uid,
        title,
        "Carbon, water, cost, PUE, power budget and headroom. Factors are assumptions, set above.",
        variables,
        panels,
    )


def _totals(source: Source) -> list[Panel]:
    energy = source.energy("", CLUSTER)
    idle = source.energy("", f'{CLUSTER}, phase="idle"')
    return [
        figure(
            "GPUs", "Measured energy of all GPUs.", "kwatth", Query(f"{energy} / {_KWH}", "GPUs"),
            decimals=2,
        ),
        figure(
            "Building", "Energy of the GPUs × PUE.", "kwatth",
            Query(f"{energy} / {_KWH} * $pue", "building"), decimals=2,
        ),
        figure(
            "Carbon", "Building × carbon intensity.", "massg",
            Query(f"{energy} / {_KWH} * $pue * $carbon", "CO2e"), decimals=2,
        ),
        figure(
            "Water", "GPUs × WUE.", "litre", Query(f"{energy} / {_KWH} * $wue", "water"),
            decimals=2,
        ),
        figure(
            "Cost ($currency)", "Building × price.", "none",
            Query(f"{energy} / {_KWH} * $pue * $price", "cost"), decimals=2,
        ),
        figure(
            "Of it for idle GPUs ($currency)", "What GPUs cost that nobody held.", "none",
            Query(f"{idle} / {_KWH} * $pue * $price", "idle"), decimals=2,
        ),
    ]  # fmt: skip


def _phases(source: Source) -> list[Panel]:
    power_kw = f"{source.power('phase', CLUSTER)} / 1000"
    energy_kwh = f"{source.energy('phase', CLUSTER)} / {_KWH}"
    return [
        lines(
            "Carbon an hour", "Building × carbon intensity, by phase.", "massg",
            [Query(f"{power_kw} * $pue * $carbon", "{{phase}}")], stacked=True,
        ),
        lines(
            "Power of the building", "GPUs by phase, and what PUE adds for them.", "watt",
            [
                Query(source.power("phase", CLUSTER), "{{phase}}"),
                Query(
                    f"{source.power('', CLUSTER)} * ($pue - 1)", "cooling and the like (assumed)"
                ),
            ],
            stacked=True,
        ),
        bars(
            "Carbon", "Of the chosen time, by phase.", "massg",
            Query(f"sort_desc({energy_kwh} * $pue * $carbon)", "{{phase}}"),
        ),
        bars(
            "Water", "Of the chosen time, by phase.", "litre",
            Query(f"sort_desc({energy_kwh} * $wue)", "{{phase}}"),
        ),
        bars(
            "Cost ($currency)", "Of the chosen time, by phase.", "none",
            Query(f"sort_desc({energy_kwh} * $pue * $price)", "{{phase}}"),
        ),
    ]  # fmt: skip


def _workloads(source: Source) -> list[Panel]:
    used = source.energy(_OWNER, f'{CLUSTER}, workload!=""')
    top = f"topk(50, {used} > 0) / {_KWH}"
    return [
        listing(
            "Who", "The 50 workloads that used most in the chosen time.", _OWNER.split(", "),
            [
                Column("GPUs", top, "kwatth"),
                Column("Carbon", f"{top} * $pue * $carbon", "massg"),
                Column("Water", f"{top} * $wue", "litre"),
                Column("Cost", f"{top} * $pue * $price", "none"),
            ],
        )
    ]  # fmt: skip


def _budget(source: Source) -> list[Panel]:
    power = source.power("", CLUSTER)
    mean_w = f"avg_over_time(({power})[$__range:1m])"
    return [
        figure(
            "In use", "Draw of the GPUs by their budget.", "percentunit",
            Query(f"{power} / {_BUDGET}", "in use"), decimals=1,
            levels=((None, GOOD), (0.9, WARN), (1, BAD)),
        ),
        figure(
            "Headroom", "Budget minus draw.", "watt", Query(f"{_BUDGET} - {power}", "headroom"),
            levels=((None, BAD), (0, GOOD)),
        ),
        figure(
            "Lowest headroom", "Of the chosen time, in means of some minutes.", "watt",
            Query(f"{_BUDGET} - max_over_time(({power})[$__range:1m])", "lowest"),
            levels=((None, BAD), (0, GOOD)),
        ),
        figure(
            "Stranded budget", "Share of the budget that was not drawn on average in the chosen"
            " time: power that is paid for and stands ready.", "percentunit",
            Query(f"1 - {mean_w} / {_BUDGET}", "stranded"), decimals=1,
            levels=((None, GOOD),),
        ),
        figure(
            "A year like this", "Mean power of the chosen time, for 8,760 h: GPUs only.", "kwatth",
            Query(f"{mean_w} / 1000 * {_YEAR_H}", "a year"),
        ),
        figure(
            "A year's carbon", "The same × PUE × carbon intensity.", "massg",
            Query(f"{mean_w} / 1000 * {_YEAR_H} * $pue * $carbon", "a year"),
        ),
        lines(
            "Draw and budget", "All GPUs together, and what they may draw.", "watt",
            [Query(power, "draw"), Query(_BUDGET, "budget")],
        ),
        lines(
            "Headroom", "Budget minus draw; below 0, more is drawn than there is.", "watt",
            [Query(f"{_BUDGET} - {power}", "headroom")],
            levels=((None, BAD), (0, "transparent")),
        ),
    ]  # fmt: skip
