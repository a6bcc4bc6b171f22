"""``submeter trace``: info, check and convert, with their exit codes."""

import json
from pathlib import Path

import pytest

from submeter.cli import main
from submeter.trace import open_trace

LOG = "timestamp, index, power.draw [W]\n" + "".join(
    f"2023/07/14 10:12:{s:02}.000, {gpu}, {100 + 100 * gpu}.00 W\n"
    for s in range(11)
    for gpu in (0, 1)
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_info_computes_power_and_energy(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "info", str(log), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["format"] == "table"
    assert said["duration_s"] == 10
    assert said["truncated_at"] is None
    first, second = said["gpus"]
    assert (first["readings"], first["mean_watts"], first["peak_watts"]) == (11, 100, 100)
    assert (first["integral_joules"], second["integral_joules"]) == ("1000", "2000")
    assert (first["counter_joules"], first["gap_s"]) == (None, 0)
    assert first["wh"] == pytest.approx(1000 / 3600)


def test_info_for_people(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(LOG.replace("2023/07/14 10:12:05.000, 0, 100.00 W\n", "") + "2023/07")
    assert main(["trace", "info", str(log)]) == 0
    said = capsys.readouterr().out
    assert "duration  10.000 s" in said
    assert "cut off at line 23" in said
    assert "11 reading" not in said
    assert "21 reading" in said


def test_check_tells_whole_from_cut_from_wrong(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "check", str(log)]) == 0
    assert "whole, 10.000 s" in capsys.readouterr().out
    cut, wrong = log.with_name("cut.csv"), log.with_name("wrong.csv")
    cut.write_text(LOG[:-5])
    assert main(["trace", "check", str(cut)]) == 1
    assert "cut off at line 23" in capsys.readouterr().err
    wrong.write_text(LOG + "oops\n")
    assert main(["trace", "check", str(wrong)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "wrong.csv:24: found 1 values, expected 3" in line


def test_convert_makes_the_same_native_trace(log: Path) -> None:
    native, packed = log.with_name("native"), log.with_name("packed.gz")
    assert main(["trace", "convert", str(log), str(native)]) == 0
    assert main(["trace", "convert", str(native), str(packed)]) == 0
    (*played, _end) = open_trace(packed).records()
    assert played == list(open_trace(log).records())
    assert open_trace(packed).header == open_trace(log).header
    again = log.with_name("again")
    assert main(["trace", "convert", str(packed), str(again)]) == 0
    assert again.read_bytes() == native.read_bytes()


def test_convert_overwrites_only_when_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = log.with_name("kept")
    target.write_text("precious")
    assert main(["trace", "convert", str(log), str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert main(["trace", "convert", str(log), str(log), "--force"]) == 2
    assert log.read_text() == LOG
    assert main(["trace", "convert", str(log), str(target), "--force"]) == 0
    assert open_trace(target).truncated_at is None


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "--help"]) == 0
    assert "submeter trace convert nvidia-smi.csv node.trace.gz" in capsys.readouterr().out
