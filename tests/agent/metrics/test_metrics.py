"""Snapshots become families: the promised names and labels, exact sums, nothing invented."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from submeter.metrics import METRICS, Family, Kind, families, table_markdown
from submeter.model import Account, Component, Owner, Phase, Snapshot
from submeter.testing.snapshots import GPU_0, GPU_1, SERVER, TRAINER, empty, node

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"

GPU = "gpu uuid"
NAMES = "workload user namespace pod container job"
PROMISED: Final = {
    "submeter_build_info": "version backend python",
    "submeter_up": "component",
    "submeter_gpu_info": f"{GPU} name driver pci_bus_id arch energy_source power_window",
    "submeter_gpu_up": GPU,
    "submeter_gpu_power_watts": GPU,
    "submeter_gpu_power_average_watts": GPU,
    "submeter_gpu_power_limit_watts": GPU,
    "submeter_gpu_power_min_watts": f"{GPU} window",
    "submeter_gpu_power_max_watts": f"{GPU} window",
    "submeter_gpu_utilization_ratio": GPU,
    "submeter_gpu_memory_used_bytes": GPU,
    "submeter_gpu_memory_total_bytes": GPU,
    "submeter_gpu_temperature_celsius": f"{GPU} sensor",
    "submeter_gpu_clock_hertz": f"{GPU} clock",
    "submeter_gpu_throttle_seconds_total": f"{GPU} reason",
    "submeter_gpu_energy_joules_total": GPU,
    "submeter_energy_joules_total": f"{GPU} mig phase component {NAMES}",
    "submeter_workload_power_watts": f"{GPU} mig phase {NAMES}",
    "submeter_suspect_energy_joules_total": f"{GPU} reason",
    "submeter_attribution_energy_joules_total": f"{GPU} method",
    "submeter_node_power_budget_watts": "",
    "submeter_node_power_headroom_watts": "",
    "submeter_samples_total": "",
    "submeter_sample_errors_total": "gpu call error",
    "submeter_sample_lateness_seconds": "",
    "submeter_sensor_refresh_seconds": "gpu",
    "submeter_nvml_call_seconds_total": "call",
    "submeter_unmetered_seconds_total": "gpu reason",
    "submeter_energy_crosscheck_ratio": "gpu",
}
"""What dashboards and bills outside rely on: a change here breaks them."""


def by_name(snapshot: Snapshot) -> Mapping[str, Family]:
    return {family.name: family for family in families(snapshot)}


def values(family: Family) -> Mapping[tuple[str, ...], int | float]:
    return dict(family.samples)


def test_promised_names_and_labels() -> None:
    labels = {metric.name: " ".join(metric.labels) for metric in METRICS}
    assert {name: labels.get(name) for name in PROMISED} == PROMISED


def test_a_full_snapshot_fills_the_whole_table() -> None:
    assert list(by_name(node())) == [metric.name for metric in METRICS]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_rows_follow_the_conventions(metric: object) -> None:
    row = next(each for each in METRICS if each is metric)
    assert re.fullmatch(r"submeter_[a-z_]+[a-z]", row.name)
    assert (row.kind is Kind.COUNTER) == row.name.endswith("_total")
    assert row.name.removesuffix("_total").endswith(row.unit)
    assert row.help.endswith(".")
    assert "\n" not in row.help
    assert "le" not in row.labels


def test_names_are_unique() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("snapshot", [node(), node(second_gpu_up=False), empty()])
def test_labels_fit_and_no_series_comes_twice(snapshot: Snapshot) -> None:
    for family in families(snapshot):
        labels = [labels for labels, _ in family.samples]
        assert all(len(each) == len(family.label_names) for each in labels)
        assert len(set(labels)) == len(labels), family.name


@pytest.mark.parametrize(
    "parts", ["submeter_energy_joules_total", "submeter_attribution_energy_joules_total"]
)
@pytest.mark.parametrize("up", [True, False])
def test_parts_sum_to_each_gpus_total(parts: str, up: bool) -> None:
    found = by_name(node(second_gpu_up=up))
    sums: dict[tuple[str, ...], int | float] = defaultdict(int)
    for labels, value in found[parts].samples:
        sums[labels[:2]] += value
    assert sums == values(found["submeter_gpu_energy_joules_total"])
    assert found[parts].exponent == found["submeter_gpu_energy_joules_total"].exponent == 6


@pytest.mark.fault("F35")
def test_energy_of_a_gpu_that_is_gone_still_sums() -> None:
    snapshot = node()
    gone = Account("GPU-gone", "", Component.DYNAMIC, Owner(Phase.OTHER, "x"))
    ghost = gone._replace(component=Component.IDLE)
    snapshot = replace(snapshot, energy_uj={**snapshot.energy_uj, gone: 5, ghost: 7})
    found = by_name(snapshot)
    assert values(found["submeter_gpu_energy_joules_total"])["", "GPU-gone"] == 12
    parts = values(found["submeter_energy_joules_total"])
    assert sum(value for labels, value in parts.items() if labels[:2] == ("", "GPU-gone")) == 12


@pytest.mark.fault("F83")
def test_a_gpu_that_is_down_has_counters_but_no_gauges() -> None:
    stay = {"submeter_gpu_up", "submeter_gpu_info"}
    found = by_name(node(second_gpu_up=False))
    assert values(found["submeter_gpu_up"]) == {("0", GPU_0): 1, ("1", GPU_1): 0}
    for family in found.values():
        of_it = [labels for labels, _ in family.samples if family.label_names and labels[0] == "1"]
        if family.label_names[:1] != ("gpu",) or family.name in stay:
            continue
        if family.kind is Kind.GAUGE:
            assert not of_it, family.name
        elif family.label_names[:2] == ("gpu", "uuid") and "throttle" not in family.name:
            assert of_it, family.name


def test_power_falls_back_to_the_average() -> None:
    snapshot = node()
    gpu = snapshot.gpus[0]
    assert gpu.reading is not None
    only_average = replace(gpu, reading=gpu.reading._replace(instant_mw=None))
    found = by_name(replace(snapshot, gpus=(only_average,)))
    assert values(found["submeter_gpu_power_watts"]) == {("0", GPU_0): 598_750}


@pytest.mark.fault("F8")
def test_what_a_board_does_not_say_is_absent() -> None:
    found = by_name(node())
    assert ("1", GPU_1) not in values(found["submeter_gpu_power_average_watts"])
    temperatures = values(found["submeter_gpu_temperature_celsius"])
    assert ("1", GPU_1, "memory") not in temperatures
    assert temperatures["0", GPU_0, "memory"] == 74


def test_known_reasons_begin_at_zero() -> None:
    found = by_name(node())
    suspects = values(found["submeter_suspect_energy_joules_total"])
    assert suspects["1", GPU_1, "jump"] == 0
    assert suspects["0", GPU_0, "jump"] == 9_000_000_000
    assert values(found["submeter_unmetered_seconds_total"])["1", "gap"] == 0


def test_peaks_say_their_window() -> None:
    peaks = values(by_name(node())["submeter_gpu_power_max_watts"])
    assert peaks == {("0", GPU_0, "15s"): 688_125}


def test_workload_power_adds_its_components() -> None:
    power = values(by_name(node())["submeter_workload_power_watts"])
    assert power["0", GPU_0, "", *TRAINER] == 437_250
    assert sum(power.values()) == sum(node().power_mw.values())


def test_headroom_needs_every_gpus_draw() -> None:
    both = by_name(node())["submeter_node_power_headroom_watts"]
    assert values(both) == {(): 1_400_000 - 612_256 - 71_900}
    assert "submeter_node_power_headroom_watts" not in by_name(node(second_gpu_up=False))
    assert "submeter_node_power_headroom_watts" not in by_name(replace(node(), gpus=()))


def test_process_info_is_one_series_an_owner_and_tells_the_weakest() -> None:
    snapshot = node()
    gpu = snapshot.gpus[0]
    first = gpu.processes[1]
    sure = replace(first, verdict=replace(first.verdict, confidence=1.0, source="declared"))
    found = by_name(replace(snapshot, gpus=(replace(gpu, processes=(sure, *gpu.processes)),)))
    assert values(found["submeter_process_info"]) == {
        ("0", GPU_0, *SERVER, "recognised", "medium"): 1,
        ("0", GPU_0, *TRAINER, "recognised", "high"): 1,
    }


def test_an_agent_without_gpus_says_who_it_is_and_little_else() -> None:
    found = by_name(empty())
    assert "submeter_build_info" in found
    assert not [name for name in found if name.startswith("submeter_gpu")]
    assert "submeter_agent_cpu_seconds_total" not in found


def test_the_documentation_has_the_table_as_it_is() -> None:
    assert table_markdown() in DOCS.read_text(), (
        "run: python -m submeter.metrics, see docs/metrics.md"
    )
