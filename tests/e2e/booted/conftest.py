"""A Debian in a folder in, a machine with a really booted systemd out, one for each test.

`make test-systemd` makes the folder (mmdebstrap) and starts these tests as root; without it they
are skipped, and say so. Each machine is a systemd-nspawn container with a network of its own and
an overlay over the folder: what a test does to it is gone with it.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
ROOTFS = Path(os.environ.get("SUBMETER_ROOTFS", "/nonexistent"))
DROP_INS = "etc/systemd/system/submeter.service.d"
BOOT_S = 60.0


@pytest.fixture(scope="session")
def rootfs() -> Path:
    """A fresh Debian that nothing was done to."""
    if os.geteuid() != 0:
        pytest.skip("booting a systemd needs root")
    if not ROOTFS.is_dir() or shutil.which("systemd-nspawn") is None:
        pytest.skip("no Debian to boot: `make test-systemd`")
    return ROOTFS


@pytest.fixture(scope="session")
def staged(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` puts on a machine, below a folder."""
    stage = tmp_path_factory.mktemp("stage")
    make("install", f"DESTDIR={stage}", f"BUNDLE={tmp_path_factory.mktemp('bundle')}/bundle")
    return stage


def make(*arguments: str) -> str:
    """`make` in the checkout; what it said."""
    done = subprocess.run(
        ["make", "-C", str(CHECKOUT), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Machine:
    """A booted container. `root` is its file system, seen from here."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        enter = ["nsenter", "--target", str(leader)]
        self._inside = [*enter, "--all", "--"]
        self._with_our_network = [*enter, "--mount", "--uts", "--ipc", "--pid", "--"]

    def run(self, *command: str, check: bool = True, own_network: bool = True) -> str:
        """A command inside; its output. Fails the test where it fails, unless told not to.
        ``own_network`` False: in our network instead of its own, which leads nowhere."""
        done = subprocess.run(
            [*(self._inside if own_network else self._with_our_network), *command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.journal()}"
            )
        return done.stdout.strip()

    def shell(self, script: str, check: bool = True) -> str:
        """A line of shell inside."""
        return self.run("bash", "-euo", "pipefail", "-c", script, check=check)

    def journal(self) -> str:
        """What the agent and systemd said about it."""
        done = subprocess.run(
            [*self._inside, "journalctl", "--unit=submeter", "--no-pager", "--output=cat"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def property(self, name: str) -> str:
        """One property of the unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", "submeter")

    def metrics(self) -> str:
        return self.run("curl", "--fail", "--silent", "http://127.0.0.1:10046/metrics")

    def write(self, path: str, text: str) -> Path:
        """A file inside, with the folders it lies in."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def configure(self, text: str) -> None:
        """Replaces the configuration file."""
        self.write("etc/submeter/submeter.toml", text)

    def drop_in(self, name: str, text: str) -> None:
        """Adds a drop-in for the unit, which the next (re)start goes by."""
        self.write(f"{DROP_INS}/{name}.conf", "[Service]\n" + text)
        self.run("systemctl", "daemon-reload")


@pytest.fixture
def boot(tmp_path: Path, rootfs: Path) -> Iterator[Callable[..., Machine]]:
    """Boots one; with `staged` as its argument, with submeter installed."""
    machines: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(*layers: Path) -> Machine:
        number = len(machines)
        base = tmp_path / f"machine-{number}"
        root, upper, work = base / "root", base / "upper", base / "work"
        for folder in (root, upper, work):
            folder.mkdir(parents=True)
        lower = ":".join(str(layer) for layer in (*layers, rootfs))
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
        (root / "etc/machine-id").write_text("")  # each machine is another one
        with (base / "console.log").open("wb") as console:
            nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", f"--directory={root}"),
                    *("--register=no", "--keep-unit", "--private-network", "--link-journal=no"),
                    f"--machine=submeter-{os.getpid()}-{number}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        machines.append((nspawn, root))
        return _booted(nspawn, root, base / "console.log")

    yield start
    for nspawn, root in machines:
        _power_off(nspawn)
        subprocess.run(["umount", "--lazy", root], check=False)


def _booted(nspawn: subprocess.Popen[bytes], root: Path, console: Path) -> Machine:
    deadline = time.monotonic() + BOOT_S
    state = "nothing"
    while time.monotonic() < deadline:
        assert nspawn.poll() is None, console.read_text(errors="replace")
        for child in psutil.Process(nspawn.pid).children():
            machine = Machine(root, child.pid)
            state = machine.run("systemctl", "is-system-running", check=False)
            if state in {"running", "degraded"}:
                return machine
        time.sleep(0.2)
    raise AssertionError(f"{state} after {BOOT_S} s: {console.read_text(errors='replace')}")


def _power_off(nspawn: subprocess.Popen[bytes]) -> None:
    for child in psutil.Process(nspawn.pid).children():
        Machine(Path("/"), child.pid).run("systemctl", "poweroff", check=False)
    try:
        nspawn.wait(20)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()


@pytest.fixture
def wait_for(wait_for: Callable[..., Any]) -> Callable[..., Any]:
    """As for all end-to-end tests, with a failing command being no answer yet."""

    def wait(condition: Callable[[], Any], what: str, patience_s: float = 60.0) -> Any:
        def attempt() -> Any:
            try:
                return condition()
            except AssertionError as error:
                raise ValueError(str(error)) from error

        return wait_for(attempt, what, patience_s)

    return wait
