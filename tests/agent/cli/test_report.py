"""`submeter report` as people type it: answers on stdout, errors as one line, exit codes."""

import json
import os
from pathlib import Path

import pytest

from submeter import cli
from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.writer import DirectWriter
from submeter.model import (
    Account,
    Component,
    CounterState,
    EnergySource,
    Interval,
    MeterState,
    Method,
    Owner,
    Phase,
    Posting,
)
from submeter.units import NS_PER_S

AT_S = 1_774_740_610  # 2026-03-28 23:30:10 UTC


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory in which one GPU used 1.5 J."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    store, loaded = open_store(directory, "nvml", AT_S * NS_PER_S)
    session = Session(0, "nvml", "1", "", "boot", AT_S * NS_PER_S, NS_PER_S)
    books = DurableLedger(loaded, session, DirectWriter(store), 100)
    counter = CounterState(1_500_000, 1_500_000, 2 * NS_PER_S, 0, 1_500_000, 0, 0, 0)
    interval = Interval(
        *("GPU-1", 0, NS_PER_S, 2 * NS_PER_S, 1_500_000, EnergySource.COUNTER),
        state=MeterState(2 * NS_PER_S, 2 * NS_PER_S, 2 * NS_PER_S, counter),
    )
    owner = Owner(Phase.TRAINING, workload="train.py")
    account = Account("GPU-1", "", Component.DYNAMIC, owner)
    books.post(interval, [Posting(account, Method.EXCLUSIVE, 1_500_000)])
    books.commit(2 * NS_PER_S, AT_S * NS_PER_S)
    store.close()
    return directory


def report(state: Path, *arguments: str) -> int:
    return cli.main(["report", "--state-dir", str(state), "--tz", "Europe/Berlin", *arguments])


def test_a_report_is_a_table_unless_asked_otherwise(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(state) == 0
    out, err = capsys.readouterr()
    assert "training  train.py  1.500 J  100.0 %" in out
    assert "\x1b" not in out
    assert err == ""


@pytest.mark.parametrize("how", [["--json"], ["--format", "json"]])
def test_json_is_for_machines(
    state: Path, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(state, "--by", "day,gpu", *how) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["day"], row["gpu"], row["joules"]) for row in rows] == [
        ("2026-03-29", "GPU-1", "1.5")
    ]


def test_times_may_begin_with_a_minus(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(state, "--since", "-24h", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total_joules"] == "0"


@pytest.mark.parametrize("name", ["used.json", "used.csv", "used.txt"])
def test_a_files_name_says_its_format(
    state: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    out.write_text("old")
    assert report(state, "--output", str(out)) == 0
    content = out.read_text()
    assert content.startswith({"json": "{", "csv": "phase,", "txt": "2026-03"}[name[5:]])
    assert list(tmp_path.glob(".*")) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--since", "2026-02-30"], 2, "expected a date"),
        (["--since", "2026-03-29T02:30"], 2, "skip that time"),
        (["--until", "soon"], 2, "--until: 'soon'"),
        (["--since", "today", "--until", "yesterday"], 2, "--since before --until"),
        (["--by", "team"], 2, "--by: expected some of phase,"),
        (["--format", "pdf"], 2, "--format: expected "),
        (["--tz", "Mars/Olympus"], 2, "time zone"),
        (["--output", "/nonexistent/x.csv"], 1, "No such file"),
        (["--state-dir", "/nonexistent"], 73, "there is no ledger"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    state: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(state, *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.fault("F71")
def test_it_can_be_read_while_an_agent_holds_the_ledger(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = open_store(state, "nvml", AT_S * NS_PER_S)
    try:
        assert report(state, "--json") == 0
    finally:
        store.close()
    assert json.loads(capsys.readouterr().out)["total_joules"] == "1.5"


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--help"]) == 0
    assert "submeter report --since" in capsys.readouterr().out


def test_what_is_no_plain_file_is_written_to_and_never_replaced(
    state: Path, tmp_path: Path
) -> None:
    real, link, pipe = tmp_path / "real.csv", tmp_path / "link.csv", tmp_path / "pipe"
    link.symlink_to(real)
    assert report(state, "--output", str(link)) == 0
    assert link.is_symlink()
    assert real.read_text().startswith("phase,workload,joules")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert report(state, "--output", str(pipe), "--format", "csv") == 0
        assert os.read(reader, 1_000).startswith(b"phase,workload,joules")
    finally:
        os.close(reader)
    assert pipe.is_fifo()
