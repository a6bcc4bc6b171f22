"""The one table of metrics: name, kind, unit, labels, meaning, and where the value comes from.

Names, labels and meanings are what dashboards and bills outside rely on: changing one is a
breaking change. A new metric is a new row.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from submeter.metrics import collect as of
from submeter.metrics.family import Distribution, Kind
from submeter.model import Method, Snapshot, SuspectReason, UnmeteredReason

COUNTER, GAUGE, HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

MILLI: Final = 3
MICRO: Final = 6
NANO: Final = 9

_GPU = ("gpu", "uuid")
_NAMES = ("workload", "user", "namespace", "pod", "container", "job")
_OWNER = ("phase", *_NAMES)
_PYTHON = ".".join(str(part) for part in sys.version_info[:3])


def _no_samples(_snapshot: Snapshot) -> tuple[()]:
    return ()


def _no_distributions(_snapshot: Snapshot) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. ``exponent`` says which power of ten the collected integers are in."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str
    exponent: int = 0
    samples: of.Collect = _no_samples
    distributions: Callable[[Snapshot], Iterable[Distribution]] = _no_distributions


METRICS: Final = (
    Metric(
        "submeter_build_info", GAUGE, "", ("version", "backend", "python"),
        "1; what is running and where its numbers come from (backend mock: invented ones).",
        samples=lambda s: [((s.version, s.backend, _PYTHON), 1)],
    ),
    Metric(
        "submeter_up", GAUGE, "", ("component",),
        "1 while the component works.",
        samples=lambda s: (((name,), int(up)) for name, up in s.components_up.items()),
    ),
    Metric(
        "submeter_gpu_info", GAUGE, "",
        (*_GPU, "name", "driver", "pci_bus_id", "arch", "energy_source", "power_window"),
        "1; what doesn't change about the GPU (nvmlDeviceGetName, GetPciInfo, GetArchitecture).",
        samples=of.gpu_info,
    ),
    Metric(
        "submeter_gpu_up", GAUGE, "", _GPU,
        "0 while the GPU can't be read; its other gauges are then absent, its counters stay.",
        samples=of.gpu_up,
    ),
    Metric(
        "submeter_gpu_power_watts", GAUGE, "watts", _GPU,
        "Newest sensor value (NVML_FI_DEV_POWER_INSTANT; nvmlDeviceGetPowerUsage on old boards).",
        MILLI, of.gpu_gauge(of.power_mw),
    ),
    Metric(
        "submeter_gpu_power_average_watts", GAUGE, "watts", _GPU,
        "Mean of the last second as the board has it (NVML_FI_DEV_POWER_AVERAGE).",
        MILLI, of.gpu_gauge(lambda gpu: gpu.reading.average_mw if gpu.reading else None),
    ),
    Metric(
        "submeter_gpu_power_limit_watts", GAUGE, "watts", _GPU,
        "Power limit in force (nvmlDeviceGetEnforcedPowerLimit).",
        MILLI, of.gpu_gauge(lambda gpu: gpu.gauges.power_limit_mw if gpu.gauges else None),
    ),
    Metric(
        "submeter_gpu_power_min_watts", GAUGE, "watts", (*_GPU, "window"),
        "Lowest sensor value within the window before the snapshot.",
        MILLI, of.peaks(lambda gpu: gpu.peaks.min_mw if gpu.peaks else None),
    ),
    Metric(
        "submeter_gpu_power_max_watts", GAUGE, "watts", (*_GPU, "window"),
        "Highest sensor value within the window: no peak between two scrapes is lost.",
        MILLI, of.peaks(lambda gpu: gpu.peaks.max_mw if gpu.peaks else None),
    ),
    Metric(
        "submeter_gpu_utilization_ratio", GAUGE, "ratio", _GPU,
        "Share of time with a kernel running (nvmlDeviceGetUtilizationRates); says nothing of how"
        " much of the GPU it used.",
        2, of.gpu_gauge(lambda gpu: gpu.activity.utilization_percent if gpu.activity else None),
    ),
    Metric(
        "submeter_gpu_memory_used_bytes", GAUGE, "bytes", _GPU,
        "Device memory in use (nvmlDeviceGetMemoryInfo_v2).",
        samples=of.gpu_gauge(lambda gpu: gpu.activity.memory_used_bytes if gpu.activity else None),
    ),
    Metric(
        "submeter_gpu_memory_total_bytes", GAUGE, "bytes", _GPU,
        "Device memory there is (nvmlDeviceGetMemoryInfo_v2).",
        samples=of.gpu_gauge(lambda gpu: gpu.info.memory_total_bytes),
    ),
    Metric(
        "submeter_gpu_temperature_celsius", GAUGE, "celsius", (*_GPU, "sensor"),
        "Temperature of core and memory (nvmlDeviceGetTemperature, NVML_FI_DEV_MEMORY_TEMP).",
        samples=of.gpu_gauges(
            lambda gpu: (
                ("core", gpu.gauges.temperature_core_c),
                ("memory", gpu.gauges.temperature_memory_c),
            ) if gpu.gauges else ()
        ),
    ),
    Metric(
        "submeter_gpu_clock_hertz", GAUGE, "hertz", (*_GPU, "clock"),
        "Clock frequencies (nvmlDeviceGetClockInfo).",
        samples=of.gpu_gauges(lambda gpu: gpu.gauges.clocks_hz if gpu.gauges else ()),
    ),
    Metric(
        "submeter_gpu_throttle_seconds_total", COUNTER, "seconds", (*_GPU, "reason"),
        "Time with clocks held down, by reason (nvmlDeviceGetViolationStatus).",
        NANO, of.gpu_counters(lambda gpu: gpu.throttle_ns),
    ),
    Metric(
        "submeter_gpu_energy_joules_total", COUNTER, "joules", _GPU,
        "Energy of the GPU since the ledger began (nvmlDeviceGetTotalEnergyConsumption, else the"
        " integral of power: energy_source of submeter_gpu_info).",
        MICRO, of.gpu_energy,
    ),
    Metric(
        "submeter_energy_joules_total", COUNTER, "joules",
        (*_GPU, "mig", "phase", "component", *_NAMES),
        "Who used the energy, and for what; sums to submeter_gpu_energy_joules_total exactly.",
        MICRO, of.by_account(lambda s: s.energy_uj),
    ),
    Metric(
        "submeter_energy_standard_error_joules", GAUGE, "joules",
        (*_GPU, "mig", "phase", "component", *_NAMES),
        "Standard error that splitting shared work left in submeter_energy_joules_total of the"
        " same labels since the agent started: the truth is within twice that in 90-99 % of cases;"
        " 0 where nothing had to be split. The sensor's own error comes on top.",
        MICRO, of.by_account(lambda s: s.standard_error_uj),
    ),
    Metric(
        "submeter_attribution_energy_joules_total", COUNTER, "joules", (*_GPU, "method"),
        "How each joule was split; sums to submeter_gpu_energy_joules_total exactly.",
        MICRO, of.gpu_counters(lambda gpu: gpu.energy_by_method_uj, Method),
    ),
    Metric(
        "submeter_floor_watts", GAUGE, "watts", (*_GPU, "component"),
        "What the board draws for nothing: the bare floor (idle) and the step as soon as somebody"
        " holds it (context), learnt while it did nothing; absent until learnt.",
        MILLI, of.gpu_gauges(of.floors_mw),
    ),
    Metric(
        "submeter_suspect_energy_joules_total", COUNTER, "joules", (*_GPU, "reason"),
        "Movements of the energy counter too large to be true; in no other total.",
        MICRO, of.gpu_counters(lambda gpu: gpu.suspect_uj, SuspectReason),
    ),
    Metric(
        "submeter_workload_power_watts", GAUGE, "watts", (*_GPU, "mig", "phase", *_NAMES),
        "Attributed power in the last settlement, all components together.",
        MILLI, of.owner_power(),
    ),
    Metric(
        "submeter_process_info", GAUGE, "",
        (*_GPU, "phase", *_NAMES, "source", "confidence"),
        "1 per owner on a GPU; where its phase comes from (declared, rule, recognised, none) and"
        " how sure that is (high, medium, low); the weakest of its processes counts.",
        samples=of.process_info(),
    ),
    Metric(
        "submeter_facility_energy_joules_total", COUNTER, "joules", ("phase",),
        "Energy that the site drew for it: times the PUE of the moment; absent without one.",
        MICRO, of.footprint("facility_uj"),
    ),
    Metric(
        "submeter_carbon_grams_total", COUNTER, "grams", ("phase",),
        "CO2 equivalent, at PUE and carbon intensity of the moment; absent without a factor.",
        MICRO, of.footprint("carbon_ug"),
    ),
    Metric(
        "submeter_water_litres_total", COUNTER, "litres", ("phase",),
        "Water, at the WUE of the moment (of the site, and of generation); absent without one.",
        MICRO, of.footprint("water_ul"),
    ),
    Metric(
        "submeter_cost_total", COUNTER, "", ("currency", "phase"),
        "Cost of what the site drew for it, at the price of the moment; absent without one.",
        MICRO, of.footprint("cost_micro"),
    ),
    Metric(
        "submeter_footprint_factor", GAUGE, "", ("quantity", "currency", "source"),
        "Factors in use: pue, wue and wue_source (L/kWh), carbon_g_per_kwh, price (of a kWh).",
        MICRO,
        lambda s: (((what, money, who), micro) for what, money, who, micro in s.factors),
    ),
    Metric(
        "submeter_footprint_factor_age_seconds", GAUGE, "seconds", ("quantity",),
        "How long ago the factor in use was measured; only of those that are asked for live.",
        samples=lambda s: (((what,), age_s) for what, age_s in s.factor_ages_s),
    ),
    Metric(
        "submeter_tokens_total", COUNTER, "", (*_OWNER, "kind"),
        "Tokens that a workload processed, as its server or the job itself counts them: prompt,"
        " generation, or no kind where nobody tells them apart.",
        samples=of.done(of.TOKENS, kind=True),
    ),
    Metric(
        "submeter_requests_total", COUNTER, "", _OWNER,
        "Requests that a workload answered, as its server or the job itself counts them.",
        samples=of.done(of.REQUESTS),
    ),
    Metric(
        "submeter_work_units_total", COUNTER, "", (*_OWNER, "unit"),
        "Other work that was done, in units that the job or its server names: steps, inferences.",
        samples=of.done(),
    ),
    Metric(
        "submeter_work_uncounted_seconds_total", COUNTER, "seconds", _OWNER,
        "Time in which a workload that tells its work used energy, and how much it did is not"
        " known: before it was first asked, before a counter restarted or went away.",
        NANO, of.done(of.UNCOUNTED),
    ),
    Metric(
        "submeter_work_server_up", GAUGE, "", ("address", "server", "workload", "trouble"),
        "1 while a server that is asked how much it does was counted when last asked; else why"
        " not.",
        samples=lambda s: (
            ((each.address, each.server, each.workload, each.trouble), int(each.up))
            for each in s.work_servers
        ),
    ),
    Metric(
        "submeter_node_power_budget_watts", GAUGE, "watts", (),
        "Power that the node's GPUs may draw together, as configured.",
        MILLI, lambda s: [] if s.power_budget_mw is None else [((), s.power_budget_mw)],
    ),
    Metric(
        "submeter_node_power_headroom_watts", GAUGE, "watts", (),
        "Budget minus draw; negative above it, absent while a GPU's draw is unknown.",
        MILLI, of.headroom,
    ),
    Metric(
        "submeter_samples_total", COUNTER, "", (),
        "Readings taken from the sensors of all GPUs.",
        samples=of.all_samples,
    ),
    Metric(
        "submeter_sample_errors_total", COUNTER, "", ("gpu", "call", "error"),
        "Driver calls that failed.",
        samples=of.sample_errors,
    ),
    Metric(
        "submeter_sample_lateness_seconds", HISTOGRAM, "seconds", (),
        "How much later than planned readings were taken.",
        NANO, distributions=of.lateness,
    ),
    Metric(
        "submeter_missed_ticks_total", COUNTER, "", ("gpu",),
        "Planned readings that were skipped because their time had passed.",
        samples=of.by_index(of.gpu_counter(lambda gpu: gpu.missed_ticks)),
    ),
    Metric(
        "submeter_sensor_refresh_seconds", GAUGE, "seconds", ("gpu",),
        "How often the power sensor gives a new value: measured at start, else known of the board.",
        NANO, of.by_index(of.gpu_gauge(lambda gpu: gpu.info.refresh_ns or None)),
    ),
    Metric(
        "submeter_nvml_call_seconds_total", COUNTER, "seconds", ("call",),
        "Time spent in calls of the driver's library, all GPUs together.",
        NANO, of.call_time,
    ),
    Metric(
        "submeter_unmetered_seconds_total", COUNTER, "seconds", ("gpu", "reason"),
        "Time for which there is no energy figure: not sampled, counter restarted, GPU lost.",
        NANO, of.by_index(of.gpu_counters(lambda gpu: gpu.unmetered_ns, UnmeteredReason)),
    ),
    Metric(
        "submeter_energy_crosscheck_ratio", GAUGE, "ratio", ("gpu",),
        "Integral of power divided by the movement of the energy counter over the same time.",
        MICRO, of.by_index(of.gpu_gauge(lambda gpu: gpu.crosscheck_ppm)),
    ),
    Metric(
        "submeter_folded_series", GAUGE, "", (),
        'Accounts beyond max_series, whose energy is booked under workload="(other)".',
        samples=lambda s: [((), s.folded_series)],
    ),
    Metric(
        "submeter_label_requests_total", COUNTER, "", ("result", "reason"),
        "What jobs asked of the agent's socket: labelled, answered, or refused and why.",
        samples=lambda s: s.label_requests.items(),
    ),
    Metric(
        "submeter_snapshot_timestamp_seconds", GAUGE, "seconds", (),
        "Unix time of the snapshot that every number here is of.",
        NANO, lambda s: [((), s.wall_ns)],
    ),
    Metric(
        "submeter_agent_start_time_seconds", GAUGE, "seconds", (),
        "Unix time at which the agent started.",
        NANO, lambda s: [((), s.started_wall_ns)],
    ),
    Metric(
        "submeter_exporter_up", GAUGE, "", ("exporter",),
        "1 while the exporter's last run went through and none takes too long; a run is a push,"
        " or a request that it answers.",
        samples=of.exporters(lambda state: int(state.up)),
    ),
    Metric(
        "submeter_exporter_runs_total", COUNTER, "", ("exporter",),
        "Runs of the exporter that went through, since the agent started.",
        samples=of.exporters(lambda state: state.runs),
    ),
    Metric(
        "submeter_exporter_failures_total", COUNTER, "", ("exporter",),
        "Runs of the exporter that failed, since the agent started.",
        samples=of.exporters(lambda state: state.failures),
    ),
    Metric(
        "submeter_exporter_duration_seconds", GAUGE, "seconds", ("exporter",),
        "How long the exporter's last run took.",
        NANO, of.exporters(lambda state: state.last_run_ns or None),
    ),
    Metric(
        "submeter_exporter_last_success_timestamp_seconds", GAUGE, "seconds", ("exporter",),
        "Unix time at which a run of the exporter last went through.",
        NANO, of.exporters(lambda state: state.succeeded_wall_ns),
    ),
    Metric(
        "submeter_exporter_missed_readings_total", COUNTER, "", ("exporter",),
        "Readings that an exporter of every sensor value came too late for.",
        samples=of.exporters(lambda state: state.missed_readings),
    ),
    Metric(
        "submeter_agent_cpu_seconds_total", COUNTER, "seconds", (),
        "CPU time that agents have used themselves since the ledger began.",
        NANO, lambda s: [] if s.agent is None else [((), s.agent.cpu_ns)],
    ),
    Metric(
        "submeter_agent_resident_bytes", GAUGE, "bytes", (),
        "Memory that the agent holds itself.",
        samples=lambda s: [] if s.agent is None else [((), s.agent.resident_bytes)],
    ),
)  # fmt: skip
