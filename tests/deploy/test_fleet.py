"""What deploy/fleet ships: configurations that Prometheus takes, a trial whose files are there."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from submeter.cli import main

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "deploy/fleet"
COMPOSE = yaml.safe_load((FLEET / "compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [
    "prometheus-to-victoriametrics", "prometheus-to-mimir", "prometheus-for-thanos",
    "prometheus-agent", "compose-prometheus",
])  # fmt: skip
def test_promtool_takes_the_configuration(name: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no `promtool` here; apt-get install prometheus")
    # Its password files lie in /etc/prometheus on the real machine.
    text = (FLEET / f"{name}.yml").read_text(encoding="utf-8")
    text = text.replace("/etc/prometheus/", f"{tmp_path}/")
    text = text.replace("../prometheus/", f"{ROOT}/deploy/prometheus/")
    for file in re.findall(r"password_file: ([^}\s]+)", text):
        Path(file).write_text("secret")
    config = tmp_path / "prometheus.yml"
    config.write_text(text, encoding="utf-8")
    (tmp_path / "submeter").mkdir()
    (tmp_path / "submeter/rack-1.json").write_text('[{"targets": ["node-1:10046"]}]')
    (tmp_path / "rules").symlink_to(ROOT / "deploy/prometheus/rules")
    has_rules = "rule_files" in text  # an agent evaluates none, and refuses a file with some
    command = [promtool, "check", "config", *(() if has_rules else ("--agent",)), str(config)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert ("rule files found" in run.stdout) is has_rules


def test_compose_takes_the_trial(tmp_path: Path) -> None:
    """Debian's docker-compose, 1.29, refuses every key that it doesn't know; it needs no daemon."""
    tools = Path(os.environ.get("SUBMETER_REAL_TOOLS", "/nonexistent"))
    compose = tools / "usr/bin/docker-compose"
    if not compose.is_file():
        pytest.skip("no docker-compose unpacked: `make test-real`")
    command = ["/usr/bin/python3", str(compose), "-f", "FILE", "config", "--services"]
    environ = {**os.environ, "PYTHONPATH": str(tools / "usr/lib/python3/dist-packages")}

    def check(file: Path) -> "subprocess.CompletedProcess[str]":
        command[3] = str(file)
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    run = check(FLEET / "compose.yml")
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) == set(COMPOSE["services"])
    wrong = tmp_path / "compose.yml"
    wrong.write_text((FLEET / "compose.yml").read_text().replace("read_only:", "read_onli:"))
    assert "read_onli" in check(wrong).stderr


def test_every_file_of_the_trial_is_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FLEET / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
    build = COMPOSE["services"]["submeter"]["build"]
    assert (FLEET / build["context"] / build["dockerfile"]).is_file()


def test_the_trial_listens_on_this_machine_only() -> None:
    for service in COMPOSE["services"].values():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")


def test_services_find_each_other() -> None:
    """Each host name that a configuration uses is a service, at the port it listens on."""
    ports = {
        name: {port.rsplit(":", 1)[1] for port in service["ports"]}
        for name, service in COMPOSE["services"].items()
    }
    texts = [
        (FLEET / "compose-prometheus.yml").read_text(encoding="utf-8"),
        *(path.read_text(encoding="utf-8")
          for path in (ROOT / "deploy/grafana/provisioning").rglob("*.yml")),
    ]  # fmt: skip
    named = re.findall(r"(?:http://|\[\")([a-z]+):(\d+)", "\n".join(texts))
    assert {host for host, _ in named} == {"submeter", "victoriametrics", "prometheus"}
    for host, port in named:
        assert port in ports[host]


def test_agent_of_the_trial_knows_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """The command as it stands there, but for `config show`, which takes the same settings."""
    settings = [
        each for each in COMPOSE["services"]["submeter"]["command"] if each.startswith("--set")
    ]
    assert main(["config", "show", *settings]) == 0
    assert re.search(r"web\.allow_remote +true", capsys.readouterr().out)


def test_provisioned_dashboards_are_where_grafana_looks() -> None:
    folder: dict[str, Any] = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/submeter.yml").read_text(encoding="utf-8")
    )
    path = folder["providers"][0]["options"]["path"]
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    assert mounts["../grafana/dashboards"] == path
