"""`submeter verify` says OK, what is wrong, or why it can't say."""

import json
import sqlite3
from pathlib import Path

import pytest

from submeter.cli import main
from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.schema import FILE_NAME
from submeter.ledger.writer import DirectWriter
from submeter.model import (
    Account,
    Component,
    EnergySource,
    Interval,
    MeterState,
    Method,
    Owner,
    Phase,
    Posting,
)
from submeter.units import NS_PER_S

WALL_NS = 1_767_225_600 * NS_PER_S


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store, loaded = open_store(tmp_path, "nvml", WALL_NS)
    session = Session(0, "nvml", "1", "", "boot", WALL_NS, 0)
    ledger = DurableLedger(loaded, session, DirectWriter(store))
    account = Account("GPU-1", "", Component.DYNAMIC, Owner(Phase.TRAINING, "train.py"))
    for second in range(1, 200, 5):
        now_ns = second * NS_PER_S
        at = MeterState(now_ns, now_ns, now_ns)
        interval = Interval("GPU-1", 0, now_ns - 1, now_ns, 7, EnergySource.AVERAGE, state=at)
        ledger.post(interval, [Posting(account, Method.EXCLUSIVE, 7)])
        ledger.commit(now_ns, WALL_NS + now_ns)
    store.finish()
    return tmp_path


def test_a_sound_ledger(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--state-dir", str(state)]) == 0
    assert "OK:" in capsys.readouterr().out
    assert main(["verify", "--state-dir", str(state), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["gpus"] == [{"uuid": "GPU-1", "joules": "0.00028"}]


@pytest.mark.threat("T26")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE tens SET body = CAST(body || x'00' AS BLOB) WHERE seq = 3", "tens 3 of GPU-1"),
        ("UPDATE tens SET start_s = start_s + 10 WHERE seq = 3", "tens 3 of GPU-1"),
        ("DELETE FROM tens WHERE seq = 4", "tens 4 of GPU-1: missing"),
        ("DELETE FROM tens WHERE seq = 1", "tens 1 of GPU-1: missing"),
        ("DELETE FROM minutes WHERE seq = 2", "minutes"),
        ("UPDATE tens SET seq = 1000 - seq", "missing"),
        ("UPDATE series SET workload = 'other.py'", "series 1"),
        ("UPDATE series SET user = 'somebody'", "series 1"),
        ("UPDATE gpus SET uuid = 'GPU-2'", "gpus 1"),
        ("UPDATE sessions SET version = '2'", "sessions 1"),
        ("UPDATE open SET state = ''", "open row of GPU-1"),
        ("DELETE FROM open", "open row of GPU-1: missing"),
        ("INSERT INTO corrections VALUES (1, 1, 0, 0, 1, 1, 7, '', 0, x'00')", "corrections 1"),
        ("DROP TABLE corrections", "not the ledger"),
    ],
)
def test_whatever_is_changed_is_named(
    state: Path, capsys: pytest.CaptureFixture[str], change: str, named: str
) -> None:
    connection = sqlite3.connect(state / FILE_NAME)
    connection.execute(change)
    connection.commit()
    connection.close()
    assert main(["verify", "--state-dir", str(state), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert named in found["problem"]


def test_no_ledger_and_a_newer_one_are_said(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["verify", "--state-dir", str(tmp_path / "empty")]) == 73
    assert "no ledger" in capsys.readouterr().err
    connection = sqlite3.connect(state / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert main(["verify", "--state-dir", str(state)]) == 73
