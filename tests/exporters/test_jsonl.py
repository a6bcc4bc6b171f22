"""JSON lines: whole, exact, rotated, and each file readable by itself."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from submeter.model import Snapshot
from submeter.testing.snapshots import GPU_0, SERVER, node
from submeter_exporters import jsonl

Later = Callable[[Snapshot, int], Snapshot]
Key = tuple[str, ...]


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def totals(content: list[dict[str, Any]]) -> dict[Key, int]:
    """The last total of each account."""
    last: dict[Key, int] = {}
    for line in content:
        if line["type"] == "energy":
            last[tuple(line[key] for key in LABELS)] = line["energy_uj"]
    return last


LABELS = (
    "uuid", "mig", "component", "phase", "workload", "user", "namespace", "pod", "container", "job",
)  # fmt: skip


def ledger(snapshot: Snapshot) -> dict[Key, int]:
    return {
        (uuid, mig, component, *owner): energy_uj
        for (uuid, mig, component, owner), energy_uj in snapshot.energy_uj.items()
    }


def works(content: list[dict[str, Any]]) -> dict[tuple[str, ...], int]:
    return {
        (*(line[key] for key in LABELS[3:]), line["unit"]): line["amount"]
        for line in content
        if line["type"] == "work"
    }


def test_the_integers_of_the_ledger_arrive(tmp_path: Path, later: Later) -> None:
    path = tmp_path / "submeter.jsonl"
    exporter = jsonl.create({"path": str(path)})
    first, second = node(), later(node(), 7)
    exporter.publish(first)
    assert totals(lines(path)) == ledger(first)
    exporter.publish(second)
    content = lines(path)
    assert totals(content) == ledger(second)
    of_first = [line for line in content if line["sequence"] == first.sequence]
    of_second = [line for line in content if line["sequence"] == second.sequence]
    assert [line["type"] for line in of_second] == ["moment", "gpu", "gpu", "energy"]
    assert works(content) == works(of_first) == {
        (*owner, unit): amount for (owner, unit), amount in first.done.items()
    }  # fmt: skip
    more = replace(second, sequence=99, done={**second.done, (SERVER, "requests"): 11_181})
    exporter.publish(more)
    of_third = [line for line in lines(path) if line["sequence"] == 99]
    assert works(of_third) == {(*SERVER, "requests"): 11_181}  # and nothing that is as before
    assert of_second[1]["energy_uj"] == sum(
        energy_uj for key, energy_uj in totals(content).items() if key[0] == GPU_0
    )


def test_is_rotated_and_each_file_is_complete(tmp_path: Path, later: Later) -> None:
    path = tmp_path / "submeter.jsonl"
    exporter = jsonl.create({"path": str(path), "max_mib": 0.01, "files": 3})
    snapshot, written = node(), {}
    for _ in range(100):
        snapshot = later(snapshot, 1)
        written[snapshot.sequence] = ledger(snapshot)
        exporter.publish(snapshot)
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == [
        "submeter.jsonl", "submeter.jsonl.1", "submeter.jsonl.2",
    ]  # fmt: skip
    for file in files:
        content = lines(file)
        assert totals(content) == written[content[-1]["sequence"]]


@pytest.mark.parametrize("files", [1, 2])
def test_a_new_file_begins_anew_whatever_its_inode(
    tmp_path: Path, later: Later, files: int
) -> None:
    path = tmp_path / "submeter.jsonl"
    exporter = jsonl.create({"path": str(path), "max_mib": 0.01, "files": files})
    snapshot = node()
    for _ in range(100):
        snapshot = later(snapshot, 1)
        exporter.publish(snapshot)
        assert totals(lines(path)) == ledger(snapshot)


def test_goes_on_when_somebody_else_rotates(tmp_path: Path) -> None:
    path = tmp_path / "submeter.jsonl"
    exporter = jsonl.create({"path": str(path)})
    exporter.publish(node())
    path.rename(tmp_path / "away")
    exporter.publish(node())
    assert totals(lines(path)) == ledger(node())
    os.truncate(path, 0)
    exporter.publish(node())
    assert totals(lines(path)) == ledger(node())


def test_half_a_line_of_a_killed_agent_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "submeter.jsonl"
    path.write_text('{"type":"moment"}\n{"type":"ener' + "x" * 100_000)
    jsonl.create({"path": str(path)}).publish(node())
    content = lines(path)
    assert content[0] == {"type": "moment"}
    assert totals(content) == ledger(node())


def test_a_full_disk_leaves_no_half_a_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "submeter.jsonl"
    exporter = jsonl.create({"path": str(path)})
    exporter.publish(node())
    before = path.read_bytes()
    write = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 300:
            raise OSError(28, "No space left on device")
        return write(fd, data[:300])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        exporter.publish(node())
    assert path.read_bytes() == before
    monkeypatch.undo()
    exporter.publish(node())
    assert totals(lines(path)) == ledger(node())


@pytest.mark.threat("T23")
def test_follows_no_link_that_somebody_has_laid(tmp_path: Path) -> None:
    (tmp_path / "submeter.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="submeter"):
        jsonl.create({"path": str(tmp_path / "submeter.jsonl")}).publish(node())
    assert not (tmp_path / "elsewhere").exists()
