"""Parquet, read back by pyarrow: every reading once, the ledger's integers, whole files only."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet as pq

from submeter.errors import InputError, SubmeterError
from submeter.model import Owner, Reading, Snapshot
from submeter.testing.snapshots import GPU_0, GPU_1, node
from submeter.units import NS_PER_S
from submeter_exporters import parquet

Later = Callable[[Snapshot, int], Snapshot]
KEYS = ("uuid", "mig", "component", *Owner._fields)


def readings(snapshot: Snapshot, count: int = 100) -> list[tuple[str, Reading]]:
    return [
        (uuid, Reading(snapshot.boottime_ns + at, at * 7, at, 300_000 + at, at, None, None))
        for at in range(count)
        for uuid in (GPU_0, GPU_1)
    ]


def read(folder: Path, series: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"{series}-*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def totals(rows: list[dict[str, Any]], wall_ns: int) -> dict[tuple[str, ...], int]:
    return {
        tuple(row[key] for key in KEYS): row["energy_uj"]
        for row in rows
        if row["wall_ns"] == wall_ns
    }


def ledger(snapshot: Snapshot) -> dict[tuple[str, ...], int]:
    return {
        (uuid, mig, component, *owner): energy_uj
        for (uuid, mig, component, owner), energy_uj in snapshot.energy_uj.items()
    }


def test_everything_arrives_once(tmp_path: Path, later: Later) -> None:
    exporter = parquet.Parquet(tmp_path, 10, file_minutes=10, files=9, mode=0o640)
    first, second = node(), later(node(), 10)
    given = []
    for snapshot in (first, second):
        batch = readings(snapshot)
        given += batch
        exporter.trace(batch)
        exporter.publish(snapshot)
    assert not list(tmp_path.glob("*.parquet"))  # incomplete ones are not for readers
    exporter.close()
    energy = read(tmp_path, "energy")
    assert totals(energy, first.wall_ns) == ledger(first)
    assert totals(energy, second.wall_ns) == ledger(second)
    done = [row for row in read(tmp_path, "work") if row["wall_ns"] == second.wall_ns]
    assert {(*(row[key] for key in Owner._fields), row["unit"]): row["amount"] for row in done} == {
        (*owner, unit): amount for (owner, unit), amount in second.done.items()
    }
    got = [
        (row["uuid"], Reading(row["boottime_ns"], *(row[name] for name in Reading._fields[1:])))
        for row in read(tmp_path, "readings")
    ]
    assert got == given
    assert all(path.stat().st_mode & 0o777 == 0o640 for path in tmp_path.iterdir())
    (path,) = tmp_path.glob("readings-*")
    metadata = pq.read_schema(path).metadata
    assert metadata[b"submeter_backend"] == b"mock"


def test_files_are_begun_anew_and_the_oldest_go(tmp_path: Path, later: Later) -> None:
    exporter = parquet.Parquet(tmp_path, 10, file_minutes=0.1, files=3, mode=0o600)
    snapshot = node()
    for _ in range(12):
        exporter.trace(readings(snapshot, 2))
        exporter.publish(snapshot)
        snapshot = later(snapshot, 4)
    exporter.close()
    for series in ("readings", "energy"):
        assert len(list(tmp_path.glob(f"{series}-*.parquet"))) == 3
    assert not list(tmp_path.glob("*.part"))


def test_when_the_agent_is_killed_the_files_are_completed(tmp_path: Path) -> None:
    exporter = parquet.Parquet(tmp_path, 10, file_minutes=10, files=9, mode=0o600)
    exporter.trace(readings(node()))
    exporter.publish(node())
    child = exporter._child
    assert child is not None
    assert child.stdin is not None
    child.send_signal(signal.SIGTERM)  # a service manager tells everybody
    child.stdin.close()  # what the kernel does when the agent is gone
    assert child.wait(20) == 0
    assert len(read(tmp_path, "readings")) == 200
    exporter.close()


def test_a_dead_child_is_replaced_and_what_it_did_not_get_is_kept(tmp_path: Path) -> None:
    exporter = parquet.Parquet(tmp_path, 10, file_minutes=10, files=9, mode=0o600)
    exporter.publish(node())
    child = exporter._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    exporter.trace(readings(node(), 5))
    with pytest.raises((SubmeterError, OSError)):
        exporter.publish(node())
    exporter.publish(replace(node(), wall_ns=node().wall_ns + NS_PER_S))
    exporter.close()
    assert len(read(tmp_path, "readings")) == 10
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    exporter = parquet.Parquet(tmp_path / "none", 10, file_minutes=10, files=9, mode=0o600)
    with pytest.raises(SubmeterError, match=r"none/energy-.*No such file or directory"):
        exporter.publish(node())
    exporter.close()


def test_says_which_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submeter.exporting._is_installed", lambda module: False)
    with pytest.raises(InputError, match=r"pip install 'submeter\[parquet\]'"):
        parquet.create({"directory": str(tmp_path)})
