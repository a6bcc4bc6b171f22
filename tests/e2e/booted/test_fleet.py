"""deploy/fleet.sh over a real ssh, to booted machines that have nothing but Python."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fleet(boot: Callable[..., Any], tmp_path: Path) -> tuple[Any, Callable[..., tuple[int, str]]]:
    """A node with sshd, and fleet.sh on another that may log in there. Both are one machine here:
    the machines of these tests have no network between them."""
    machine = boot()
    bundle = tmp_path / "bundle"
    made = ["make", "-C", str(CHECKOUT), "bundle", f"BUNDLE={bundle}"]
    subprocess.run(made, check=True, capture_output=True)
    for source, place in ((CHECKOUT / "deploy/fleet.sh", "deploy"), (bundle, "build")):
        target = machine.root / "srv/submeter" / place
        target.mkdir(parents=True)
        subprocess.run(["cp", "-R", source, target], check=True)
    machine.shell(
        "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 "
        "&& cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys "
        "&& ssh-keygen -A && systemctl restart ssh"
    )
    ssh = "ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no"

    def run(*arguments: str) -> tuple[int, str]:
        words = " ".join(arguments)
        said = machine.shell(
            f"cd /srv/submeter; code=0; SSH='{ssh}' deploy/fleet.sh {words} || code=$?; "
            "echo code=$code"
        )
        text, _, code = said.rpartition("code=")
        return int(code), text

    return machine, run


def test_a_fleet_is_installed_left_alone_configured_and_told_apart(
    fleet: tuple[Any, Callable[..., tuple[int, str]]], wait_for: Callable[..., Any]
) -> None:
    machine, run = fleet
    machine.write("srv/mock.toml", 'backend = "mock"\n')
    machine.write("srv/hosts.txt", "127.0.0.1  # the only one\n")

    code, said = run("-n", "-f", "/srv/hosts.txt")
    assert (code, "127.0.0.1: has none, inactive" in said) == (0, True), said
    code, said = run("-c", "/srv/mock.toml", "-f", "/srv/hosts.txt")
    assert code == 0, said
    assert "127.0.0.1: none -> " in said
    assert machine.property("ActiveState") == "active"
    assert machine.run("systemctl", "is-enabled", "submeter") == "enabled"
    wait_for(lambda: 'backend="mock"' in machine.metrics(), "the configuration")

    pid = machine.property("MainPID")
    code, said = run("-c", "/srv/mock.toml", "127.0.0.1")
    assert (code, "127.0.0.1: up to date" in said) == (0, True), said
    assert machine.property("MainPID") == pid

    machine.write("srv/mock.toml", 'backend = "mock"\n[node]\npower_budget_watts = 9000\n')
    code, said = run("-c", "/srv/mock.toml", "127.0.0.1")
    assert code == 0, said
    wait_for(lambda: "power_budget_watts 9000" in machine.metrics(), "the changed configuration")

    machine.write("srv/mock.toml", "backend = 5\n")
    code, said = run("-c", "/srv/mock.toml", "127.0.0.1", "nobody@127.0.0.1")
    assert code == 1, said
    assert "127.0.0.1: FAILED (2)" in said, "a wrong file is refused before it is there"
    assert "nobody@127.0.0.1: FAILED (255)" in said, "who can't be reached is named"
    assert "2 host(s), 2 failed" in said
    assert "power_budget_watts 9000" in machine.metrics(), "and nothing has changed"


def test_without_a_bundle_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [CHECKOUT / "deploy/fleet.sh", "host"],
        env={**os.environ, "BUNDLE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "make bundle" in done.stderr) == (1, True)
