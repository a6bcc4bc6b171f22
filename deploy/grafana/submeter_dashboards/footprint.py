"""The dashboard *Footprint*: carbon, water, cost, joules per token, budget – as nodes price it."""

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
from submeter_dashboards.queries import (
    CARBON,
    CLUSTER,
    COST,
    FACILITY,
    KWH,
    WATER,
    Meaning,
    Source,
    named,
)

UID: Final = "submeter-footprint"

_OWNER = "phase, workload, user, namespace"
_YEAR_H = 8760
_FACTOR = f"submeter_footprint_factor{{{CLUSTER}}}"
_FACTORS = f"avg by (quantity, currency, source) ({_FACTOR})"
_BUILDS = f"group by (cluster, instance) (submeter_build_info{{{CLUSTER}}})"
_IDLE = 'label_replace(vector(1), "phase", "idle", "", "")'
_BUDGET = f"(sum(submeter_node_power_budget_watts{{{CLUSTER}}}) or vector($budget_kw * 1000))"

_TEXT: Final = """\
Measured: the energy of the GPUs, by their own counters. **As each node is configured**: PUE,
carbon intensity, water and price, each joule at the factor valid at its moment: see Factors in use.
**Assumed, only for nodes without a factor**: PUE **$pue**, carbon **$carbon g/kWh**, water
**$wue l/kWh**, price **$price $currency/kWh**, and, where no node has a power budget,
**$budget_kw kW**.

Processors, memory, fans and network of the servers are not in any of it: submeter meters GPUs.
Workloads are shown at the mean factor that their phase had in the chosen time; submeter report
has every joule at its own.
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
        assumption(
            "currency", "Currency", "EUR",
            "Costs in this one are shown as the nodes price them; the word beside the price.",
        ),
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
        row("Energy for a unit of work"), *_efficiency(source),
        row("Budget and headroom"), *_budget(source),
    ]  # fmt: skip
    return build(
        uid,
        title,
        "Carbon, water, cost, joules per token, power budget, headroom, as nodes price them.",
        variables,
        panels,
    )


def _totals(source: Source) -> list[Panel]:
    idle = f"sum({source.meaning('phase', COST)} and on (phase) {_IDLE})"
    return [
        figure(
            "GPUs", "Measured energy of all GPUs.", "kwatth",
            Query(f"{source.energy('', CLUSTER)} / {KWH}", "GPUs"), decimals=2,
        ),
        figure(
            "Building", "Energy that the site drew for them.", "kwatth",
            Query(f"{source.meaning('', FACILITY)} / {KWH}", "building"), decimals=2,
        ),
        figure(
            "Carbon", "CO2 equivalent of what the site drew.", "massg",
            Query(source.meaning("", CARBON), "CO2e"), decimals=2,
        ),
        figure(
            "Water", "Of the site, and of generation where that is configured.", "litre",
            Query(source.meaning("", WATER), "water"), decimals=2,
        ),
        figure(
            "Cost ($currency)", "Of what the site drew.", "none",
            Query(source.meaning("", COST), "cost"), decimals=2,
        ),
        figure(
            "Of it for idle GPUs ($currency)", "What GPUs cost that nobody held.", "none",
            Query(idle, "idle"), decimals=2,
        ),
        listing(
            "Factors in use", "Of every node and quantity, with its source; a node that is not"
            " here is shown at the assumptions above.", ["quantity", "currency", "source"],
            [
                Column("Value", _FACTORS, "none"),
                Column("Nodes", f"count by (quantity, currency, source) ({_FACTOR})", "none"),
            ],
            width=18,
        ),
        figure(
            "Nodes without a carbon factor", "Their carbon is assumed.", "none",
            Query(
                f"count({_BUILDS} unless on (cluster, instance)"
                f" submeter_carbon_grams_total{{{CLUSTER}}}) or vector(0)",
                "nodes",
            ),
            width=6, height=9, levels=((None, GOOD), (1, WARN)),
        ),
    ]  # fmt: skip


def _phases(source: Source) -> list[Panel]:
    return [
        lines(
            "Carbon an hour", "CO2 equivalent of what the site draws, by phase.", "massg",
            [Query(f"{source.meaning_rate('phase', CARBON)} * 3600", "{{phase}}")], stacked=True,
        ),
        lines(
            "Power of the building", "GPUs by phase, and what the site draws beside for them.",
            "watt",
            [
                Query(source.power("phase", CLUSTER), "{{phase}}"),
                Query(
                    f"{source.meaning_rate('', FACILITY)} - {source.power('', CLUSTER)}",
                    "cooling and the like",
                ),
            ],
            stacked=True,
        ),
        bars(
            "Carbon", "Of the chosen time, by phase.", "massg",
            Query(f"sort_desc({source.meaning('phase', CARBON)})", "{{phase}}"),
        ),
        bars(
            "Water", "Of the chosen time, by phase.", "litre",
            Query(f"sort_desc({source.meaning('phase', WATER)})", "{{phase}}"),
        ),
        bars(
            "Cost ($currency)", "Of the chosen time, by phase.", "none",
            Query(f"sort_desc({source.meaning('phase', COST)})", "{{phase}}"),
        ),
    ]  # fmt: skip


def _workloads(source: Source) -> list[Panel]:
    used = source.energy(_OWNER, f'{CLUSTER}, workload!=""')
    top = f"topk(50, {used} > 0)"
    energy = f"({source.energy('phase', CLUSTER)} > 0)"

    def meaning(what: Meaning) -> str:
        mean = f"{source.meaning('phase', what)} / {energy}"
        return f"{top} * on (phase) group_left () ({mean})"

    return [
        listing(
            "Who", "The 50 workloads that used most in the chosen time.", _OWNER.split(", "),
            [
                Column("GPUs", f"{top} / {KWH}", "kwatth"),
                Column("Carbon", meaning(CARBON), "massg"),
                Column("Water", meaning(WATER), "litre"),
                Column("Cost", meaning(COST), "none"),
            ],
        )
    ]  # fmt: skip


def _efficiency(source: Source) -> list[Panel]:
    """All that a workload used, by what it did."""
    power = source.power(_OWNER, CLUSTER)
    energy = source.energy(_OWNER, CLUSTER)

    def each(unit: str) -> str:
        return f"{energy} / ({source.done(_OWNER, unit)} > 0)"

    return [
        lines(
            "Joules for a generated token", "All that the workload uses, by the tokens that it"
            " generates, prompts included in the energy.", "joule",
            [
                Query(
                    f"{power} / ({source.done_rate(_OWNER, 'generated')} > 0)",
                    "{{workload}} {{user}}",
                )
            ],
        ),
        lines(
            "Tokens a second", "As servers and jobs count them.", "none",
            [
                Query(source.done_rate(_OWNER, "generated"), "{{workload}} generated"),
                Query(source.done_rate(_OWNER, "prompt"), "{{workload}} of prompts"),
            ],
        ),
        listing(
            "Work", "What workloads that tell it did in the chosen time, and what they used for"
            " one. Time that nobody counted makes one look dearer than it was.",
            _OWNER.split(", "),
            [
                Column("Tokens generated", f"{source.done(_OWNER, 'generated')} > 0", "none"),
                Column("A token", each("generated"), "joule"),
                Column("Tokens of prompts", f"{source.done(_OWNER, 'prompt')} > 0", "none"),
                Column("Requests", f"{source.done(_OWNER, 'requests')} > 0", "none"),
                Column("A request", each("requests"), "joule"),
                Column(
                    "Not counted",
                    f"sum by ({_OWNER})"
                    f" (increase(submeter_work_uncounted_seconds_total{{{CLUSTER}}}[$__range]))",
                    "s",
                ),
            ],
        ),
    ]  # fmt: skip


def _budget(source: Source) -> list[Panel]:
    power = source.power("", CLUSTER)
    mean_w = f"avg_over_time(({power})[$__range:1m])"
    carbon = f"({source.meaning('', CARBON)} / {source.energy('', CLUSTER)})"
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
            "A year's carbon", "The same at the mean carbon of the chosen time.", "massg",
            Query(f"{mean_w} * {_YEAR_H} * 3600 * {carbon}", "a year"),
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
