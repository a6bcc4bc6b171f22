"""``submeter config``: OK or the error; the effective configuration with where it comes from."""

import json
import os
from pathlib import Path

import pytest

from submeter.cli import main
from submeter.config.reference import commented_toml, markdown


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SUBMETER"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "submeter.toml"
    file.write_text(
        "max_series = 500\n"
        "[exporters.otlp]\n"
        "endpoint = 'http://127.0.0.1:4318'\n"
        "token = 'quite secret'\n"
        "token_file = '/run/token'\n"
        "headers = { x = 'quite secret' }\n"
    )
    return file


def test_check_says_ok(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("max_series = 500\n[exporters.jsonl]\npath = '/var/log/submeter.jsonl'\n")
    assert main(["config", "check", str(file)]) == 0
    assert capsys.readouterr() == ("OK\n", "")


def test_check_judges_the_file_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("max_series = 500\n")
    monkeypatch.setenv("SUBMETER_SAMPLING__RATE_HZ", "nonsense")
    assert main(["config", "check", str(file)]) == 0
    assert main(["config", "show", "--config", str(file)]) == 2
    assert "environment SUBMETER_SAMPLING__RATE_HZ: " in capsys.readouterr().err


def test_check_of_a_wrong_file_is_exit_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("\nmax_series = 'many'\n")
    assert main(["config", "check", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f'submeter: {file}:2: max_series must be a whole number from 10 to 100000, found "many"\n'
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("[exporters.jsonl]\npaht = '/x'\n", ":2: exporter jsonl has no option 'paht'"),
        ("[exporters.jsonl]\npath = 7\n", ":2: exporters.jsonl.path must be"),
        ("[exporters.sonl]\n", "unknown exporter 'sonl'"),
    ],
)
def test_check_judges_exporters_too(
    file: Path, capsys: pytest.CaptureFixture[str], lines: str, told: str
) -> None:
    file.write_text(lines)
    assert main(["config", "check", str(file)]) == 2
    assert told in capsys.readouterr().err


def test_show_prints_value_and_source(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBMETER_SETTLE__INTERVAL_S", "2")
    arguments = ["config", "show", "--config", str(file), "--listen", "127.0.0.1:0"]
    assert main(arguments) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    shown = {key: (value, source) for key, value, source in rows}
    assert shown["max_series"] == ("500", f"{file}:1")
    assert shown["settle.interval_s"] == ("2", "environment SUBMETER_SETTLE__INTERVAL_S")
    assert shown["web.listen"] == ('"127.0.0.1:0"', "--listen")
    assert shown["sampling.rate_hz"] == ('"auto"', "default")
    assert shown["exporters.otlp.endpoint"] == ('"http://127.0.0.1:4318"', f"{file}:3")


def test_show_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json", "--config", str(file)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["max_series"] == {"value": 500, "source": f"{file}:1"}
    assert shown["web.listen"] == {"value": "127.0.0.1:10046", "source": "default"}
    assert shown["node.power_budget_watts"] == {"value": None, "source": "default"}
    assert shown["exporters.prometheus"] == {"value": {}, "source": "default"}


@pytest.mark.parametrize("format_", [[], ["--json"]])
def test_show_hides_what_may_be_secret(
    file: Path, capsys: pytest.CaptureFixture[str], format_: list[str]
) -> None:
    assert main(["config", "show", "--config", str(file), *format_]) == 0
    shown = capsys.readouterr().out
    assert "quite secret" not in shown
    assert shown.count("(hidden)") == 2
    assert "/run/token" in shown


def test_docs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "docs"]) == 0
    assert capsys.readouterr().out == markdown()
    assert main(["config", "docs", "--format", "toml"]) == 0
    assert capsys.readouterr().out == commented_toml()


def test_a_table_of_factors_is_judged_with_the_file_that_names_it(tmp_path: Path) -> None:
    table = tmp_path / "factors.toml"
    file = tmp_path / "submeter.toml"
    file.write_text(f'[footprint]\ntable = "{table}"\n')
    table.write_text("[[pue]]\nvalue = 1.2\nsource = 'audit'\n")
    assert main(["config", "check", str(file)]) == 0
    table.write_text("[[pue]]\nvalue = -1\nsource = 'audit'\n")
    assert main(["config", "check", str(file)]) == 2
