"""deploy/Containerfile, built by a real buildah: the same again from the same, and it runs.

Its base is the Debian of these tests, since no registry is asked for one.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[3]
BASE = "localhost/debian-python:test"
LEFT_OUT = ("./proc", "./sys", "./dev", "./var/cache", "./var/lib/apt", "./usr/share/doc",
            "./usr/share/locale", "./usr/share/man")  # fmt: skip


@pytest.fixture
def buildah(tmp_path: Path) -> Callable[..., str]:
    """The real one, with a store of its own and nothing of this machine's."""
    program = shutil.which("buildah")
    if program is None:
        pytest.skip("no buildah here: `make test-systemd`")
    store = ["--root", str(tmp_path / "store"), "--runroot", str(tmp_path / "run")]

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *store, "--storage-driver", "vfs", *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run


def _base(buildah: Callable[..., str], rootfs: Path) -> None:
    container = buildah("from", "scratch")
    root = buildah("mount", container)
    without = [f"--exclude={each}/*" for each in LEFT_OUT]
    pack = ["tar", "-C", str(rootfs), "-c", *without, "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
        subprocess.run(["tar", "-C", root, "-x"], stdin=packed.stdout, check=True)
    assert packed.returncode == 0
    buildah("umount", container)
    buildah("commit", "--quiet", container, BASE)


@pytest.mark.threat("T32")
def test_the_image(buildah: Callable[..., str], rootfs: Path, tmp_path: Path) -> None:
    subprocess.run(["make", "-C", CHECKOUT, "bundle"], check=True, capture_output=True)
    _base(buildah, rootfs)
    build: list[Any] = [
        *("build", "--quiet", "--isolation", "chroot", "--timestamp", "0", "--no-cache"),
        *("--build-arg", f"BASE={BASE}", "--file", "deploy/Containerfile"),
    ]
    first, second = (buildah(*build, "--tag", f"submeter:{turn}", ".") for turn in (1, 2))
    assert first == second, "the same bundle and base give the same image"

    config = json.loads(buildah("inspect", "--type", "image", first))["OCIv1"]["config"]
    assert config["User"] == "10046:10046"
    assert config["Entrypoint"] == ["/opt/submeter/bin/submeter"]

    container = buildah("from", first)
    run = ["run", "--isolation", "chroot", container, "--"]
    assert buildah(*run, "submeter", "--version").startswith("submeter ")
    assert buildah(*run, "submeter", "config", "check", "/etc/submeter/submeter.toml") == "OK"
    assert buildah(*run, "id", "-u") == "10046"
