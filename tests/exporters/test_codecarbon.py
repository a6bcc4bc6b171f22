"""emissions.csv: codecarbon's columns, the ledger's integers, and nothing that nobody measured."""

import csv
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from submeter.model import Snapshot
from submeter.testing.snapshots import node
from submeter_exporters import codecarbon

Later = Callable[[Snapshot, int], Snapshot]
UJ_PER_KWH = 3_600_000_000_000


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ledger(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for account, energy_uj in snapshot.energy_uj.items():
        key = (account.owner.workload or account.owner.phase, str(account.owner.phase))
        sums[key] = sums.get(key, 0) + energy_uj
    return sums


def energies_uj(path: Path) -> dict[tuple[str, str], int]:
    return {
        (row["project_name"], row["experiment_id"]): round(float(row["gpu_energy"]) * UJ_PER_KWH)
        for row in rows(path)
    }


def test_the_integers_of_the_ledger_arrive_and_runs_stay_the_same(
    tmp_path: Path, later: Later
) -> None:
    path = tmp_path / "emissions.csv"
    exporter = codecarbon.create({"path": str(path)})
    first, second = node(), later(node(), 3)
    exporter.publish(first)
    assert energies_uj(path) == ledger(first)
    runs = [row["run_id"] for row in rows(path)]
    assert len(set(runs)) == len(runs)
    exporter.publish(second)
    assert energies_uj(path) == ledger(second)
    assert [row["run_id"] for row in rows(path)] == runs


def test_what_nobody_measured_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "emissions.csv"
    codecarbon.create({"path": str(path)}).publish(node())
    for row in rows(path):
        for column in ("cpu_energy", "ram_energy", "emissions", "water_consumed", "longitude"):
            assert row[column] == ""
    assert rows(path)[0]["gpu_model"] == "2 x NVIDIA H100 80GB HBM3"


def test_emissions_where_the_factor_is_known(tmp_path: Path) -> None:
    path = tmp_path / "emissions.csv"
    options = {"path": str(path), "carbon_g_per_kwh": 56.04, "country_iso_code": "FRA"}
    codecarbon.create(options).publish(node())
    for row in rows(path):
        expected = float(row["energy_consumed"]) * 0.05604
        assert float(row["emissions"]) == pytest.approx(expected, rel=1e-12)
        rate = expected / float(row["duration"])
        assert float(row["emissions_rate"]) == pytest.approx(rate, rel=1e-9)
        assert row["country_iso_code"] == "FRA"


@pytest.fixture
def data() -> Any:
    """codecarbon's own description of a row; it is installed by `make test-real` only."""
    return pytest.importorskip("codecarbon.output_methods.emissions_data").EmissionsData


def test_the_columns_are_codecarbons_own(data: Any) -> None:
    assert tuple(each.name for each in fields(data)) == codecarbon.COLUMNS


def test_codecarbons_own_reader_takes_the_file(data: Any, tmp_path: Path) -> None:
    codecarbon.create({"path": str(tmp_path / "emissions.csv")}).publish(node())
    file_output = import_module("codecarbon.output_methods.file").FileOutput
    output = file_output("emissions.csv", str(tmp_path), on_csv_write="update")
    empty = {each.name: 0 for each in fields(data)}
    beside = data(**{**empty, "project_name": "beside", "run_id": "1"})
    assert output.has_valid_headers(beside)
    output.out(beside, beside)  # its own run joins ours, and ours are as they were
    frame = import_module("pandas").read_csv(tmp_path / "emissions.csv")
    read = {
        (row.project_name, row.experiment_id): round(row.energy_consumed * UJ_PER_KWH)
        for row in frame.itertuples()
        if row.project_name != "beside"
    }
    assert read == ledger(node())
    assert len(frame) == len(read) + 1
