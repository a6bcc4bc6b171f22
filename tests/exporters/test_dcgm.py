"""DCGM's names: what dashboards made for dcgm-exporter ask for, and no joule twice."""

from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from submeter.errors import InputError
from submeter.model import Snapshot
from submeter.testing.snapshots import GPU_0, GPU_1, node
from submeter.web.http import Request, Response
from submeter_exporters import dcgm

# What the dashboard that comes with dcgm-exporter (grafana.com/dashboards/12239) shows, less what
# only profiling counters know (DCGM_FI_PROF_PIPE_TENSOR_ACTIVE).
DASHBOARD = {
    "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_SM_CLOCK",
    "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED",
}  # fmt: skip
LABELS = ["gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION"]


def scrape(snapshot: Snapshot, **options: object) -> bytes:
    exporter = dcgm.create({"hostname": "n1", **options})
    response = exporter.routes(lambda: snapshot)["/dcgm/metrics"](Request("/dcgm/metrics"))
    assert isinstance(response, Response)
    return response.body


def samples(body: bytes) -> list[Any]:
    return [
        sample
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    ]


def energies_uj(body: bytes) -> dict[tuple[str, ...], int]:
    """As they are printed, millijoules with all their digits, by UUID and what more there is."""
    found: dict[tuple[str, ...], int] = {}
    for line in body.decode().splitlines():
        if line.startswith("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{"):
            labels, _, value = line.rpartition(" ")
            pairs = dict(pair.split("=", 1) for pair in labels[:-1].split("{", 1)[1].split(","))
            key = tuple(pairs[each].strip('"') for each in ("UUID", "pod") if each in pairs)
            found[key] = int(Decimal(value) * 1000)
    return found


def test_what_the_dashboard_asks_for_is_there() -> None:
    body = scrape(node())
    found = samples(body)
    assert {each.name for each in found} >= DASHBOARD
    by_name = {each.name: each.value for each in found if each.labels["gpu"] == "0"}
    assert by_name["DCGM_FI_DEV_SM_CLOCK"] == 1980
    assert by_name["DCGM_FI_DEV_POWER_USAGE"] == 598.75
    assert by_name["DCGM_FI_DEV_FB_USED"] == 61 * 1024
    assert all(list(each.labels) == LABELS for each in found)
    assert found[0].labels["device"] == "nvidia0"
    assert b"# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n" in body


def test_each_gpu_is_there_once_with_the_integers_of_the_ledger() -> None:
    snapshot = node()
    expected = {(gpu.info.uuid,): gpu.energy_uj for gpu in snapshot.gpus}
    assert energies_uj(scrape(snapshot)) == expected


def test_by_pod_the_parts_add_up() -> None:
    snapshot = node()
    parts = energies_uj(scrape(snapshot, by_pod=True))
    assert (GPU_0, "llama-0") in parts
    for gpu in snapshot.gpus:
        mine = [part for (uuid, *_), part in parts.items() if uuid == gpu.info.uuid]
        assert sum(mine) == gpu.energy_uj


def test_a_gpu_that_can_not_be_read_keeps_its_counter_only() -> None:
    of_second = [each.name for each in samples(scrape(node(second_gpu_up=False)))
                 if each.labels["UUID"] == GPU_1]  # fmt: skip
    assert of_second == ["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION_total"]  # as the parser calls it


def test_the_label_as_later_releases_write_it() -> None:
    found = samples(scrape(node(), hostname_label="hostname"))
    assert {each.labels["hostname"] for each in found} == {"n1"}


def test_a_path_that_is_none() -> None:
    with pytest.raises(InputError, match="must begin with /"):
        dcgm.create({"path": "metrics"})
