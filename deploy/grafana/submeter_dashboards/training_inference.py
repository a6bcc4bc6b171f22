"""The dashboard *Training and inference*: what a fleet uses energy for, and what for nothing."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from submeter_dashboards import gpu_node
from submeter_dashboards.elements import (
    BAD,
    GOOD,
    WARN,
    Column,
    Panel,
    Query,
    bars,
    build,
    datasource_variable,
    figure,
    label_variable,
    lines,
    listing,
    row,
)
from submeter_dashboards.queries import CLUSTER, OWNERS, Source, named

UID: Final = "submeter-fleet"

_OWNER = "phase, workload, user, namespace"
_ROWS = 50  # of the table of workloads
_NODES = 100
_DYNAMIC = 'component="dynamic"'


def training_inference(source: Source) -> Dashboard:
    """A cluster or several."""
    uid, title = named(UID, "submeter / Training and inference", source)
    known = "submeter_energy_joules_total"
    variables = [
        datasource_variable(),
        label_variable(
            "cluster", "Cluster", "label_values(submeter_build_info, cluster)",
            "External label of the Prometheus that scrapes; none on a single one.",
        ),
        label_variable(
            "namespace", "Namespace", f"label_values({known}{{{CLUSTER}}}, namespace)",
            "Of Kubernetes; for the row Who only.",
        ),
        label_variable(
            "user", "User", f"label_values({known}{{{CLUSTER}}}, user)",
            "Who the processes belong to; for the row Who only.",
        ),
    ]  # fmt: skip
    panels = [
        row("Shares"), *_shares(source),
        row("Efficiency"), *_efficiency(source),
        row("Idle and stranded"), *_idle(source),
        row("Who (as chosen by namespace and user)"), *_who(source),
        row("Nodes"), *_nodes(source),
    ]  # fmt: skip
    return build(
        uid,
        title,
        "Share of each phase, efficiency, idle and stranded, top workloads and nodes, trend.",
        variables,
        panels,
    )


def _share(source: Source, where: str) -> str:
    return f"{source.energy('', f'{CLUSTER}, {where}')} / {source.energy('', CLUSTER)}"


def _shares(source: Source) -> list[Panel]:
    by_phase = source.power("phase", CLUSTER)
    day = source.energy_of_day("phase", CLUSTER)
    trend = lines(
        "Energy of each day", "Of the last 24 h before each bar, by phase.", "kwatth",
        [Query(f"{day} / 3.6e6", "{{phase}}")], width=24, stacked=True, bars=True,
    ).time_from(f"{source.trend_days}d").interval("1d")  # fmt: skip
    return [
        figure(
            "Training", "Share of training in the energy of the chosen time.", "percentunit",
            Query(_share(source, 'phase="training"'), "training"), decimals=1,
        ),
        figure(
            "Inference", "Share of inference.", "percentunit",
            Query(_share(source, 'phase="inference"'), "inference"), decimals=1,
        ),
        figure(
            "Other and unknown", "Work that is neither, or whose phase is not known.",
            "percentunit", Query(_share(source, 'phase=~"other|unknown"'), "other"), decimals=1,
        ),
        figure(
            "Idle", "Share of the energy of GPUs that nobody held.", "percentunit",
            Query(_share(source, 'phase="idle"'), "idle"), decimals=1,
            levels=((None, GOOD), (0.1, WARN), (0.25, BAD)),
        ),
        figure(
            "Power", "All GPUs together, mean of the last minutes.", "watt",
            Query(source.power("", CLUSTER), "power"),
        ),
        figure(
            "Energy", "All GPUs together in the chosen time.", "kwatth",
            Query(f"{source.energy('', CLUSTER)} / 3.6e6", "energy"), decimals=1,
        ),
        lines(
            "Power by phase", "What the power is used for.", "watt",
            [Query(by_phase, "{{phase}}")], stacked=True,
        ),
        lines(
            "Share of each phase", "The same, as shares of the whole.", "watt",
            [Query(by_phase, "{{phase}}")], share=True,
        ),
        trend,
    ]  # fmt: skip


def _efficiency(source: Source) -> list[Panel]:
    work = source.power("phase", f"{CLUSTER}, {_DYNAMIC}")
    held = source.power("phase", f'{CLUSTER}, phase!~"idle|unattributed"')
    return [
        figure(
            "Into work", "Share of all energy that went into work (component dynamic).",
            "percentunit", Query(_share(source, _DYNAMIC), "work"), decimals=1, height=8,
            levels=((None, BAD), (0.3, WARN), (0.6, GOOD)),
        ),
        lines(
            "Into work, by phase", "Of the energy of training, of inference and so on: the share"
            " that went into work and not into the floor and into being held.", "percentunit",
            [Query(f"{work} / ({held} > 0)", "{{phase}}")], width=10,
        ),
        lines(
            "Power by component", "dynamic: work. context: the extra draw because somebody holds"
            " a GPU. idle: the bare floor.", "watt",
            [Query(source.power("component", CLUSTER), "{{component}}")], width=10, stacked=True,
        ),
    ]  # fmt: skip


def _idle(source: Source) -> list[Panel]:
    return [
        lines(
            "GPUs: there, held, working", "Held: a process has it. Working: more than 10 % of its"
            " energy goes into work.", "short",
            [
                Query(source.gpus, "can be read"),
                Query(source.held, "held"),
                Query(source.working, "working"),
            ],
            width=8,
        ),
        lines(
            "Power for nothing", "idle: nobody holds the GPU. stranded: somebody does, and does"
            " not work on it.", "watt",
            [
                Query(source.power("phase", f'{CLUSTER}, phase="idle"'), "{{phase}}"),
                Query(f"{source.stranded('')} or vector(0)", "stranded"),
            ],
            width=8, stacked=True,
        ),
        bars(
            "Stranded, by node", "Where GPUs are held and don't work.", "watt",
            Query(f"topk(10, {source.stranded('instance')} > 0)", "{{instance}}"),
            none="nothing is stranded",
        ),
    ]  # fmt: skip


def _who(source: Source) -> list[Panel]:
    used = source.energy(_OWNER, f'{OWNERS}, workload!=""')
    work = source.energy(_OWNER, f'{OWNERS}, workload!="", {_DYNAMIC}')
    power = source.power(_OWNER, f'{OWNERS}, workload!=""')
    top = f"topk({_ROWS}, {used} > 0)"
    users = source.energy("user", f'{OWNERS}, user!=""')
    spaces = source.energy("namespace", f'{OWNERS}, workload!=""')
    no_name = '"namespace", "(none)", "namespace", ""'
    return [
        listing(
            "Top workloads", f"The {_ROWS} that used most energy in the chosen time.",
            _OWNER.split(", "),
            [
                Column("Energy", f"{top} / 3.6e6", "kwatth"),
                Column("Power", f"{power} and {top}", "watt"),
                Column("Into work", f"{work} / {top}", "percentunit"),
            ],
        ),
        bars(
            "Users", "Energy in the chosen time.", "kwatth",
            Query(f"topk(15, {users} / 3.6e6)", "{{user}}"), width=12,
        ),
        bars(
            "Namespaces", "Energy in the chosen time; (none) is what runs outside Kubernetes.",
            "kwatth",
            Query(
                f"topk(15, label_replace({spaces} / 3.6e6, {no_name}))", "{{namespace}}",
            ),
            width=12,
        ),
    ]  # fmt: skip


def _nodes(source: Source) -> list[Panel]:
    used = source.energy("instance", CLUSTER)
    idle = source.energy("instance", f'{CLUSTER}, phase="idle"')
    work = source.energy("instance", f"{CLUSTER}, {_DYNAMIC}")
    power = source.power("instance", CLUSTER)
    top = f"topk({_NODES}, {used} > 0)"
    return [
        listing(
            "Nodes", f"The {_NODES} that used most; the name leads to the node.", ["instance"],
            [
                Column("Energy", f"{top} / 3.6e6", "kwatth"),
                Column("Power", f"{power} and {top}", "watt"),
                Column("Into work", f"{work} / {top}", "percentunit"),
                Column("Idle", f"{idle} / {top}", "percentunit"),
            ],
            link=("instance", f"/d/{gpu_node.UID}?var-node=${{__value.raw}}&${{__url_time_range}}"),
        )
    ]  # fmt: skip
