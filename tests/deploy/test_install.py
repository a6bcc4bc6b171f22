"""`make install` below a folder: what lands where, that it runs from there, any number of times."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from submeter import __version__

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "deploy/install/install.sh"
SCRIPTS = [
    *sorted((ROOT / "deploy/install").glob("*.sh")),
    ROOT / "deploy/fleet.sh",
    ROOT / "deploy/slurm/task-prolog",
]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make bundle` makes, less what pip would fetch: it uses this environment's own."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    pip = tmp_path_factory.mktemp("pip") / "pip"
    # stands in for `pip install --target LIB`, which needs a network: CI's own tests have it
    code = ROOT / "agent/submeter", ROOT / "exporters/submeter_exporters"
    pip.write_text(
        '#!/bin/sh\nwhile [ "$1" != --target ]; do shift; done\n'
        + "".join(f'cp -R {each} "$2/"\n' for each in code)
    )
    pip.chmod(0o755)
    environ = {**os.environ, "PIP": str(pip)}
    subprocess.run([ROOT / "deploy/install/bundle.sh", folder], env=environ, check=True)
    for found in folder.rglob("__pycache__"):
        shutil.rmtree(found)
    return folder


@pytest.fixture
def stage(tmp_path: Path) -> dict[str, str]:
    """An environment for install.sh that puts everything below a folder."""
    return {
        **os.environ,
        "DESTDIR": str(tmp_path / "stage"),
        "PREFIX": "/opt/elsewhere",
        "PYTHON": sys.executable,
    }


def _install(bundle: Path, stage: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [bundle / "install.sh", *arguments], env=stage, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _files(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if not each.is_dir()}


def test_what_lands_where(bundle: Path, stage: dict[str, str], tmp_path: Path) -> None:
    _install(bundle, stage)
    root = tmp_path / "stage"
    version = (bundle / "VERSION").read_text().strip()
    assert re.fullmatch(rf"{re.escape(__version__)}-[0-9a-f]{{12}}", version)
    unit = (root / "usr/local/lib/systemd/system/submeter.service").read_text()
    assert "ExecStart=/opt/elsewhere/bin/submeter run" in unit
    assert "/opt/submeter" not in unit
    assert str((root / "usr/local/bin/submeter").readlink()) == "/opt/elsewhere/bin/submeter"
    assert str((root / "opt/elsewhere/current").readlink()) == f"versions/{version}"
    outside = {name for name in _files(root) if not name.startswith("opt/elsewhere/")}
    assert outside == {
        "usr/local/lib/systemd/system/submeter.service",
        "usr/local/bin/submeter",
        "etc/sysusers.d/submeter.conf",
        "etc/submeter/submeter.toml",
    }


@pytest.mark.threat("T28")
def test_it_runs_whatever_the_environment_says(
    bundle: Path, stage: dict[str, str], tmp_path: Path
) -> None:
    _install(bundle, stage)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "submeter").mkdir(parents=True)
    (elsewhere / "submeter/__init__.py").write_text("raise SystemExit('the wrong one')\n")
    done = subprocess.run(
        [tmp_path / "stage/opt/elsewhere/bin/submeter", "--version"],
        env={**os.environ, "PYTHONPATH": str(elsewhere)},
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"submeter {__version__}"


def test_again_changes_nothing_and_a_configuration_stays(
    bundle: Path, stage: dict[str, str], tmp_path: Path
) -> None:
    _install(bundle, stage)
    settings = tmp_path / "stage/etc/submeter/submeter.toml"
    settings.write_text("max_series = 77\n")
    before = _files(tmp_path / "stage")
    _install(bundle, stage)
    assert _files(tmp_path / "stage") == before
    assert settings.read_text() == "max_series = 77\n"


def test_the_version_before_is_kept_and_older_ones_go(
    bundle: Path, stage: dict[str, str], tmp_path: Path
) -> None:
    for name in ("1.0.0-a", "1.1.0-b", "1.2.0-c"):
        other = shutil.copytree(bundle, tmp_path / name)
        (other / "VERSION").write_text(f"{name}\n")
        _install(other, stage)
    kept = {each.name for each in (tmp_path / "stage/opt/elsewhere/versions").iterdir()}
    assert kept == {"1.1.0-b", "1.2.0-c"}


def test_uninstalling_leaves_the_configuration_alone_and_purging_nothing(
    bundle: Path, stage: dict[str, str], tmp_path: Path
) -> None:
    _install(bundle, stage)
    _install(bundle, stage, "--uninstall")
    assert _files(tmp_path / "stage") == {"etc/submeter/submeter.toml"}
    _install(bundle, stage, "--purge")
    assert _files(tmp_path / "stage") == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("no shellcheck here; apt-get install shellcheck")
    done = subprocess.run([checker, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_shell_takes_it(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
