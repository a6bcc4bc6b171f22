"""The unit as it is shipped: systemd finds nothing wrong with it, and little left open."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "systemd/submeter.service"
DROP_INS = sorted((DEPLOY / "systemd/drop-ins").glob("*.conf"))
MOST_EXPOSED = 18  # in tenths; dcgm-exporter's own unit has 96, the best peer without a GPU 17


@pytest.fixture
def analyze(tmp_path: Path) -> Path:
    """A folder with the unit in it, whose command exists on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    text = UNIT.read_text().replace("/opt/submeter/bin/submeter", sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    return tmp_path


def _analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda path: path and path.name)
def test_systemd_finds_nothing_wrong(analyze: Path, drop_in: Path | None) -> None:
    if drop_in is not None:
        folder = analyze / f"{UNIT.name}.d"
        folder.mkdir()
        text = drop_in.read_text().replace("/usr/bin/nvidia-modprobe", "/bin/true")
        (folder / drop_in.name).write_text(text)
    done = _analyze("verify", analyze / UNIT.name)
    ours = [line for line in done.stderr.splitlines() if "submeter" in line]
    assert (done.returncode, ours) == (0, []), "an unknown directive is a line on stderr only"


def test_a_wrong_directive_would_be_noticed(analyze: Path) -> None:
    unit = analyze / UNIT.name
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivatTmp="))
    assert "PrivatTmp" in _analyze("verify", unit).stderr


@pytest.mark.threat("T21")
def test_little_is_left_open(analyze: Path) -> None:
    done = _analyze(
        "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}",
        analyze / UNIT.name,
    )  # fmt: skip
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze can't look at files (< 250)")
    assert done.returncode == 0, done.stdout[-2_000:]


def test_every_drop_in_is_explained() -> None:
    readme = (DEPLOY / "systemd/drop-ins/README.md").read_text()
    assert set(re.findall(r"`([\w-]+\.conf)`", readme)) == {path.name for path in DROP_INS}


def test_nothing_lies_where_systemd_would_take_it_for_a_drop_in() -> None:
    """`systemd-analyze` on the file as it lies here must judge the unit alone."""
    assert not UNIT.with_name(f"{UNIT.name}.d").exists()
