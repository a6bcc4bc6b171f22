"""The dashboard *GPU node*: what the boards of one node do, for whom, and how sure that is."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from submeter_dashboards.elements import (
    BAD,
    GOOD,
    WARN,
    Column,
    Panel,
    Query,
    build,
    datasource_variable,
    figure,
    label_variable,
    lines,
    listing,
    row,
)

UID: Final = "submeter-gpu-node"

_NODE = 'cluster=~"$cluster", instance=~"$node"'
_GPU = f'{_NODE}, gpu=~"$gpu"'
_OWNER = "phase, workload, user, namespace, pod"
_ENERGY = "submeter_energy_joules_total"
_TOTAL = "submeter_gpu_energy_joules_total"
_BY_METHOD = "submeter_attribution_energy_joules_total"


def gpu_node() -> Dashboard:
    """One node, or a few chosen ones."""
    variables = [
        datasource_variable(),
        label_variable(
            "cluster", "Cluster", "label_values(submeter_build_info, cluster)",
            "External label of the Prometheus that scrapes; none on a single one.",
        ),
        label_variable(
            "node", "Node", 'label_values(submeter_build_info{cluster=~"$cluster"}, instance)',
            "The address under which Prometheus scrapes the agent.", all_of_them=False,
        ),
        label_variable(
            "gpu", "GPU", f"label_values(submeter_gpu_info{{{_NODE}}}, gpu)", "Index on the node.",
        ),
    ]  # fmt: skip
    panels = [
        row("Now"), *_now(),
        row("Energy"), *_energy(),
        row("Who uses it"), *_who(),
        row("The boards"), *_boards(),
        row("Quality of these figures"), *_quality(),
        row("The agent"), *_agent(),
    ]  # fmt: skip
    return build(
        UID,
        "submeter / GPU node",
        "Live power, energy by phase, who uses it, and how sure these figures are.",
        variables,
        panels,
    )


def _now() -> list[Panel]:
    work = f'sum(increase({_ENERGY}{{{_GPU}, component="dynamic"}}[$__range]))'
    lost = f'sum(increase({_BY_METHOD}{{{_GPU}, method="unattributed"}}[$__range]))'
    total = f"sum(increase({_TOTAL}{{{_GPU}}}[$__range]))"
    return [
        figure(
            "Power", "Newest value of every sensor, summed up.", "watt",
            Query(f"sum(submeter_gpu_power_watts{{{_GPU}}})", "power"),
        ),
        figure(
            "Headroom", "Budget of the node minus draw of all its GPUs; negative above it. Absent"
            " where node.power_budget_watts is not set.", "watt",
            Query(f"sum(submeter_node_power_headroom_watts{{{_NODE}}})", "headroom"),
            levels=((None, BAD), (0, WARN), (100, GOOD)), none="no budget set",
        ),
        figure(
            "Energy", "What the GPUs used in the chosen time, by their own energy counters.",
            "kwatth", Query(f"{total} / 3.6e6", "energy"), decimals=2,
        ),
        figure(
            "Into work", "Share of the energy that went into work (component dynamic); the rest"
            " is what the boards draw for nothing and for being held.", "percentunit",
            Query(f"{work} / {total}", "work"),
            levels=((None, BAD), (0.3, WARN), (0.6, GOOD)), decimals=1,
        ),
        figure(
            "Unattributed", "Share of the energy for which nobody can be named honestly.",
            "percentunit", Query(f"{lost} / {total}", "unattributed"),
            levels=((None, GOOD), (0.01, WARN), (0.05, BAD)), decimals=2,
        ),
        figure(
            "GPUs that can be read", "Share of the GPUs whose sensors answer.", "percentunit",
            Query(f"avg(submeter_gpu_up{{{_GPU}}})", "readable"),
            levels=((None, BAD), (1, GOOD)),
        ),
    ]  # fmt: skip


def _energy() -> list[Panel]:
    rate = "sum by ({by}) (rate(" + _ENERGY + "{{" + _GPU + "}}[$__rate_interval]))"
    return [
        lines(
            "Power of each GPU", "Newest sensor value; the limit in force beside it.", "watt",
            [
                Query(f"sum by (gpu) (submeter_gpu_power_watts{{{_GPU}}})", "GPU {{gpu}}"),
                Query(f"max(submeter_gpu_power_limit_watts{{{_GPU}}})", "highest limit of a GPU"),
            ],
        ),
        lines(
            "Peaks between two scrapes", "Highest and lowest sensor value of any GPU in the"
            " window before each scrape: nothing in between is lost.", "watt",
            [
                Query(f"max by (gpu) (submeter_gpu_power_max_watts{{{_GPU}}})", "max GPU {{gpu}}"),
                Query(f"min by (gpu) (submeter_gpu_power_min_watts{{{_GPU}}})", "min GPU {{gpu}}"),
            ],
        ),
        lines(
            "Power by phase", "Training, inference and other work as far as known; idle where"
            " nobody held the GPU.", "watt",
            [Query(rate.format(by="phase"), "{{phase}}")], stacked=True,
        ),
        lines(
            "Power by component", "dynamic: work. context: the extra draw because somebody holds"
            " the GPU. idle: the bare floor.", "watt",
            [Query(rate.format(by="component"), "{{component}}")], stacked=True,
        ),
    ]  # fmt: skip


def _who() -> list[Panel]:
    used = f"sum by ({_OWNER}) (increase({_ENERGY}{{{_GPU}}}[$__range]))"
    error = f"sqrt(sum by ({_OWNER}) (submeter_energy_standard_error_joules{{{_GPU}}} ^ 2))"
    return [
        lines(
            "Power by workload", "Attributed power, all components together.", "watt",
            [
                Query(
                    "sum by (workload, phase) (submeter_workload_power_watts"
                    f"{{{_GPU}}})", "{{workload}} ({{phase}})",
                )
            ],
            width=24, stacked=True,
        ),
        listing(
            "Who used it", "Energy in the chosen time, power now, and the standard error that"
            " splitting shared GPUs has left in it since the agent started.",
            _OWNER.split(", "),
            [
                Column("Energy", f"{used} / 3.6e6 > 0", "kwatth"),
                Column(
                    "Power", f"sum by ({_OWNER}) (submeter_workload_power_watts{{{_GPU}}})", "watt"
                ),
                Column("Standard error", f"{error} / 3.6e6", "kwatth"),
            ],
        ),
        listing(
            "Where the phase comes from", "How the phase of each holder was found: declared by"
            " the job, by a rule, recognised, or not at all; and how sure that is.",
            ["gpu", "phase", "workload", "user", "source", "confidence"],
            [
                Column(
                    "Holders",
                    "count by (gpu, phase, workload, user, source, confidence)"
                    f" (submeter_process_info{{{_GPU}}})", "short",
                )
            ],
        ),
    ]  # fmt: skip


def _boards() -> list[Panel]:
    return [
        lines(
            "Utilisation", "Share of time with a kernel running; says nothing of how much of the"
            " GPU it used. A partitioned (MIG) GPU has none.", "percentunit",
            [Query(f"sum by (gpu) (submeter_gpu_utilization_ratio{{{_GPU}}})", "GPU {{gpu}}")],
            width=8,
        ),
        lines(
            "Memory in use", "Share of the device memory.", "percentunit",
            [
                Query(
                    f"sum by (gpu) (submeter_gpu_memory_used_bytes{{{_GPU}}})"
                    f" / sum by (gpu) (submeter_gpu_memory_total_bytes{{{_GPU}}})", "GPU {{gpu}}",
                )
            ],
            width=8,
        ),
        lines(
            "Temperature", "Of the core and of the memory, where the board tells.", "celsius",
            [
                Query(
                    f"max by (gpu, sensor) (submeter_gpu_temperature_celsius{{{_GPU}}})",
                    "GPU {{gpu}} {{sensor}}",
                )
            ],
            width=8, levels=((None, "transparent"), (90, BAD)),
        ),
        lines(
            "Clocks", "Frequencies.", "hertz",
            [
                Query(
                    f"max by (gpu, clock) (submeter_gpu_clock_hertz{{{_GPU}}})",
                    "GPU {{gpu}} {{clock}}",
                )
            ],
            width=8,
        ),
        lines(
            "Held down", "Share of time with clocks held down, by reason.", "percentunit",
            [
                Query(
                    "sum by (gpu, reason) (rate(submeter_gpu_throttle_seconds_total"
                    f"{{{_GPU}}}[$__rate_interval]))", "GPU {{gpu}} {{reason}}",
                )
            ],
            width=8, levels=((None, "transparent"), (0.1, WARN)),
        ),
        lines(
            "What the boards draw for nothing", "The bare floor (idle), and the step as soon as"
            " somebody holds the board (context); absent until learnt.", "watt",
            [
                Query(
                    f"sum by (gpu, component) (submeter_floor_watts{{{_GPU}}})",
                    "GPU {{gpu}} {{component}}",
                )
            ],
            width=8,
        ),
    ]  # fmt: skip


def _quality() -> list[Panel]:
    share = "submeter_missed_ticks_total"
    return [
        lines(
            "How the energy was split", "exclusive: one process held the GPU. weighted,"
            " proportional, mig, equal: several did. idle: nobody. unattributed: no honest split.",
            "watt",
            [
                Query(
                    f"sum by (method) (rate({_BY_METHOD}{{{_GPU}}}[$__rate_interval]))",
                    "{{method}}",
                )
            ],
            share=True,
        ),
        lines(
            "Standard error of the split", "Of each workload's energy since the agent started, as"
            " a share of it. 0 where nothing had to be split. The sensor's own error (about 5 %)"
            " comes on top.", "percentunit",
            [
                Query(
                    "sqrt(sum by (workload) (submeter_energy_standard_error_joules"
                    f"{{{_GPU}}} ^ 2)) / sum by (workload) ({_ENERGY}{{{_GPU}}} > 0)",
                    "{{workload}}",
                )
            ],
        ),
        lines(
            "Cross-check", "Integral of power divided by the movement of the energy counter over"
            " the same time; 1 when both agree.", "none",
            [Query(f"submeter_energy_crosscheck_ratio{{{_GPU}}}", "GPU {{gpu}}")],
            width=8, levels=((None, BAD), (0.9, "transparent"), (1.1, BAD)),
            axis=(0.8, 1.2),
        ),
        lines(
            "Missed readings", "Planned readings that were skipped because their time had passed,"
            " as a share.", "percentunit",
            [
                Query(
                    f"rate({share}{{{_GPU}}}[$__rate_interval])"
                    f" * on (instance, gpu) submeter_sensor_refresh_seconds{{{_GPU}}}",
                    "GPU {{gpu}}",
                )
            ],
            width=8, levels=((None, "transparent"), (0.05, BAD)),
        ),
        lines(
            "Time without figures, and suspect energy", "Share of time for which there is no"
            " energy figure; and watts that the counter gained but can't be true (in no total).",
            "none",
            [
                Query(
                    "sum by (gpu, reason) (rate(submeter_unmetered_seconds_total"
                    f"{{{_GPU}}}[$__rate_interval]))", "GPU {{gpu}} unmetered: {{reason}}",
                ),
                Query(
                    "sum by (gpu, reason) (rate(submeter_suspect_energy_joules_total"
                    f"{{{_GPU}}}[$__rate_interval]))", "GPU {{gpu}} suspect: {{reason}} (W)",
                ),
            ],
            width=8,
        ),
    ]  # fmt: skip


def _agent() -> list[Panel]:
    buckets = f"submeter_sample_lateness_seconds_bucket{{{_NODE}}}"
    return [
        lines(
            "Lateness of readings", "How much later than planned readings were taken.", "s",
            [
                Query(
                    f"histogram_quantile({q}, sum by (le) (rate({buckets}[$__rate_interval])))",
                    f"p{q * 100:.0f}",
                )
                for q in (0.5, 0.99)
            ],
            width=8,
        ),
        lines(
            "Time in the driver", "Seconds a second spent in calls of the driver's library.",
            "percentunit",
            [
                Query(
                    "sum by (call) (rate(submeter_nvml_call_seconds_total"
                    f"{{{_NODE}}}[$__rate_interval]))", "{{call}}",
                )
            ],
            width=8, stacked=True,
        ),
        lines(
            "Processor use of the agent", "Cores.", "percentunit",
            [
                Query(
                    "sum by (instance) (rate(submeter_agent_cpu_seconds_total"
                    f"{{{_NODE}}}[$__rate_interval]))", "{{instance}}",
                )
            ],
            width=4,
        ),
        lines(
            "Memory of the agent", "Resident.", "bytes",
            [
                Query(
                    f"sum by (instance) (submeter_agent_resident_bytes{{{_NODE}}})",
                    "{{instance}}",
                )
            ],
            width=4,
        ),
    ]  # fmt: skip
